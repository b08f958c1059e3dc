"""Scores of translations by sacreBLEU, with the significance of the difference from a control.

By sacreBLEU's paired approximate randomization (Riezler and Maxwell, 2005), which is two-sided. Its paired bootstrap is
that of Moses, whose p is about half as large: it centres the absolute values of the differences. Of two systems that
are equally good it calls one better, at p < 0.05, in one of nine cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sacrebleu import significance
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest, Result

from iel_fairseq.preparation.moses_text import without_region
from iel_fairseq.processes import cores

TRIALS = 10_000
"""Of the randomization."""
SAMPLES = 1000
"""Of the bootstrap that gives confidence intervals."""
ROUNDING = 1e-9
"""By which scores of the same counts may differ."""

CHARACTERS = {"zh": "zh", "yue": "zh", "ja": "char"}
"""sacreBLEU's tokenizer for each language that is written without spaces. (That for Japanese words wants a library
more.)"""


@dataclass(frozen=True)
class Score:
    """What one metric says of one system on one set.

    Attributes:
        score: as sacreBLEU gives it, in percent; of TER less is better
        ci: half the 95% confidence interval around it
        p: how likely a difference as large as that from its control is, in either direction, between systems that are
            equally good; None for the control itself
        signature: sacreBLEU's
    """

    score: float
    ci: float
    p: float | None
    signature: str


def compare(
    control: str | None, translations: Mapping[str, Sequence[str]], references: Sequence[str], language: str = ""
) -> dict[str, dict[str, Score]]:
    """BLEU, chrF and TER of some systems (paper, table 3).

    Args:
        control: name of the system that the others are compared with; None: they are not compared
        translations: by name of the system; raw text, in the order of the references
        references: raw text
        language: code of theirs; what is written without spaces is compared by characters

    Returns:
        by name of the system, by name of the metric

    Raises:
        ValueError: a system has another number of translations than there are references
    """
    for name, texts in translations.items():
        if len(texts) != len(references):
            raise ValueError(f"{name}: {len(texts):,} translations for {len(references):,} references")
    first = control or next(iter(translations))
    names = [first, *(name for name in translations if name != first)]
    by_character = CHARACTERS.get(without_region(language))
    metrics = {
        "BLEU": BLEU(references=[references], tokenize=by_character),
        "chrF": CHRF(references=[references]),
        "TER": TER(references=[references], normalized=bool(by_character), asian_support=bool(by_character)),
    }
    test = PairedTest(
        [(name, list(translations[name])) for name in names],
        metrics,
        references=None,
        test_type="ar",
        n_samples=TRIALS,
        n_ar_confidence=SAMPLES,
        n_jobs=max(1, min(len(names) - 1, cores())),
    )
    with _as_large_counted_in():
        signatures, results = test()
    found: dict[str, dict[str, Score]] = {name: {} for name in names}
    for metric, signature in signatures.items():
        for name, result in zip(names, results[metric], strict=True):
            assert isinstance(result, Result)
            assert result.ci is not None
            p = result.p_value if control else None
            found[name][metric.removesuffix("2")] = Score(float(result.score), float(result.ci), p, str(signature))
    return found


@contextmanager
def _as_large_counted_in() -> Iterator[None]:
    """Let sacreBLEU's p be the share of trials whose difference is as large as the observed one, or larger.

    It counts larger ones only. Where few translations differ many trials give the same difference again, and of two
    systems that differ in one sentence it says p < 0.001.
    """
    before = significance._compute_p_value
    significance._compute_p_value = lambda stats, real_difference: float(
        (np.sum(stats >= real_difference - ROUNDING) + 1) / (len(stats) + 1)
    )
    try:
        yield  # its processes are forked meanwhile
    finally:
        significance._compute_p_value = before
