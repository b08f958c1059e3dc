"""How faithful an explanation is to the model: comprehensiveness and sufficiency (DeYoung et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.words import keep_words
from iel_fairseq.explainers import Explanation

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of a text's words, rounded up to whole words, over which the mean is taken (AOPC)."""


@dataclass(frozen=True)
class Faithfulness:
    """Means over texts and :data:`SHARES` of what the predicted class's probability loses, or the score.

    Attributes:
        comprehensiveness: when the most important words are taken away; the higher, the better
        sufficiency: when all others are taken away; the lower, the better
    """

    comprehensiveness: float
    sufficiency: float


def faithfulness(classifier: Classifier, explanations: Sequence[Explanation]) -> Faithfulness:
    """Measure *explanations* of what *classifier* says; texts without words do not count.

    Raises:
        ValueError: no text has words
    """
    explained = [found for found in explanations if found.words]
    if not explained:
        raise ValueError("no text has words")
    whole = _scores(classifier, explained, [found.text for found in explained])
    comprehensiveness, sufficiency = [], []
    for share in SHARES:
        without, alone = [], []
        for found in explained:
            order = np.argsort(-found.scores, kind="stable").tolist()
            count = math.ceil(share * len(order))
            without.append(keep_words(found.text, set(order[count:])))
            alone.append(keep_words(found.text, set(order[:count])))
        comprehensiveness.append(whole - _scores(classifier, explained, without))
        sufficiency.append(whole - _scores(classifier, explained, alone))
    return Faithfulness(float(np.mean(comprehensiveness)), float(np.mean(sufficiency)))


def _scores(classifier: Classifier, explained: Iterable[Explanation], texts: list[str]) -> np.ndarray:
    """For each of *texts* the score of the class that was predicted for the whole text: ``(n,)``."""
    scores = classifier.scores(texts)
    if classifier.glue.regression:
        return scores[:, 0]
    return scores[np.arange(len(texts)), [int(found.prediction) for found in explained]]
