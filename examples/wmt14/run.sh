#!/usr/bin/env bash
# WMT'14, German to English or English to German: the paper's models and hyper-parameters, for several GPUs.
#
#   examples/wmt14/run.sh                            German to English, downloaded
#   SRC=en TGT=de examples/wmt14/run.sh              English to German
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
SRC=${SRC:-de}
TGT=${TGT:-en}
WORK=${WORK:-runs/wmt14.$SRC-$TGT}
ARCHS=${ARCHS:-transformer fconv}
BPE_MERGES=${BPE_MERGES:-32000}
TEXT=(wmt14)

wmt_models 100000

recipe
