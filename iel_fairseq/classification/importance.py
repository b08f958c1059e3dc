"""Algorithm 2 over a data set: an explainer in front of it, and the store behind it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from fairseq.logging import progress_bar

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.encoding import without_special_tokens
from iel_fairseq.classification.words import SEPARATOR, words_of
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS, Explainer, Explanation
from iel_fairseq.source_tokens import listed
from iel_fairseq.store import SHARD_SENTENCES, Store

logger = logging.getLogger(__name__)

FORMAT = 4
"""To be raised when what the explainers find changes, or the way it is stored."""


class ImportanceStore(Store):
    """The importance of words on disk: for each text a row of float32 numbers, the prediction and each word's score.

    The engine stores whole numbers: here they are the bits of the others.
    """

    content = "important words"
    option = "--importance-store"


def _as_row(explanation: Explanation) -> np.ndarray:
    return np.array([explanation.prediction, *explanation.scores], dtype=np.float32).view(np.int32)


def _from_row(text: str, row: np.ndarray) -> Explanation:
    numbers = np.asarray(row).astype(np.int32).view(np.float32)
    return Explanation(text, words_of(text), numbers[1:], float(numbers[0]))


def store_folder(asked: str | None, remembered: str | None, data: str, otherwise: str) -> str:
    """Where importance is kept: as *asked*, or as *remembered*, or with the *data*, which have no folder on the hub."""
    return asked or next((each for each in (remembered, data) if each and os.path.isdir(each)), otherwise)


def check_samples(samples: int | None) -> None:
    """Raise IELError if so few perturbations of a text, None for a package's own number, tell nothing."""
    if samples is not None and samples < 2:
        raise IELError(f"--importance-samples {samples}: it is at least 2")


@dataclass(frozen=True)
class ImportanceExtraction:
    """What explainer explains which texts, and how. No label is known here.

    Attributes:
        texts: of a split; what looks like a special token in them is broken before it is read
        name: of the split
        classifier: whose predictions are explained
        importance: name of the explainer
        samples: perturbations of a text; None: as many as the explainer's package takes by itself
        seed: of the explainer
        log_format: fairseq's, for the progress bar
        log_interval: likewise
    """

    texts: Sequence[str]
    name: str
    classifier: Classifier
    importance: str
    samples: int | None = None
    seed: int = 1
    log_format: str | None = None
    log_interval: int = 100

    def __post_init__(self) -> None:
        """
        Raises:
            IELError: no list of texts, or pairs beside single ones; no such explainer; *samples* are too few to
                tell anything
        """
        pairs = [SEPARATOR in text for text in listed(self.texts)]
        if any(pairs) and not all(pairs):
            single = self.texts[pairs.index(False)]
            raise IELError(f"{single[:40]!r}: a single text beside pairs, which have a tab; explain them apart")
        if self.importance not in EXPLAINERS:
            raise IELError(f"{self.importance}: no such explainer; take {', '.join(EXPLAINERS)}")
        check_samples(self.samples)

    @cached_property
    def _read(self) -> list[str]:
        """The texts as the classifier reads them."""
        return without_special_tokens(self.classifier.model.tokenizer, self.texts)

    @property
    def explainer(self) -> Explainer:
        return EXPLAINERS[self.importance]

    def store(self, parent: str) -> ImportanceStore:
        """The store for what this finds, in the folder *parent*."""
        request = self._request()
        shard_sentences = min(SHARD_SENTENCES, self.explainer.at_once)
        return ImportanceStore(parent, f"{self.name}.{self.importance}", request, shard_sentences)

    def _request(self) -> dict[str, Any]:
        """Everything that decides what is found; plain JSON data."""
        digest = hashlib.sha256()
        for text in self._read:
            digest.update(f"{text}\n".encode())
        package = self.explainer.package
        samples, seed = self.explainer.settings(self.samples, self.seed)
        return {
            "format": FORMAT,
            "extractor_sha256": self.classifier.sha256,
            "source_sha256": digest.hexdigest(),
            "sentences": len(self.texts),
            "dtype": "int32",
            "importance": self.importance,
            "samples": samples,
            "seed": seed,
            "package": package and f"{package} {importlib.metadata.version(package)}",
        }

    def explanations(self, sentences: range | None = None) -> list[Explanation]:
        """For each text, or each of a range of them, in their order, its explanation; with a progress bar.

        Raises:
            IELError: importance, or what the classifier says, is not finite
        """
        sentences = range(len(self.texts)) if sentences is None else sentences
        texts = [self._read[index] for index in sentences]
        bar = progress_bar.progress_bar(
            range(len(texts)),
            log_format=self.log_format,
            log_interval=self.log_interval,
            prefix=f"{self.importance} of {self.name}, {sentences.start + 1:,} to {sentences.stop:,} "
            f"of {len(self.texts):,}",
        )
        found: list[Explanation | None] = [None] * len(texts)
        started = time.perf_counter()
        samples, _ = self.explainer.settings(self.samples, self.seed)
        done = self.explainer.explain(self.classifier, texts, samples, self.seed)
        for _, (row, explanation) in zip(bar, done, strict=True):
            if not np.isfinite(explanation.scores).all():
                raise IELError(
                    f"{self.classifier.path}, text {sentences[row] + 1:,} of {self.name}: importance by "
                    f"{self.importance} is not finite (NaN or infinity); take another explainer"
                )
            found[row] = explanation
        seconds = time.perf_counter() - started
        logger.info(
            f"{self.name}: {self.importance}, sentences {sentences.start + 1:,} to {sentences.stop:,} of "
            f"{len(self.texts):,} explained in {seconds:.1f} s"
        )
        return [explanation for explanation in found if explanation is not None]

    def found(self, parent: str | None) -> Iterable[Explanation]:
        """:meth:`stored_explanations`; or, where *parent* is None, :meth:`explanations`, which nothing keeps."""
        return self.explanations() if parent is None else self.stored_explanations(parent)

    def stored_explanations(self, parent: str) -> Iterator[Explanation]:
        """For each text its explanation, one after the other, from the store in *parent*; what that lacks is found
        first, by all ranks together.

        Warns at the end of texts whose important word is the first of several that are as important.
        """
        rows = self.store(parent).fill(lambda sentences: [_as_row(found) for found in self.explanations(sentences)])
        ties = 0
        for text, row in zip(self._read, rows, strict=True):
            explanation = _from_row(text, row)
            ties += explanation.is_tie
            yield explanation
        if ties:
            logger.warning(
                f"{self.name}: in {ties:,} texts several words are equally important, and the first was taken; "
                f"more --importance-samples tell them apart"
            )
