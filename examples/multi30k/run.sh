#!/usr/bin/env bash
# Multi30k (Elliott et al., 2016), French to English or German to English: baseline, control, attention words,
# attention words with positions, on a Transformer and a ConvS2S.
#
#   examples/multi30k/run.sh                         everything, downloaded
#   RAW=folder ARCHS=fconv examples/multi30k/run.sh  one architecture; the files are in a folder already
#   SIZE=published WORK=runs/multi30k.published examples/multi30k/run.sh
#                                                    the paper's sizes and hyper-parameters, for a GPU
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
SRC=${SRC:-fr}
TGT=en
WORK=${WORK:-runs/multi30k.$SRC-$TGT}
ARCHS=${ARCHS:-transformer fconv}
BPE_MERGES=${BPE_MERGES:-4000}
TEXT=(multi30k)

case ${SIZE:-small} in
small)
  small_models 14 600 988 150
  FCONV_FINETUNE+=(--max-update 984)
  ;;
published) iwslt_models 4000 ;;
*)
  echo "SIZE=$SIZE: small or published" >&2
  exit 1
  ;;
esac

recipe
