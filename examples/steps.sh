# The numbered steps that every recipe shares. A recipe's run.sh sources this file, sets
#
#   SRC TGT              the languages, e.g. fr and en
#   WORK                 the folder for everything that is made
#   ARCHS                architectures, e.g. "transformer fconv"
#   TEXT                 words for iel prepare that name the text: a data set, or --trainpref and so on (bash array)
#   BPE_MERGES           number of joint merge operations
#   ARCH_MODEL ARCH_TRAIN ARCH_FINETUNE ARCH_CONTROL
#                        fairseq-train options of each ARCH in capitals (bash arrays; models.sh has them): of the model,
#                        of the baseline's training, of the further training of all other systems, which ends after
#                        a number of updates (--max-update), the same for the control and the enhanced systems; and
#                        those that give the control as many sentences an update: attention words count as tokens,
#                        so that the same --max-tokens holds fewer enhanced sentences than plain
#
# and calls recipe. The user may set
#
#   RAW                  folder that holds the data set's files; without it they are downloaded
#   PREPARE              further options of iel prepare, e.g. "--no-truecase --max-ratio 0"
#   SYSTEMS              those that are trained and compared: baseline, control, attention-words, attention-positions;
#                        noise-PERCENT-SEED, attention words with their positions, some replaced by random words;
#                        mixture-PERCENT, attention words with their positions, some sentences without;
#                        self-PERCENT, likewise, and one model serves both passes; bootstrap, ROUNDS rounds of an epoch
#                        each; bootstrap-restart, each with a new optimizer; bootstrap-self-PERCENT, rounds of a
#                        self-PERCENT; bootstrap-control, as many epochs on the plain source
#   SEED                 of all trainings
#   TRAIN                the command that trains, e.g. "torchrun --nproc_per_node 4 $(which fairseq-train)"
#
# Every step writes to a temporary name and renames, and skips what is there already: a second run goes on where the
# first one stopped. A second run with other options of a training ends there, before anything is lost or mixed up.

set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SEED=${SEED:-1}
TRAIN=${TRAIN:-fairseq-train}
source "$examples/fairseq.sh"
source "$examples/models.sh"
source "$examples/remember.sh"
RESULTS=${RESULTS:-results} # name of the table
ROUNDS=${ROUNDS:-5}
SYSTEMS=${SYSTEMS:-baseline control attention-words attention-positions}

recipe() {
  local arch split system
  check_names
  measure_bleu "$WORK"
  say "1. prepare: Moses tokeniser and truecaser, $BPE_MERGES joint BPE merges, binarise"
  prepare
  for arch in $ARCHS; do
    local -n CONTROL=${arch^^}_CONTROL
    for system in $SYSTEMS; do
      say "2. $arch: $system, $(describe "$system")"
      train "$arch" "$system"
    done
    say "3. $arch: translate"
    for system in $SYSTEMS; do
      for split in $(splits); do
        once "$WORK/$arch/$system/$split.$TGT" translate "$arch" "$system" "$split"
      done
    done
  done
  say "4. results"
  # shellcheck disable=SC2086
  iel report "$WORK" --models $ARCHS --systems $SYSTEMS --output "$WORK/$RESULTS"
  say "$WORK/$RESULTS.html"
}

# end now if an architecture or a system is not known
check_names() {
  local arch system
  for arch in $ARCHS; do
    if ! declare -p "${arch^^}_MODEL" >/dev/null 2>&1; then
      echo "ARCHS: there is no architecture $arch; transformer and fconv are known" >&2
      exit 1
    fi
  done
  for system in $SYSTEMS; do
    describe "$system" >/dev/null
  done
}

# describe SYSTEM: what it is, in words; the one place that knows all names
describe() {
  case $1 in
  baseline) echo "plain translation" ;;
  control) echo "the baseline trained further on the same" ;;
  attention-words) echo "the baseline trained further on sources with attention words" ;;
  attention-positions) echo "the baseline trained further on sources with attention words and their positions" ;;
  bootstrap) echo "$ROUNDS rounds of attention words with their positions, an epoch each" ;;
  bootstrap-control) echo "the baseline trained further on the same, $ROUNDS epochs" ;;
  bootstrap-restart) echo "$ROUNDS rounds, each with a new optimizer, from the start of the learning rate schedule" ;;
  *)
    if ! [[ $1 =~ ^(noise-[0-9.]+|bootstrap-self|mixture|self)-[0-9.]+$ ]]; then
      echo "SYSTEMS: there is no system $1" >&2
      exit 1
    fi
    describe_numbered "$1" "${1##*-}"
    ;;
  esac
}

# describe_numbered SYSTEM NUMBER: likewise those with a number at the end of their names
describe_numbered() {
  local words="attention words with their positions"
  case $1 in
  bootstrap-self-*) echo "$ROUNDS rounds, $2% of the sentences without, one model for both passes" ;;
  mixture-*) echo "$words, $2% of the sentences without" ;;
  self-*) echo "$words, $2% of the sentences without, one model for both passes" ;;
  noise-*) echo "$words, $(noise "$1" percent)% of the words random, seed $2" ;;
  esac
}

# noise noise-PERCENT-SEED percent|seed
noise() {
  local percent=${1#noise-}
  if [ "$2" = percent ]; then echo "${percent%-*}"; else echo "${percent#*-}"; fi
}

# fairseq's names for the sets that are translated: valid test test1 test2 ...
splits() {
  local path
  for path in "$WORK"/data-bin/{valid,test,test?}."$SRC-$TGT.$TGT".idx; do
    if [ -e "$path" ]; then basename "$path" ".$SRC-$TGT.$TGT.idx"; fi
  done
}

# once OUTPUT COMMAND...: the command's standard output becomes OUTPUT, unless OUTPUT is there already
once() {
  local output=$1
  shift
  if [ -e "$output" ]; then return; fi
  mkdir -p "$(dirname "$output")"
  "$@" >"$output.part"
  mv "$output.part" "$output"
}

# raw text -> $WORK/data-bin; the statistics of what was made are printed
prepare() {
  # shellcheck disable=SC2086
  iel prepare "${TEXT[@]}" --source-lang "$SRC" --target-lang "$TGT" --destdir "$WORK" --merges "$BPE_MERGES" \
    ${RAW:+--raw "$RAW"} ${PREPARE:-}
}

# train ARCH SYSTEM: the best checkpoint, by validation loss, or by BLEU with rounds of bootstrapping, and their control,
# is $WORK/ARCH/SYSTEM/checkpoint_best.pt
train() {
  local arch=$1 system=$2 dir=$WORK/$1/$2
  local -n model=${arch^^}_MODEL from_scratch=${arch^^}_TRAIN further=${arch^^}_FINETUNE
  local finetune=("${further[@]}" --finetune-from-model "$WORK/$arch/baseline/checkpoint_best.pt")
  local mixture=(--attn-dropout "${system##*-}e-2")
  local by_bleu=(
    "${finetune[@]}" --max-update 0 "${EVAL_BLEU[@]}" --best-checkpoint-metric bleu --maximize-best-checkpoint-metric
  )
  local rounds=("${ENHANCED[@]}" "${by_bleu[@]}" --attn-positions --bootstrap-rounds "$ROUNDS")
  local -a options
  local seed=$SEED
  case $system in
    baseline) options=("${PLAIN[@]}" "${from_scratch[@]}") ;;
    control) options=("${PLAIN[@]}" "${finetune[@]}" "${CONTROL[@]}") ;;
    attention-words) options=("${ENHANCED[@]}" "${finetune[@]}") ;;
    attention-positions) options=("${ENHANCED[@]}" "${finetune[@]}" --attn-positions) ;;
    mixture-*) options=("${ENHANCED[@]}" "${finetune[@]}" --attn-positions "${mixture[@]}") ;;
    self-*) options=("${ENHANCED[@]}" "${finetune[@]}" --attn-positions "${mixture[@]}" --attn-model self) ;;
    bootstrap) options=("${rounds[@]}") ;;
    bootstrap-restart) options=("${rounds[@]}" --bootstrap-restart) ;;
    bootstrap-self-*) options=("${rounds[@]}" "${mixture[@]}" --attn-model self) ;;
    bootstrap-control) options=("${PLAIN[@]}" "${by_bleu[@]}" "${CONTROL[@]}" --max-epoch "$ROUNDS") ;;
    noise-*)
      seed=$(noise "$system" seed)
      options=("${ENHANCED[@]}" "${finetune[@]}" --attn-positions --attn-noise "$(noise "$system" percent)e-2")
      ;;
  esac
  options=(
    --source-lang "$SRC" --target-lang "$TGT" "${model[@]}" "${options[@]}"
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1 --seed "$seed"
  )
  remember "$dir/command" "$TRAIN" "${options[@]}"
  if [ -e "$dir/finished" ]; then return; fi
  # shellcheck disable=SC2086
  $TRAIN "$WORK/data-bin" "${options[@]}" "${DEVICE[@]}" --no-epoch-checkpoints --save-dir "$dir" 2>&1 |
    tee -a "$dir/train.log"
  touch "$dir/finished"
}

# translate ARCH SYSTEM SPLIT: detokenised translations, in the order of the set
translate() {
  local arch=$1 system=$2 split=$3
  local -a task
  case $system in
    baseline | *control) task=("${PLAIN[@]}") ;;
    *) task=("${ENHANCED[@]}") ;;
  esac
  decode "$WORK/$arch/$system" "$split" --source-lang "$SRC" --target-lang "$TGT" "${task[@]}" \
    --path "$WORK/$arch/$system/checkpoint_best.pt"
}
