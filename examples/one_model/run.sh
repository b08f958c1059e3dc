#!/usr/bin/env bash
# One model for both passes: how well does a fine-tuned model read plain sources, which it has not seen in training
# (attention-positions), or has for a share of the sentences (self-PERCENT)? Each reads, in the first pass, its own
# attention words; is given the baseline's, as it was in training; or translates the plain source, in one pass.
#
#   examples/one_model/run.sh                            on Multi30k, 0 and 30% plain sentences
#   SHARES="0 10 30 50" ARCHS=fconv examples/one_model/run.sh
#   RECIPE=demo examples/one_model/run.sh                on another recipe's data and models
#
# With WORK the folder of a recipe that has run, its data, baseline and control are used.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECIPE=${RECIPE:-multi30k}
SHARES=${SHARES:-0 30}
SYSTEMS="baseline control attention-positions"
for share in $SHARES; do
  SYSTEMS="$SYSTEMS self-$share"
done
export SYSTEMS RESULTS=one-model
export WORK=${WORK:-runs/one-model.$RECIPE}
"$examples/$RECIPE/run.sh"

source "$examples/fairseq.sh"

# bleu FOLDER OPTIONS...: of the first test set, translated as the options say
bleu() {
  local folder=$1 source target
  shift
  IFS=- read -r source target <<<"$(ls "$WORK/data-bin" | sed -n "s/^test\.\(.*-.*\)\..*\.idx$/\1/p" | head -n 1)"
  decode "$folder" test --source-lang "$source" --target-lang "$target" "$@" >"$folder.$target" || return 1
  sacrebleu "$WORK/raw/test.$target" --input "$folder.$target" --score-only --width 1
}

{
  echo "| model | system | its own words | the baseline's words | none, one pass |"
  echo "|---|---|---:|---:|---:|"
  for folder in "$WORK"/*/self-*/ "$WORK"/*/attention-positions/; do
    run=$(dirname "$folder")
    model=(--path "$folder/checkpoint_best.pt")
    # One by one: a command within the words of echo may fail unseen.
    own=$(bleu "$folder/own" "${ENHANCED[@]}" "${model[@]}" --attn-model self)
    given=$(bleu "$folder/given" "${ENHANCED[@]}" "${model[@]}" --attn-model "$run/baseline/checkpoint_best.pt")
    none=$(bleu "$folder/none" "${PLAIN[@]}" "${model[@]}")
    echo "| $(basename "$run") | $(basename "$folder") | $own | $given | $none |"
  done
} | tee "$WORK/readers.md.part"
mv "$WORK/readers.md.part" "$WORK/readers.md"
