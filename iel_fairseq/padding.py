"""One form for batches of either padding side."""

from __future__ import annotations

from torch import Tensor


def right_padded(tokens: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Move every row's tokens to the front, in their order, and drop columns that hold padding only.

    Args:
        tokens: int64 ``(B, columns)``, padding anywhere
        pad: padding index

    Returns:
        int64 ``(B, longest)``, and the lengths of its rows, int64 ``(B)``
    """
    is_token = tokens.ne(pad)
    lengths = is_token.sum(dim=1)
    front = is_token.int().argsort(dim=1, descending=True, stable=True)
    return tokens.gather(1, front)[:, : longest(lengths)], lengths


def longest(lengths: Tensor) -> int:
    """The greatest of *lengths*, int64 ``(B)``; 0: there are none."""
    return int(lengths.max()) if len(lengths) else 0
