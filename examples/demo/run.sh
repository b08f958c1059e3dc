#!/usr/bin/env bash
# A small real comparison in minutes, on two cores: German to English user-interface texts.
#
#   examples/demo/run.sh            the demo's own corpus
#   examples/demo/run.sh FOLDER     yours: FOLDER/{train,valid,test}.{SRC,TGT}, raw text, one sentence a line
#   examples/demo/run.sh RECIPE     another recipe of this folder, e.g. multi30k
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=${1:-}
if [ -n "$DATA" ] && [ ! -d "$DATA" ]; then
  if [ -x "$demo/../$DATA/run.sh" ]; then exec "$demo/../$DATA/run.sh"; fi
  echo "$DATA: neither a folder nor a recipe ($(cd "$demo/.." && echo */run.sh | sed 's|/run.sh||g'))" >&2
  exit 1
fi

SRC=${SRC:-de}
TGT=${TGT:-en}
TESTS=test
WORK=${WORK:-runs/$(basename "${DATA:-demo}").$SRC-$TGT}
ARCHS=transformer
BPE_MERGES=4000

TRANSFORMER_MODEL=(
  --arch transformer --share-all-embeddings --dropout 0.2 --max-tokens 2000
  --encoder-embed-dim 128 --encoder-ffn-embed-dim 512 --encoder-layers 2 --encoder-attention-heads 4
  --decoder-embed-dim 128 --decoder-ffn-embed-dim 512 --decoder-layers 2 --decoder-attention-heads 4
  --optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --lr-scheduler inverse_sqrt
)
TRANSFORMER_TRAIN=(--max-epoch 12 --lr 4e-3 --warmup-updates 300)
TRANSFORMER_FINETUNE=(--max-update 300 --lr 1e-3 --warmup-updates 100)

CONTROL=(--max-tokens 1100)

raw_text() {
  local split lang
  if [ -z "$DATA" ]; then
    if [ ! -e "$WORK/raw/train.$TGT" ]; then python "$demo/corpus.py" "$WORK/raw" --language "$SRC"; fi
    return
  fi
  for split in train valid test; do
    for lang in $SRC $TGT; do
      if [ ! -s "$DATA/$split.$lang" ]; then
        echo "$DATA/$split.$lang: missing or empty; the languages are SRC=$SRC and TGT=$TGT" >&2
        exit 1
      fi
      once "$WORK/raw/$split.$lang" cat "$DATA/$split.$lang"
    done
  done
}

source "$demo/../steps.sh"
recipe
