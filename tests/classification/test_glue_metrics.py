"""GLUE's metrics (DESIGN line 18), computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from iel_fairseq.classification.metrics import METRICS

PREDICTIONS = np.array([1.0, 1, 1, 0, 0, 0, 0, 1])
LABELS = np.array([1.0, 1, 0, 0, 0, 1, 0, 1])  # three found, one too many, one missed, three left alone


@pytest.mark.parametrize(
    ("name", "expected"),
    [("accuracy", 6 / 8), ("f1", 2 * 3 / (4 + 4)), ("matthews", (3 * 3 - 1 * 1) / math.sqrt(4 * 4 * 4 * 4))],
)
def test_of_classes(name, expected):
    assert METRICS[name](PREDICTIONS, LABELS) == pytest.approx(100 * expected)


def test_of_scores():
    guesses, scores = np.array([1.0, 2, 9, 3]), np.array([0.0, 1, 5, 1])  # ranks 1 2 4 3, and 1 2.5 4 2.5
    assert METRICS["spearman"](guesses, scores) == pytest.approx(100 * 4.5 / math.sqrt(5 * 4.5))
    assert METRICS["pearson"](guesses, scores) == pytest.approx(100 * 23.75 / math.sqrt(38.75 * 14.75))


@pytest.mark.parametrize("name", ["matthews", "spearman", "pearson", "f1"])
@pytest.mark.parametrize("labels", [[0.0, 0, 1, 1, 0], [0.0] * 5, [1.0]])
def test_one_class_only_is_nothing_not_a_failure(name, labels, recwarn):
    assert METRICS[name](np.zeros(len(labels)), np.array(labels)) == 0
    assert not recwarn.list
