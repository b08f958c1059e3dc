#!/usr/bin/env bash
# Multi30k (Elliott et al., 2016), French to English or German to English: baseline, control, attention words,
# attention words with positions, on a Transformer and a ConvS2S.
#
#   RAW=folder examples/multi30k/run.sh              everything
#   RAW=folder ARCHS=fconv examples/multi30k/run.sh  one architecture
#   RAW=folder SIZE=published WORK=runs/multi30k.published examples/multi30k/run.sh
#                                                    the paper's sizes and hyper-parameters, for a GPU
#
# RAW holds {train,val,test_2016_flickr,test_2017_flickr}.{fr,en}[.gz], from https://github.com/multi30k/dataset
set -euo pipefail
SRC=${SRC:-fr}
TGT=en
TESTS="test_2016_flickr test_2017_flickr"
WORK=${WORK:-runs/multi30k.$SRC-$TGT}
ARCHS=${ARCHS:-transformer fconv}
BPE_MERGES=4000

case ${SIZE:-small} in
small)
  TRANSFORMER_MODEL=(
    --arch transformer --share-all-embeddings --dropout 0.2 --max-tokens 4000
    --encoder-embed-dim 128 --encoder-ffn-embed-dim 512 --encoder-layers 2 --encoder-attention-heads 4
    --decoder-embed-dim 128 --decoder-ffn-embed-dim 512 --decoder-layers 2 --decoder-attention-heads 4
    --optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --lr-scheduler inverse_sqrt
  )
  TRANSFORMER_TRAIN=(--max-epoch 14 --lr 4e-3 --warmup-updates 600)
  TRANSFORMER_FINETUNE=(--max-update 988 --lr 1e-3 --warmup-updates 150)
  FCONV_MODEL=(
    --arch fconv --share-input-output-embed --dropout 0.2 --max-tokens 4000 --clip-norm 1.0
    --encoder-embed-dim 128 --encoder-layers '[(128, 3)] * 3'
    --decoder-embed-dim 128 --decoder-out-embed-dim 128 --decoder-layers '[(128, 3)] * 3' --decoder-attention True
    --optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --lr-scheduler inverse_sqrt
  )
  FCONV_TRAIN=(--max-epoch 14 --lr 2e-3 --warmup-updates 600)
  FCONV_FINETUNE=(--max-update 984 --lr 5e-4 --warmup-updates 150)
  CONTROL=(--max-tokens 2200)
  ;;
published)
  TRANSFORMER_MODEL=(
    --arch transformer_iwslt_de_en --share-all-embeddings --dropout 0.3 --weight-decay 1e-4 --max-tokens 5000
    --optimizer adam --adam-betas '(0.9, 0.98)' --lr 5e-4 --lr-scheduler inverse_sqrt --warmup-updates 4000
  )
  TRANSFORMER_TRAIN=(--max-epoch 50 --patience 5)
  TRANSFORMER_FINETUNE=(--max-update 4000 --warmup-updates 400)
  FCONV_MODEL=(
    --arch fconv_iwslt_de_en --dropout 0.2 --max-tokens 4000 --clip-norm 0.1
    --optimizer nag --lr 0.25 --lr-scheduler reduce_lr_on_plateau --lr-shrink 0.5
  )
  FCONV_TRAIN=(--max-epoch 50 --patience 5)
  FCONV_FINETUNE=(--max-update 4000)
  CONTROL=(--max-tokens 2600)
  ;;
*)
  echo "SIZE=$SIZE: small or published" >&2
  exit 1
  ;;
esac

raw_text() {
  local lang i=0 name splits=(train valid test test1)
  for name in train val $TESTS; do
    for lang in $SRC $TGT; do
      once "$WORK/raw/${splits[$i]}.$lang" text_of "$name.$lang"
    done
    i=$((i + 1))
  done
}

# text_of NAME: $RAW/NAME or $RAW/NAME.gz
text_of() {
  local file=${RAW:?set RAW to the folder of Multi30k task 1 raw text}/$1
  if [ -e "$file.gz" ]; then
    gzip -dc "$file.gz"
  elif [ -e "$file" ]; then
    cat "$file"
  else
    echo "$file[.gz]: no such file; get it from https://github.com/multi30k/dataset (data/task1/raw)" >&2
    exit 1
  fi
}

source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
recipe
