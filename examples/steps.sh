# The numbered steps that every recipe shares. A recipe's run.sh sets
#
#   SRC TGT     the languages, e.g. fr and en
#   TESTS       names of the test sets, e.g. "test_2016 test_2017"
#   WORK        the folder for everything that is made
#   BPE_MERGES  number of joint merge operations
#   EPOCHS FINETUNE_EPOCHS
#   *_MODEL *_TRAIN *_FINETUNE   fairseq-train options of each architecture (bash arrays)
#
# sources this file and calls the steps. Each step writes to a temporary name
# and renames, so a second run goes on where the first one stopped.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SEED=${SEED:-1}
CPUS=$(nproc)
DEVICE=(--cpu)
if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then DEVICE=(); fi

say() { printf '\n=== %s\n' "$*" >&2; }

# fairseq calls the splits valid, test, test1, test2, ...
splits() {
  local i=0 name
  echo valid
  for name in $TESTS; do
    echo "test$([ $i -eq 0 ] || echo $i)"
    i=$((i + 1))
  done
}

# once OUTPUT COMMAND...: the command's standard output becomes OUTPUT, unless OUTPUT is there already
once() {
  local output=$1
  shift
  [ -s "$output" ] && return
  mkdir -p "$(dirname "$output")"
  "$@" >"$output.part"
  mv "$output.part" "$output"
}

# --- text ------------------------------------------------------------------

# $WORK/raw/SPLIT.LANG -> $WORK/bpe/SPLIT.LANG -> $WORK/data-bin
prepare() {
  local split lang
  say "tokenise (Moses), BPE with $BPE_MERGES joint merges, binarise"
  for lang in $SRC $TGT; do
    for split in train $(splits); do
      once "$WORK/tok/$split.$lang" moses "$lang" "$WORK/raw/$split.$lang"
    done
  done
  once "$WORK/bpe/codes" learn_bpe
  for lang in $SRC $TGT; do
    for split in train $(splits); do
      once "$WORK/bpe/$split.$lang" subword-nmt apply-bpe -c "$WORK/bpe/codes" -i "$WORK/tok/$split.$lang"
    done
  done
  if [ ! -d "$WORK/data-bin" ]; then
    rm -rf "$WORK/data-bin.part"
    fairseq-preprocess --source-lang "$SRC" --target-lang "$TGT" --joined-dictionary --workers "$CPUS" \
      --trainpref "$WORK/bpe/train" --validpref "$WORK/bpe/valid" \
      --testpref "$(splits | grep -v valid | sed "s|^|$WORK/bpe/|" | paste -sd,)" \
      --destdir "$WORK/data-bin.part" >"$WORK/preprocess.log" 2>&1 || { tail -n 20 "$WORK/preprocess.log"; exit 1; }
    mv "$WORK/data-bin.part" "$WORK/data-bin"
  fi
}

moses() { sacremoses -q -j "$CPUS" -l "$1" tokenize -a <"$2"; }

learn_bpe() { cat "$WORK/tok/train.$SRC" "$WORK/tok/train.$TGT" | subword-nmt learn-bpe -s "$BPE_MERGES"; }

# --- training --------------------------------------------------------------

# train ARCH SYSTEM OPTIONS...
train() {
  local arch=$1 system=$2 dir=$WORK/$1/$2
  shift 2
  local -n model=${arch^^}_MODEL
  if [ ! -e "$dir/finished" ]; then
    say "train $arch: $system"
    mkdir -p "$dir"
    fairseq-train "$WORK/data-bin" --source-lang "$SRC" --target-lang "$TGT" "${model[@]}" \
      --criterion label_smoothed_cross_entropy --label-smoothing 0.1 \
      --seed "$SEED" "${DEVICE[@]}" --no-epoch-checkpoints \
      --log-file "$dir/train.log" --save-dir "$dir" "$@"
    touch "$dir/finished"
  fi
}

# Plain fairseq drops sentences of a last batch that is no multiple of 8: hence --required-batch-size-multiple.
baseline() {
  local -n options=${1^^}_TRAIN
  train "$1" baseline --task translation --required-batch-size-multiple 1 \
    --max-epoch "$EPOCHS" "${options[@]}"
}
