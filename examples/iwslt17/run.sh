#!/usr/bin/env bash
# IWSLT'17, French to English TED talks: the paper's models and hyper-parameters, for a GPU.
#
#   examples/iwslt17/run.sh                          everything, downloaded
#   RAW=folder ARCHS=fconv examples/iwslt17/run.sh   one architecture; the unpacked files are in a folder already
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
SRC=fr
TGT=en
WORK=${WORK:-runs/iwslt17.$SRC-$TGT}
ARCHS=${ARCHS:-transformer fconv}
BPE_MERGES=${BPE_MERGES:-16000}
TEXT=(iwslt17)

iwslt_models 20000

recipe
