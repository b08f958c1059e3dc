"""A random word, for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.words import words_of
from iel_fairseq.explainers.result import Explanation, seed_of


def explain(classifier: Classifier, texts: Sequence[str], samples: int, seed: int) -> Iterator[tuple[int, Explanation]]:
    """Scores drawn uniformly: every word is as likely as any other to be the most important one."""
    for row, (text, said) in enumerate(zip(texts, classifier.scores(texts), strict=True)):
        scores = np.random.default_rng(seed_of(text, seed)).random(len(words_of(text)))
        yield row, Explanation.of(text, scores, said)
