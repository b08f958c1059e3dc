"""The data set of texts to be classified, with or without a word at their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset

from iel_fairseq.classification.encoding import Encoded, encode, pad, without_special_tokens
from iel_fairseq.classification.glue import Example
from iel_fairseq.complete_batches import CompleteBatches
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier


class ClassificationDataset(CompleteBatches, FairseqDataset):
    """Texts as a model reads them, and their labels.

    A batch has ``id`` (int64 ``(B,)``), ``nsentences``, ``ntokens``, ``net_input`` (what the model's ``forward``
    takes) and, where the texts have labels, ``target`` (float64 ``(B,)``, classes or scores:
    fairseq rounds what is float32 in a training of half precision).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        model: HFSequenceClassifier,
        appended: Sequence[str | None] | None = None,
        shuffle: bool = False,
    ):
        """
        Args:
            examples: texts and labels
            model: for its tokenizer and the longest input that it reads
            appended: for each text the word at its end
            shuffle: put texts of the same length in random order; fairseq puts the batches in another one in each epoch
        """
        self.examples = examples
        texts = without_special_tokens(model.tokenizer, [example.text for example in examples])
        self.encoded, self.cut = encode(model.tokenizer, texts, model.limit, appended)
        self.sizes = np.array([len(row.input_ids) for row in self.encoded], dtype=np.int64)
        self._tokenizer = model.tokenizer
        self._shuffle = shuffle

    def __getitem__(self, index: int) -> tuple[int, Encoded, float | None]:
        return index, self.encoded[index], self.examples[index].label

    def __len__(self) -> int:
        return len(self.examples)

    def collater(self, samples: list[tuple[int, Encoded, float | None]]) -> dict[str, Any]:
        if not samples:
            return {}
        indices, encoded, labels = zip(*samples, strict=True)
        batch = {
            "id": torch.tensor(indices),
            "nsentences": len(samples),
            "ntokens": sum(len(row.input_ids) for row in encoded),
            "net_input": pad(encoded, self._tokenizer),
        }
        if None not in labels:
            batch["target"] = torch.tensor(labels, dtype=torch.float64)
        return batch

    def num_tokens(self, index: int) -> int:
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return self.sizes[indices]

    def size(self, index: int) -> int:
        return int(self.sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """By length, for batches without much padding; fairseq shuffles the batches."""
        order = np.random.permutation(len(self)) if self._shuffle else np.arange(len(self))
        return order[np.argsort(self.sizes[order], kind="stable")]
