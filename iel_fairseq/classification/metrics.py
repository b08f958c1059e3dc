"""GLUE's metrics, over a whole set, by scikit-learn and scipy; in percent, or times 100."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Metric = Callable[[np.ndarray, np.ndarray], float]


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Of class 1; 0 where nothing of that class is found."""
    return sk.f1_score(labels, predictions, zero_division=0)


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """0 where either side is constant."""
    return stats.pearsonr(labels, predictions).statistic if len(labels) > 1 else 0.0  # scipy refuses one alone


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Ties have their mean rank. 0 where either side is constant."""
    return stats.spearmanr(labels, predictions).statistic


def _in_percent(metric: Metric) -> Metric:
    def measure(predictions: np.ndarray, labels: np.ndarray) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sides that are constant
            return 100 * float(np.nan_to_num(metric(labels, predictions)))

    return measure


METRICS: dict[str, Metric] = {
    name: _in_percent(metric)
    for name, metric in {
        "accuracy": sk.accuracy_score,
        "f1": f1,
        "matthews": sk.matthews_corrcoef,
        "pearson": pearson,
        "spearman": spearman,
    }.items()
}
"""By name; each takes predictions and labels, both ``(n,)``."""
