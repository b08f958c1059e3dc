#!/usr/bin/env bash
# The paper's ablation (section 6, figure 3): how much of the gain is in the words, and how much in having more input?
# 0%, 10%, ... 100% of the attention words are replaced by random words of the same source; several seeds each.
#
#   examples/ablation/run.sh                                 on Multi30k, all points, three seeds
#   NOISE="0 50 100" ARCHS=fconv examples/ablation/run.sh    three points
#   RECIPE=demo examples/ablation/run.sh                     on another recipe's data and models
#
# With WORK the folder of a recipe that has run, its data, baseline and control are used.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
NOISE=${NOISE:-0 10 20 30 40 50 60 70 80 90 100}
SEEDS=${SEEDS:-1 2 3}

SYSTEMS="baseline control"
for percent in $NOISE; do
  for seed in $SEEDS; do
    SYSTEMS="$SYSTEMS noise-$percent-$seed"
  done
done
RECIPE=${RECIPE:-multi30k}
export SYSTEMS RESULTS=ablation
export WORK=${WORK:-runs/ablation.$RECIPE}
"$examples/$RECIPE/run.sh"
source "$examples/fairseq.sh"
iel plot noise "$WORK/ablation.json" --output "$WORK/ablation.png"
