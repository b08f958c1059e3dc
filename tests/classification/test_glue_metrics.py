"""GLUE's metrics are those of scikit-learn and scipy (DESIGN line 18)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from iel_fairseq.classification.metrics import METRICS

RNG = np.random.default_rng(1)
LABELS = RNG.integers(0, 2, 200).astype(float)
PREDICTIONS = np.where(RNG.random(200) < 0.7, LABELS, 1 - LABELS)
SCORES = RNG.integers(0, 11, 200) / 2.0  # with ties
GUESSES = SCORES + RNG.normal(size=200)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", sk.accuracy_score(LABELS, PREDICTIONS)),
        ("f1", sk.f1_score(LABELS, PREDICTIONS)),
        ("matthews", sk.matthews_corrcoef(LABELS, PREDICTIONS)),
    ],
)
def test_of_classes(name, expected):
    assert METRICS[name](PREDICTIONS, LABELS) == pytest.approx(100 * expected)


def test_of_scores():
    assert METRICS["spearman"](GUESSES, SCORES) == pytest.approx(100 * stats.spearmanr(GUESSES, SCORES)[0])
    assert METRICS["pearson"](GUESSES, SCORES) == pytest.approx(100 * stats.pearsonr(GUESSES, SCORES)[0])


@pytest.mark.parametrize("name", ["matthews", "spearman", "pearson", "f1"])
def test_one_class_only_is_nothing_not_a_failure(name):
    assert METRICS[name](np.zeros(5), np.array([0.0, 0, 1, 1, 0])) == 0
