"""A trained classifier as a function of texts: many of them at once, each different one computed once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iel_fairseq.classification.encoding import Encoded, encode, encoded_of, pad, split_pairs
from iel_fairseq.classification.glue import GlueTask
from iel_fairseq.device import of_device
from iel_fairseq.errors import IELError
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier
from iel_fairseq.threads import shared_out

TOKENS = {"cpu": 4096, "cuda": 65_536}
"""Read at once. A GPU waits for the host where there are few."""
TOKENS_WITH_ATTENTION = {"cpu": 4096, "cuda": 16_384}
"""Likewise where the attention of all layers is kept, each token's to each."""


_switching = threading.Lock()


@contextmanager
def _eager_attention(model: HFSequenceClassifier) -> Iterator[None]:
    """The way of computing that gives attention weights, until the last of those who want it at once has ended."""
    hf: Any = model.hf
    with _switching:
        if not model.attention_readers:
            model.attention_before = hf.config._attn_implementation
            hf.set_attn_implementation("eager")
        model.attention_readers += 1
    try:
        yield
    finally:
        with _switching:
            model.attention_readers -= 1
            if not model.attention_readers:
                hf.set_attn_implementation(model.attention_before)


@dataclass(frozen=True, eq=False)
class Attention:
    """What one text's ``[CLS]`` looked at (paper, section 2.3).

    Attributes:
        scores: float32 ``(classes,)``, as :meth:`Classifier.scores` gives them
        weights: float32 ``(tokens,)``, the last layer's attention from ``[CLS]``, summed over heads
        spans: for each token its sentence (None for special tokens), and its first and last character there
    """

    scores: np.ndarray
    weights: np.ndarray
    spans: list[tuple[int | None, int, int]]


@dataclass(frozen=True)
class Classifier:
    """A model that reads texts, in eval mode.

    Attributes:
        model: moved to *device* when it is first needed
        glue: what it was trained for
        device: where it computes
        max_tokens: tokens that are read at once, padding included, by each thread; changes speed and memory only; None:
            :data:`TOKENS`
        path: absolute path of its checkpoint
        sha256: of that file
        importance: the explainer whose word it was trained to read at the end of a text; None: none
    """

    model: HFSequenceClassifier
    glue: GlueTask
    device: torch.device
    max_tokens: int | None = None
    path: str = ""
    sha256: str = ""
    importance: str | None = None

    def check_plain(self, instead: str) -> None:
        """Before what it says of texts as they are is explained.

        Args:
            instead: what to do about it

        Raises:
            IELError: it was trained on enhanced texts
        """
        if self.importance is not None:
            raise IELError(f"{self.path}: reads texts with a word at their end, found by {self.importance}; {instead}")

    def scores(self, texts: Sequence[str], appended: Sequence[str | None] | None = None) -> np.ndarray:
        """What the model thinks of *texts*: float32 ``(n, classes)``, probabilities, or ``(n, 1)``, scores.

        Equal texts are computed once; batches hold texts of about the same length.

        Args:
            texts: sentences, or pairs as one text each
            appended: for each text the word at its end; None: there is none

        Raises:
            IELError: what it says of a text is not finite
        """
        inputs = list(zip(texts, appended or [None] * len(texts), strict=True))
        different = {text: row for row, text in enumerate(dict.fromkeys(inputs))}
        plain, words = [text for text, _ in different], [word for _, word in different]
        encoded, _ = encode(self.model.tokenizer, plain, self.model.limit, words)
        found = np.empty((len(different), self.glue.outputs), dtype=np.float32)
        for rows, logits, _ in self._computed(encoded, attentions=False):
            found[rows] = self._as_scores(logits)
        self._check_finite(plain, found)
        return found[[different[text] for text in inputs]]

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """The class, or score, predicted where *scores* ``(n, classes)`` are given: float32 ``(n,)``."""
        return scores[:, 0] if self.glue.regression else scores.argmax(1).astype(np.float32)

    def attention(self, texts: Sequence[str]) -> Iterator[tuple[int, Attention]]:
        """What ``[CLS]`` looks at in each of *texts*, in the order in which they end, with their row.

        Raises:
            IELError: the model has no attention that can be read, its first token is not ``[CLS]``, or what it says of
                a text, or looks at, is not finite
        """
        if not texts:
            return
        tokenizer = self.model.tokenizer
        firsts, seconds = split_pairs(texts)
        # One call for numbers and places: tokenising twice would cost as much as a layer of a small model.
        batch = tokenizer(
            firsts, seconds, truncation=True, max_length=self.model.limit, return_offsets_mapping=True, verbose=False
        )
        if tokenizer.cls_token_id is None or any(ids[0] != tokenizer.cls_token_id for ids in batch["input_ids"]):
            raise IELError(f"{self.path}: its input does not begin with [CLS], whose attention was to be read")
        encoded = encoded_of(batch)
        with _eager_attention(self.model):
            for rows, logits, weights in self._computed(encoded, attentions=True):
                scores = self._as_scores(logits)
                self._check_finite([texts[row] for row in rows], np.concatenate([scores, weights], axis=1))
                for place, row in enumerate(rows):
                    spans = [
                        (s, *o) for s, o in zip(batch.sequence_ids(row), batch["offset_mapping"][row], strict=True)
                    ]
                    yield row, Attention(scores[place], weights[place, : len(spans)], spans)

    def _as_scores(self, logits: Tensor) -> np.ndarray:
        return (logits if self.glue.regression else logits.softmax(-1)).cpu().numpy()

    def _check_finite(self, texts: Sequence[str], numbers: np.ndarray) -> None:
        """
        Raises:
            IELError: some of a text's *numbers*, ``(n, ...)``, are not finite
        """
        finite = np.isfinite(numbers).all(axis=1)
        if not finite.all():
            text = texts[int(finite.argmin())]
            raise IELError(
                f"{self.path}: what it says of {text!r} is not finite (NaN or infinity); take another checkpoint"
            )

    def _computed(self, encoded: list[Encoded], attentions: bool) -> Iterator[tuple[list[int], Tensor, np.ndarray]]:
        """Batch by batch: rows of *encoded*, logits, and, with *attentions*, what ``[CLS]`` attends to."""
        self.model.to(self.device).eval()
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        tokens = self.max_tokens or of_device(TOKENS_WITH_ATTENTION if attentions else TOKENS, self.device)
        yield from shared_out(
            partial(self._forward, encoded, attentions), self._batches(encoded, tokens, threads), threads
        )

    def _batches(self, encoded: list[Encoded], tokens: int, threads: int) -> Iterator[list[int]]:
        """Rows of *encoded*, the longest first, so many *tokens* at once; each thread gets something to do."""
        lengths = np.array([len(row.input_ids) for row in encoded], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable").tolist()
        at_most = max(1, -(-len(order) // threads))
        while order:
            size = min(at_most, max(1, tokens // int(lengths[order[0]])))
            yield order[:size]
            order = order[size:]

    @torch.inference_mode()
    def _forward(
        self, encoded: list[Encoded], attentions: bool, batches: Iterator[list[int]]
    ) -> Iterator[tuple[list[int], Tensor, np.ndarray]]:
        hf: Any = self.model.hf
        for rows in batches:
            inputs = pad([encoded[row] for row in rows], self.model.tokenizer)
            inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
            if not attentions:
                yield rows, self.model(**inputs).float(), np.empty(0)
                continue
            output = hf(**inputs, output_attentions=True, return_dict=True)
            attentions_of_layers = getattr(output, "attentions", None)
            tokens = inputs["input_ids"].size(1)
            if not attentions_of_layers or attentions_of_layers[-1].shape[-2:] != (tokens, tokens):
                raise IELError(
                    f"{self.path}: {hf.config.model_type} has no attention of each token to each; take lime or shap"
                )
            of_cls = attentions_of_layers[-1][:, :, 0].float()
            if (of_cls.sum(-1) - 1).abs().gt(0.01).any():
                raise IELError(
                    f"{self.path}: what {hf.config.model_type} gives as attention does not sum to 1; take lime or shap"
                )
            yield rows, output.logits.float(), of_cls.sum(1).cpu().numpy()
