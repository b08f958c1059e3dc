#!/usr/bin/env bash
# A small real comparison in minutes, on two cores: German to English user-interface texts.
#
#   examples/demo/run.sh            the demo's own corpus
#   examples/demo/run.sh FOLDER     yours: FOLDER/{train,valid,test}.{SRC,TGT}, raw text, one sentence per line
#   examples/demo/run.sh RECIPE     another recipe of this folder, e.g. multi30k
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$demo/../steps.sh"
DATA=${1:-}
if [ -n "$DATA" ] && [ ! -d "$DATA" ]; then
  if [ -x "$demo/../$DATA/run.sh" ]; then exec "$demo/../$DATA/run.sh"; fi
  echo "$DATA: neither a folder nor a recipe ($(cd "$demo/.." && echo */run.sh | sed 's|/run.sh||g'))" >&2
  exit 1
fi

SRC=${SRC:-de}
TGT=${TGT:-en}
WORK=${WORK:-runs/$(basename "${DATA:-demo}").$SRC-$TGT}
ARCHS=${ARCHS:-transformer}
BPE_MERGES=${BPE_MERGES:-4000}
TEXT=(homeassistant)
if [ -n "$DATA" ]; then
  TEXT=(--trainpref "$DATA/train" --validpref "$DATA/valid" --testpref "$DATA/test")
  RAW=
fi

small_models 12 300 300 100
TRANSFORMER_MODEL+=(--max-tokens 2000)
TRANSFORMER_CONTROL=(--max-tokens 1100)
FCONV_MODEL+=(--max-tokens 2000)
FCONV_CONTROL=(--max-tokens 1100)

recipe
