# The models of the recipes, each once. A recipe calls one of these functions, which set the bash arrays that steps.sh
# reads: ARCH_MODEL, ARCH_TRAIN, ARCH_FINETUNE, ARCH_CONTROL. What a recipe adds to an array afterwards wins.

# small_models EPOCHS WARMUP UPDATES WARMUP_FURTHER: 128 wide, trained in minutes on two cores
#   EPOCHS of the baseline, warm-up updates; UPDATES of the further training of all other systems, warm-up updates
small_models() {
  local adam=(--optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --lr-scheduler inverse_sqrt)
  TRANSFORMER_MODEL=(
    --arch transformer --share-all-embeddings --dropout 0.2 --max-tokens 4000 "${adam[@]}"
    --encoder-embed-dim 128 --encoder-ffn-embed-dim 512 --encoder-layers 2 --encoder-attention-heads 4
    --decoder-embed-dim 128 --decoder-ffn-embed-dim 512 --decoder-layers 2 --decoder-attention-heads 4
  )
  TRANSFORMER_TRAIN=(--max-epoch "$1" --lr 4e-3 --warmup-updates "$2")
  TRANSFORMER_FINETUNE=(--max-update "$3" --lr 1e-3 --warmup-updates "$4")
  TRANSFORMER_CONTROL=(--max-tokens 2200)
  FCONV_MODEL=(
    --arch fconv --share-input-output-embed --dropout 0.2 --max-tokens 4000 --clip-norm 1.0 "${adam[@]}"
    --encoder-embed-dim 128 --encoder-layers '[(128, 3)] * 3'
    --decoder-embed-dim 128 --decoder-out-embed-dim 128 --decoder-layers '[(128, 3)] * 3' --decoder-attention True
  )
  FCONV_TRAIN=(--max-epoch "$1" --lr 2e-3 --warmup-updates "$2")
  FCONV_FINETUNE=(--max-update "$3" --lr 5e-4 --warmup-updates "$4")
  FCONV_CONTROL=(--max-tokens 2200)
}

# iwslt_models UPDATES: the paper's for IWSLT, Transformer 512 wide, ConvS2S with 256-wide embeddings; for a GPU
iwslt_models() {
  published_models "$1"
  TRANSFORMER_MODEL+=(--arch transformer_iwslt_de_en)
  FCONV_MODEL+=(--arch fconv_iwslt_de_en)
}

# wmt_models UPDATES: the paper's for WMT, both 768 wide; for several GPUs
wmt_models() {
  published_models "$1"
  TRANSFORMER_MODEL+=(--arch transformer --encoder-embed-dim 768 --decoder-embed-dim 768)
  FCONV_MODEL+=(--arch fconv_wmt_en_de)
}

# published_models UPDATES: the paper's hyper-parameters, whatever the size (section 5.2)
published_models() {
  TRANSFORMER_MODEL=(
    --share-all-embeddings --dropout 0.3 --weight-decay 1e-4 --max-tokens 5000
    --optimizer adam --adam-betas '(0.9, 0.98)' --lr 5e-4 --lr-scheduler inverse_sqrt --warmup-updates 4000
  )
  TRANSFORMER_TRAIN=(--max-epoch 50 --patience 5)
  TRANSFORMER_FINETUNE=(--max-update "$1" --warmup-updates 400)
  TRANSFORMER_CONTROL=(--max-tokens 2600)
  FCONV_MODEL=(
    --dropout 0.2 --max-tokens 4000 --clip-norm 0.1
    --optimizer nag --lr 0.25 --lr-scheduler reduce_lr_on_plateau --lr-shrink 0.5
  )
  FCONV_TRAIN=(--max-epoch 50 --patience 5)
  FCONV_FINETUNE=(--max-update "$1")
  FCONV_CONTROL=(--max-tokens 2200)
}
