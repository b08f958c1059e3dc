"""The ablation: attention words replaced by words drawn at random (paper, section 6)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iel_fairseq.errors import IELError


@dataclass(frozen=True)
class Noise:
    """Replaces a share of each sentence's attention words by words drawn uniformly from the same source sentence.

    What is drawn depends on the seed and on the sentence alone: it is the same in every epoch, batch and command.

    Attributes:
        share: of the attention words that are replaced, 0 to 1; their number is rounded to the nearest
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
            raise IELError(f"--attn-noise {self.share}: it is a share of the attention words, 0 to 1")

    def on(self, src_tokens: Tensor, attention_positions: Tensor, *, pad: int, eos: int) -> Tensor:
        """Attention positions after the replacement; a word's position follows it.

        Args:
            src_tokens: int64 ``(B, columns)``, plain sources, padded on either side
            attention_positions: int64 ``(B, J)``, 1-based, 0 behind the end
            pad: padding index of the dictionary
            eos: index of ``</s>``, which is never drawn

        Returns:
            int64 ``(B, J)``
        """
        if self.share == 0:
            return attention_positions
        rows = zip(src_tokens.cpu().numpy(), attention_positions.cpu().numpy(), strict=True)
        noisy = [self._on_sentence(tokens[tokens != pad], positions, eos) for tokens, positions in rows]
        return torch.from_numpy(np.stack(noisy)).to(attention_positions) if noisy else attention_positions

    def _on_sentence(self, tokens: np.ndarray, positions: np.ndarray, eos: int) -> np.ndarray:
        count = np.count_nonzero(positions)
        drawn_from = np.flatnonzero(tokens != eos) + 1
        random = np.random.default_rng([self.seed, zlib.crc32(tokens.astype("<i4").tobytes())])
        replaced = random.permutation(count)[: int(self.share * count + 0.5)]
        noisy = positions.copy()
        noisy[replaced] = random.choice(drawn_from, size=len(replaced))
        return noisy
