"""GLUE's metrics, over a whole set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions, in percent."""
    return 100 * float((predictions == labels).mean())


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1, in percent; 0 where nothing of that class is found."""
    found = ((predictions == 1) & (labels == 1)).sum()
    return 100 * float(2 * found / max((predictions == 1).sum() + (labels == 1).sum(), 1))


def matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews correlation of two classes, times 100; 0 where either side has one class only."""
    return _correlation(predictions, labels)


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Pearson correlation, times 100; 0 where either side is constant."""
    return _correlation(predictions, labels)


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Spearman's rank correlation, times 100; ties have their mean rank. 0 where either side is constant."""
    return _correlation(_ranks(predictions), _ranks(labels))


METRICS: dict[str, Metric] = {metric.__name__: metric for metric in (accuracy, f1, matthews, pearson, spearman)}
"""By name; each takes predictions and labels, both ``(n,)``. Matthews' is Pearson's correlation of two classes."""


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    spread = np.sqrt((a * a).sum() * (b * b).sum())
    return 100 * float((a * b).sum() / spread) if spread > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
