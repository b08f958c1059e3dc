#!/usr/bin/env bash
# Bootstrapping (the paper's section 4.3): round after round, the best model so far reads the attention words on which
# it is fine-tuned. The control has as many epochs on the plain source; both choose their checkpoint by BLEU.
#
#   examples/bootstrapping/run.sh                        on Multi30k, five rounds
#   ROUNDS=20 WORK=runs/bootstrapping20 examples/bootstrapping/run.sh
#   RECIPE=demo examples/bootstrapping/run.sh            on another recipe's data and models
#
# With WORK the folder of a recipe that has run, its data and baseline are used. Other ROUNDS want another WORK.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECIPE=${RECIPE:-multi30k}
export SYSTEMS="baseline bootstrap-control bootstrap" RESULTS=bootstrapping
export WORK=${WORK:-runs/bootstrapping.$RECIPE}
"$examples/$RECIPE/run.sh"

source "$examples/fairseq.sh"
measure_bleu "$WORK"

# validation_bleu MODEL: as the trainings measure theirs
validation_bleu() {
  local log
  log=$(dirname "$1")/validate.log
  logged "$log" fairseq-validate "$WORK/data-bin" "${PLAIN[@]}" "${DEVICE[@]}" --path "$1" --max-tokens 4000 \
    "${EVAL_BLEU[@]}" || return 1
  sed -n "s/.*valid on 'valid' subset .*| bleu \([0-9.]*\) .*/\1/p" "$log"
}

for folder in "$WORK"/*/bootstrap; do
  run=$(dirname "$folder")
  baseline=$(validation_bleu "$run/baseline/checkpoint_best.pt")
  iel plot bootstrap "$folder" --baseline "$baseline" \
    --control "$run/bootstrap-control" --output "$run/bootstrapping.png"
done
