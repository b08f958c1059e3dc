#!/usr/bin/env bash
# Most of what docs/performance.md has of translation, on this machine, on its GPU where there is one: in one command.
#
#   benchmarks/all.sh DATA-BIN baseline.pt finetuned.pt RESULTS [NAME ...]
#
# The baseline is a small Transformer, finetuned.pt was trained on its attention words without their positions, as
# examples/multi30k/run.sh leaves both. A base Transformer is grown from the baseline. Each benchmark writes a table,
# RESULTS/NAME.md, and a log; one that fails, or takes longer than LIMIT seconds (600), does not stop the others. With
# names only those: extraction.small, extraction.base, two_passes, precision, finetuning, store.
set -uo pipefail
benchmarks=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$benchmarks/../examples/fairseq.sh"
source "$benchmarks/../examples/models.sh"
data=${1:?usage: benchmarks/all.sh DATA-BIN baseline.pt finetuned.pt RESULTS [NAME ...]} baseline=${2:?} finetuned=${3:?} results=${4:?}
shift 4
names="extraction.small extraction.base two_passes precision finetuning store"
chosen=" ${*:-$names} "
for name in $chosen; do
  [[ " $names " = *" $name "* ]] || { echo "$name: no benchmark; they are $names" >&2; exit 2; }
done
mkdir -p "$results"
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-0}
CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES%%,*} # fairseq-train takes all that it sees
failed=0

# measure NAME WORD...: the table of a benchmark
measure() {
  local name=$1 begun=$SECONDS
  [[ $chosen = *" $name "* ]] || return 0
  shift
  if timeout "${LIMIT:-600}" python "$benchmarks/$1.py" "${@:2}" >"$results/$name.md" 2>"$results/$name.log"; then
    echo "$name: $((SECONDS - begun)) s" >&2
  else
    failed=1
    echo "$name: failed, see $results/$name.log" >&2
  fi
}

sentences=1500 base=1000 updates=60 turns=(5 7 4) few=() of_base=("SequenceGenerator, beam 1")
if [ ${#DEVICE[@]} = 0 ]; then
  sentences=6000 base=1500 updates=200 turns=(3 3 2) # a GPU is soon done, and programs start as slowly as ever
  of_base+=("fairseq-generate --print-alignment")
  # What reads a sentence at a time would wait for the GPU.
  few=(--only "SequenceGenerator, beam 1" "fairseq-generate --print-alignment" "decode, then one forward pass")
fi
if python -c 'import ctranslate2' 2>/dev/null; then of_base+=("CTranslate2 float32" "CTranslate2 int8"); fi
small_models 1 1 1 1
small=("${TRANSFORMER_MODEL[@]}" --lr 1e-3 --warmup-updates 10 --criterion label_smoothed_cross_entropy --label-smoothing 0.1)

rm -f "$results/base.pt"
[[ $chosen != *" extraction.base "* ]] || python "$benchmarks/grown_transformer.py" "$baseline" "$results/base.pt"
measure extraction.small extraction "$data" --path "$baseline" --sentences "$sentences" --repeat "${turns[0]}" \
  "${few[@]}" "${DEVICE[@]}"
measure extraction.base extraction "$data" --path "$results/base.pt" --sentences "$base" --repeat 3 \
  --only "${of_base[@]}" "${DEVICE[@]}"
measure two_passes two_passes "$data" --path "$finetuned" --attn-model "$baseline" --repeat "${turns[1]}" "${DEVICE[@]}"
measure precision precision "$data" --path "$baseline" --updates 40 "${small[@]}" "${DEVICE[@]}"
measure finetuning finetuning "$data" --path "$baseline" --updates "$updates" --repeat "${turns[2]}" "${small[@]}" "${DEVICE[@]}"
measure store store --batches 1000
exit "$failed"
