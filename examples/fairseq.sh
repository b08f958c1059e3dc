# How the recipes run fairseq: steps.sh, glue/run.sh, and the recipes that go on where steps.sh ends, source this file.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
IEL=$ROOT/iel_fairseq
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" # the package beside the recipes, whatever is installed
command -v iel >/dev/null || iel() { python -m iel_fairseq.cli "$@"; }
DEVICE=(--cpu)
if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then DEVICE=(); fi
# Plain fairseq drops sentences of a last batch that is no multiple of 8, unless told otherwise.
PLAIN=(--user-dir "$IEL" --task translation --required-batch-size-multiple 1)
ENHANCED=(--user-dir "$IEL" --task attn_enhanced_translation)

# measure_bleu WORK: EVAL_BLEU becomes the options of a validation by BLEU, of words put together again, not of BPE pieces
measure_bleu() {
  EVAL_BLEU=(
    --eval-bleu --eval-bleu-args '{"beam": 5}' --eval-bleu-remove-bpe
    --eval-bleu-detok prepared --eval-bleu-detok-args "{\"prepared_data\": \"$(realpath -m "$1")/data-bin\"}"
  )
}

say() { printf '\n=== %s\n' "$*" >&2; }

# logged LOG COMMAND...: what the command says goes to LOG, whose end is shown where it fails
logged() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
}

# decode FOLDER SPLIT OPTIONS...: the translations of a set of $WORK/data-bin, raw text in the order of the set; what
# fairseq-generate says of them lies in FOLDER
decode() {
  local folder=$1 split=$2
  shift 2
  mkdir -p "$folder"
  logged "$folder/generate.log" fairseq-generate "$WORK/data-bin" "${DEVICE[@]}" --gen-subset "$split" --beam 5 \
    --max-tokens 4000 --remove-bpe --tokenizer prepared --prepared-data "$WORK/data-bin" --results-path "$folder" "$@" ||
    return 1
  grep '^D-' "$folder/generate-$split.txt" | sed 's/^D-//' | LC_ALL=C sort -n -k1,1 | cut -f3-
}
