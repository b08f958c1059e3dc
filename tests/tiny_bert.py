"""BERT with random or planted weights and a vocabulary of a few words, made in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from iel_fairseq.classification.checkpoint import WordEnhancement
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.glue import GLUE_TASKS
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier

# shap compiles for 12 seconds what it needs for milliseconds in tests
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "a", "film", "house", "was", "is", "good", "bad", "very", "play", "##ing", "##s", "dog", "cat", "👍"]
PUNCTUATION = [".", ",", "!", "'", "-"]
LIMIT = 24
"""Tokens that the model can read."""


def make_folder(folder: Path, limit: int = LIMIT, spread: float = 0.8) -> Path:
    """A pretrained model as a folder of transformers."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS, *PUNCTUATION]), encoding="utf-8")
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS, *PUNCTUATION])}
    BertTokenizerFast(vocab=vocabulary, model_max_length=limit).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=limit, initializer_range=spread,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def make_classifier(folder: Path, glue: str = "CoLA", **options) -> Classifier:
    """A classifier with random weights, for a task of GLUE."""
    pretrained = Pretrained.from_name(str(make_folder(folder, **options)), GLUE_TASKS[glue])
    torch.manual_seed(1)
    model = HFSequenceClassifier(pretrained, str(folder))
    torch.nn.init.normal_(model.hf.classifier.weight)
    return Classifier(model.eval(), GLUE_TASKS[glue], torch.device("cpu"), max_tokens=200, sha256="0" * 64)


def save(path: Path, classifier: Classifier) -> str:
    """A checkpoint of *classifier*, as fairseq writes it."""
    memory = WordEnhancement(classifier.glue.name, classifier.model.pretrained).to_task_state()
    state = {
        "model": classifier.model.state_dict(),
        "cfg": {"task": {}},
        "optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {"best": None}}],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": memory,
    }
    torch.save(state, path)
    return str(path)


def plant(classifier: Classifier, words: Sequence[str] = ("good",)) -> Classifier:
    """Make class 1, or the score, the doing of *words* alone: all attention looks for them, nothing else counts."""
    hf, tokenizer = classifier.model.hf, classifier.model.tokenizer
    with torch.no_grad():
        for layer in hf.bert.encoder.layer:
            for parameter in [*layer.attention.self.parameters(), *layer.output.dense.parameters()]:
                parameter.zero_()
            attention = layer.attention.self
            for head in (0, 8):
                attention.query.bias[head] = 4.0
                attention.key.weight[head, 0] = 1.0
                attention.value.weight[head, 0] = 1.0
            layer.attention.output.dense.weight.copy_(2 * torch.eye(16))
            layer.attention.output.dense.bias.zero_()
        embeddings = hf.bert.embeddings
        embeddings.position_embeddings.weight.zero_()
        embeddings.token_type_embeddings.weight.zero_()
        embeddings.word_embeddings.weight[:, 0] = 0
        for word in words:
            embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids(word), 0] = 8
        hf.bert.pooler.dense.weight.zero_()
        hf.bert.pooler.dense.weight[0, 0] = 1
        hf.bert.pooler.dense.bias.zero_()
        hf.bert.pooler.dense.bias[0] = -1
        hf.classifier.weight.zero_()
        hf.classifier.weight[-1, 0] = 3
        hf.classifier.bias.zero_()
    return classifier
