"""Training on a mixture: a share of the sentences without attention words."""

from __future__ import annotations

from dataclasses import dataclass

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

    def drops(self, epoch: int, index: int) -> bool:
        """Whether sentence *index* of the data set has no attention words in *epoch*: the same in every process."""
        return self.share > 0 and np.random.default_rng([self.seed, epoch, index]).random() < self.share
