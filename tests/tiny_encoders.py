"""Encoders other than BERT, as folders of transformers: random weights, and tokenizers trained on a few sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tiny_bert import PUNCTUATION, SPECIAL, WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import iel_fairseq  # noqa: F401  (before transformers: it says that torchaudio is not to be had)

LIMIT = 40
"""Tokens that the models can read."""
SENTENCES = ["the film was very good", "a bad play, a good house!", "don't you like the dog?", "playing dogs is fun"]
SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    **{"initializer_range": 0.8, "max_position_embeddings": LIMIT},
}


def _word_pieces() -> dict[str, Any]:
    return {"vocab": {word: number for number, word in enumerate([*SPECIAL, *WORDS, *PUNCTUATION])}}


def _byte_pairs() -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES * 3, trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
    )
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}


def _unigrams(special: tuple[str, ...] = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")) -> dict[str, Any]:
    """Of the tokens *special* the first is that of unknown words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        SENTENCES * 3, trainers.UnigramTrainer(vocab_size=60, special_tokens=list(special), unk_token=special[0])
    )
    return {"vocab": [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]}


ENCODERS: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "distilbert": (
        _word_pieces,
        {
            **{"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
            **{"initializer_range": 0.8, "max_position_embeddings": LIMIT},
        },
    ),
    "electra": (_word_pieces, {**SIZES, "embedding_size": 16}),
    "roberta": (
        _byte_pairs,
        {**SIZES, "max_position_embeddings": LIMIT + 2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    ),
    "deberta-v2": (
        _unigrams,
        {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    ),
}
"""By the name of transformers: what its tokenizer knows, and its configuration."""

OTHERS: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "xlnet": (
        partial(_unigrams, ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")),
        {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32, "initializer_range": 0.8},
    ),
    "longformer": (
        _byte_pairs,
        {
            **{**SIZES, "num_hidden_layers": 1, "attention_window": [8], "max_position_embeddings": LIMIT + 2},
            **{"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "sep_token_id": 2},
        },
    ),
    "convbert": (_word_pieces, {**SIZES, "embedding_size": 16}),
    "squeezebert": (_word_pieces, {**SIZES, "embedding_size": 16}),
}
"""Likewise those that cannot do all that the others can."""


def make_encoder(folder: Path, name: str) -> Path:
    """A pretrained encoder of the kind *name*, which can read LIMIT tokens, as a folder of transformers."""
    from transformers import AutoConfig, AutoModel
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    knows, sizes = {**ENCODERS, **OTHERS}[name]
    config = AutoConfig.for_model(name, **sizes)
    # The one that published folders get, which seldom name theirs.
    tokenizer = tokenizer_class_from_name(TOKENIZER_MAPPING_NAMES[name])(**knows(), model_max_length=LIMIT)
    config.vocab_size = len(tokenizer)
    torch.manual_seed(1)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
