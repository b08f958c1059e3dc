"""Training on a mixture: a share of the sentences without attention words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from iel_fairseq.errors import IELError


@dataclass(frozen=True)
class AttnDropout:
    """Leaves a share of the training sentences without their attention words, other ones in each epoch.

    A model that also reads plain sources in training can be an extractor afterwards, which reads nothing else.

    Attributes:
        share: of the sentences, 0 to 1
        seed: of the random numbers
    """

    share: float = 0.0
    seed: int = 1

    def __post_init__(self):
        """
        Raises:
            IELError: a share that is none
        """
        if not 0 <= self.share <= 1:
            raise IELError(f"--attn-dropout {self.share}: it is a share of the training sentences, 0 to 1")

    def dropped(self, epoch: int, sentences: int) -> np.ndarray:
        """Which of the *sentences* of a data set have no attention words in *epoch*, bool ``(sentences,)``.

        The same in every process.
        """
        return _dropped(self, epoch, sentences)


@lru_cache(maxsize=1)  # asked for sentence by sentence
def _dropped(dropout: AttnDropout, epoch: int, sentences: int) -> np.ndarray:
    return np.random.default_rng([dropout.seed, epoch]).random(sentences) < dropout.share
