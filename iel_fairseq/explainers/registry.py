"""The explainers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.explainers import attention, lime, random, shap
from iel_fairseq.explainers.result import Explanation
from iel_fairseq.explainers.together import AT_ONCE

Explain: TypeAlias = Callable[[Classifier, Sequence[str], int, int], Iterator[tuple[int, Explanation]]]
"""From a classifier, texts, a number of samples and a seed to rows and their explanations, as they end."""


@dataclass(frozen=True)
class Explainer:
    """A way to find important words.

    Attributes:
        name: for ``--importance``
        explain: as :data:`Explain`
        samples: perturbations of a text, when nothing else is asked for; 0: it makes none
        draws: whether a seed decides what it finds
        package: the library that does it, whose version is part of a result's fingerprint
        at_once: texts that are explained together, and the least that are stored
    """

    name: str
    explain: Explain
    samples: int = 0
    draws: bool = True
    package: str | None = None
    at_once: int = 8192

    def settings(self, samples: int | None, seed: int) -> tuple[int, int | None]:
        """What decides what it finds, where *samples* (None: its own number) and *seed* are asked for.

        Returns:
            perturbations of a text, 0 where it makes none; the seed, None where it draws nothing
        """
        return (samples or self.samples) if self.samples else 0, seed if self.draws else None


EXPLAINERS = {
    each.name: each
    for each in (
        Explainer("attention", attention.explain, draws=False),
        Explainer("lime", lime.explain, samples=5000, package="lime", at_once=AT_ONCE),
        Explainer("random", random.explain),
        Explainer("shap", shap.explain, samples=500, package="shap", at_once=AT_ONCE),
    )
}
"""By name."""
