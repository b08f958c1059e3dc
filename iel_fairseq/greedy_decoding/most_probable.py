"""The most probable target word of each sentence: a third of what a greedy step computes, in small models.

A CPU that has products of 8-bit integers computes all logits with rounded numbers first, four times as fast. How far
off these can be is known, so that one or two words are left that can be the most probable; their logits are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iel_fairseq.device import of_device

LOGITS = {"cpu": 1 << 20, "cuda": 1 << 27}
"""So many are computed at a time: on a CPU they are searched while they are in the cache."""
ROWS = 256
"""But at least those of so many sentences: smaller products are slow."""
FEWEST_ROWS = 32
"""Numbers are rounded for so many sentences or more: it takes some time to begin with."""
MOST_CANDIDATES = 8
"""For a sentence, on average. Where there are more, as in untrained models, whose logits are alike, it does not pay."""
BLOCK = 64
"""Words that are searched together: PyTorch's own search of long rows is slow."""
NEVER = torch.iinfo(torch.int32).min
"""A rounded logit that is below all others."""


class MostProbable:
    """Finds the target word with the largest logit, never padding."""

    def __init__(self, weight: Tensor, padding: int):
        """
        Args:
            weight: of the output projection, ``(V, C)``
            padding: index of that word
        """
        self._weight, self._padding = weight, padding
        self._rows = max(ROWS, of_device(LOGITS, weight.device) // len(weight))
        self._logits = weight.new_empty(self._rows, len(weight)) if weight.device.type == "cpu" else None
        self._rounded: RoundedWords | None = None
        self._rounding_pays = has_8_bit_products(weight)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            x: the decoder's output, ``(B, C)``

        Returns:
            the first word with the largest logit, int64 ``(B)``, and that logit; NaN or infinite where any logit is,
            but for minus infinity beside numbers
        """
        found = [self._of(some) for some in x.chunk(-(-len(x) // self._rows))]
        words, largest = zip(*found, strict=True)
        return torch.cat(words), torch.cat(largest)

    def _of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self._rounding_pays and len(x) >= FEWEST_ROWS:
            if self._rounded is None:
                self._rounded = RoundedWords.of(self._weight, self._padding, self._rows)
            candidates = self._rounded.candidates(x)
            if candidates is not None:
                return self._among(x, *candidates)
            self._rounding_pays = False
        out = None if self._logits is None else self._logits[: len(x)]
        logits = torch.mm(x, self._weight.t(), out=out)
        logits[:, self._padding] = -torch.inf
        return argmax(logits)

    def _among(self, x: Tensor, row: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        """The same among the words of each row, int64 ``(candidates)`` both."""
        logits = (x[row] * self._weight[word]).sum(dim=1)
        largest = logits.new_full((len(x),), -torch.inf).scatter_reduce(0, row, logits, "amax")
        none = len(self._weight)
        first = word.masked_fill(logits < largest[row], none)
        return word.new_full((len(x),), none).scatter_reduce(0, row, first, "amin"), largest


@dataclass(frozen=True)
class RoundedWords:
    """The weights of the output projection as 8-bit integers, the largest of them 127.

    Attributes:
        words: int8 ``(C, V, rounded up to whole blocks)``
        error: length of the longest difference between a word and the rounded one, where 1 is 1 of the integers
        length: of the longest rounded word, likewise
        others: int64, the columns that are padding, or no words
        logits: int32 ``(B at most, words' columns)``, room for results
    """

    words: Tensor
    error: Tensor
    length: Tensor
    others: Tensor
    logits: Tensor

    @classmethod
    def of(cls, weight: Tensor, padding: int, rows: int) -> RoundedWords:
        """Round *weight*, float32 ``(V, C)``, for at most so many *rows* at a time."""
        rounded, length, error = _rounded(weight, weight.abs().amax())
        columns = -(-len(weight) // BLOCK) * BLOCK
        words = rounded.new_zeros(columns, weight.size(1))
        words[: len(weight)] = rounded
        others = torch.arange(columns) >= len(weight)
        others[padding] = True
        logits = torch.empty(rows, columns, dtype=torch.int32)
        return cls(words.t(), error.amax(), (length + error).amax(), others.nonzero().squeeze(1), logits)

    def candidates(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """All words that can have the largest logit.

        With x = x' + e and a word w = w' + f, primes rounded, xw - x'w' = xf + ew', of which Cauchy and Schwarz say
        that it is at most |x||f| + |e||w'|. The rounded logit of one word can be too large by so much, that of another
        one too small.

        Args:
            x: float32 ``(B, C)``

        Returns:
            row and word of each, int64 ``(candidates)``, all words of a row that is not finite; None: too many
        """
        rounded, length, error = _rounded(x, x.abs().amax(dim=1, keepdim=True))
        # What float32 rounds, less than 1e-5 of all, is left to the logits themselves.
        bound = length * (self.error + 1e-5 * self.length) + error * self.length
        behind = (2 * bound).nan_to_num(torch.inf).clamp(max=1 << 30).ceil().int()
        logits = torch._int_mm(rounded, self.words, out=self.logits[: len(x)])
        logits[:, self.others] = NEVER
        blocks = logits.unflatten(1, (-1, BLOCK))
        largest = blocks.amax(dim=2)
        least = (largest.amax(dim=1) - behind).unsqueeze(1)
        row, block = (largest >= least).nonzero(as_tuple=True)
        if len(row) > MOST_CANDIDATES * len(x):
            return None
        near, word = (blocks[row, block] >= least[row]).nonzero(as_tuple=True)
        if len(near) > MOST_CANDIDATES * len(x):
            return None
        return row[near], block[near] * BLOCK + word


def _rounded(x: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """*x*, ``(B, C)``, as int8, where *largest* becomes 127; and in that unit, in which no square is too small or too
    large, the lengths of *x*, and of its differences from what is rounded, both ``(B)``."""
    x = x / (largest / 127).clamp(min=torch.finfo(x.dtype).tiny)
    rounded = x.round()
    return rounded.to(torch.int8), x.norm(dim=1), (x - rounded).norm(dim=1)


def has_8_bit_products(weight: Tensor) -> bool:
    """Whether this machine multiplies 8-bit integers faster than *weight*."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    return torch.cpu._is_vnni_supported()


def argmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The first column with the largest score of each row, int64 ``(B)``, and that score.

    PyTorch's own is slow on long rows.
    """
    columns = scores.size(1)
    whole = columns // BLOCK * BLOCK
    blocks = scores[:, :whole].unflatten(1, (-1, BLOCK))
    best = blocks.amax(dim=2)
    if whole < columns:
        best = torch.cat([best, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    largest, start = best.max(dim=1)
    start = start * BLOCK
    within = start.unsqueeze(1) + torch.arange(BLOCK, device=scores.device)
    return start + scores.gather(1, within.clamp(max=columns - 1)).argmax(dim=1), largest
