# How a recipe remembers what it has made: steps.sh and glue/run.sh source this file.

# remember FILE WORD...: the WORDs decide what is made in FILE's folder. The first time they are written to FILE. Where
# they are others later, the recipe ends: it would make nothing again, and report the old as the new. Folders in WORK and
# in the repository count as the same wherever these are.
remember() {
  local file=$1 folder root work words='' word before
  shift
  folder=$(dirname "$file")
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  work=$(realpath -m "$WORK")
  for word in "$@"; do
    if [[ $word == "$WORK"/* ]]; then word=WORK/${word#"$WORK"/}; fi
    word=${word//"$work/"/WORK/}
    words+=$(printf '%q' "${word//"$root/"/./}")' '
  done
  if [ -e "$file" ]; then
    before=$(cat "$file")
    if [ "$before" = "$words" ]; then return; fi
    echo "$folder: made with other options (<) than these (>); name another WORK" >&2
    diff <(echo "${before// --/$'\n'--}") <(echo "${words// --/$'\n'--}") | grep '^[<>]' >&2 # an option a line
    exit 1
  fi
  rm -f "$file.part" # of one that was killed
  if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
    printf '%s: nothing says with which options it was made; name another WORK\n' "$folder" >&2
    exit 1
  fi
  mkdir -p "$folder"
  printf '%s\n' "$words" >"$file.part"
  mv "$file.part" "$file"
}
