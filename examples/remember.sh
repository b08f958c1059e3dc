# How a recipe remembers what it has made: steps.sh and glue/run.sh source this file.

# remember FILE WORD...: the WORDs decide what is made in FILE's folder. The first time they are written to FILE. Where
# they are others later, the recipe ends: it would make nothing again, and report the old as the new. Paths of WORK and of
# the package count as the same wherever they are.
remember() {
  local file=$1 words root
  shift
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  words=$(printf '%q ' "$@")
  words=${words//"$(realpath -m "$WORK")"/WORK}
  words=${words//"$WORK"/WORK}
  words=${words//"$root"/.}
  if [ ! -e "$file" ]; then
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$words" >"$file.part"
    mv "$file.part" "$file"
  elif [ "$(cat "$file")" != "$words" ]; then
    printf '%s: made with other options; name another WORK, or remove this folder\nthen: %s\nnow:  %s\n' \
      "$(dirname "$file")" "$(cat "$file")" "$words" >&2
    exit 1
  fi
}
