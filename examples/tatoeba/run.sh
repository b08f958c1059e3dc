#!/usr/bin/env bash
# Tatoeba, French to English: 162,000 short sentences, split by English sentence.
#
#   examples/tatoeba/run.sh                          everything, downloaded
#   RAW=folder ARCHS=fconv examples/tatoeba/run.sh   one architecture; fra-eng.txt is in a folder already
#   SIZE=published WORK=runs/tatoeba.published examples/tatoeba/run.sh
#                                                    the paper's sizes and hyper-parameters, for a GPU
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
SRC=fr
TGT=en
WORK=${WORK:-runs/tatoeba.$SRC-$TGT}
ARCHS=${ARCHS:-transformer fconv}
BPE_MERGES=${BPE_MERGES:-8000}
TEXT=(tatoeba)

case ${SIZE:-small} in
small) small_models 10 1000 2000 300 ;;
published) iwslt_models 8000 ;;
*)
  echo "SIZE=$SIZE: small or published" >&2
  exit 1
  ;;
esac

recipe
