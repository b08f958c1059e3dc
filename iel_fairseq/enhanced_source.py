"""Algorithm 3: append the attention words to the source, x' and p'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from iel_fairseq.padding import longest, right_padded

Lengths = TypeVar("Lengths", Tensor, np.ndarray)


@dataclass(frozen=True, eq=False)
class EnhancedSource:
    """A batch of enhanced sources (paper, Algorithm 3). B sentences, S' columns.

    Attributes:
        tokens: int64 ``(B, S')``, x' = x1..xI α1..αJ ``</s>``, padded on the side that was asked for
        lengths: int64 ``(B)``, I + J + 1
        origins: int64 ``(B, S')``, the 1-based position in the plain source that each column comes from:
            1..I ρ1..ρJ I+1; 0 for padding
        cut: int64 ``(B)``, attention words that did not fit
    """

    tokens: Tensor
    lengths: Tensor
    origins: Tensor
    cut: Tensor

    def position_ids(self, padding_idx: int) -> Tensor:
        """The enhanced positions p' as fairseq numbers them: int64 ``(B, S')``, *padding_idx* for padding."""
        return self.origins + padding_idx


def enhanced_length(length: Lengths, words: Lengths, limit: int) -> Lengths:
    """I + J + 1 after cutting to *limit*: int64 tensors or numpy arrays, all of one shape.

    Args:
        length: I + 1
        words: J
        limit: what the encoder can read; a plain source beyond it keeps its length
    """
    return length + (limit - length).clip(0).clip(max=words)


def enhance_source(
    src_tokens: Tensor,
    attention_positions: Tensor,
    *,
    pad: int,
    left_pad: bool,
    limit: int,
    pad_to_multiple: int = 1,
) -> EnhancedSource:
    """Append to each source the words at its attention positions.

    Args:
        src_tokens: int64 ``(B, I + 1)``, source tokens and ``</s>``, padded on either side
        attention_positions: int64 ``(B, J)``, 1-based, 0 behind the end
        pad: padding index of the dictionary
        left_pad: pad x' on the left
        limit: longest x', with ``</s>``, that the encoder can read; attention words beyond it are cut
        pad_to_multiple: make S' a multiple of this
    """
    front, length = right_padded(src_tokens, pad)
    words = attention_positions.gt(0).sum(dim=1)
    new_length = enhanced_length(length, words, limit)

    columns = longest(new_length)
    columns += -columns % pad_to_multiple
    # The distance of each column from the first token of its sentence; outside 0..length for padding.
    offset = torch.arange(columns, device=src_tokens.device).unsqueeze(0).expand(len(front), -1)
    if left_pad:
        offset = offset - (columns - new_length).unsqueeze(1)
    plain = (length - 1).unsqueeze(1)  # I
    last = (new_length - 1).unsqueeze(1)  # I + J
    word = offset - plain
    origins = torch.where(offset < plain, offset + 1, plain + 1)  # </s>, unless it is an attention word:
    if attention_positions.size(1):
        at = attention_positions.gather(1, word.clamp(0, attention_positions.size(1) - 1))
        origins = torch.where((word >= 0) & (offset < last), at, origins)
    inside = (offset >= 0) & (offset <= last)
    origins = origins.where(inside, torch.zeros_like(origins))
    tokens = front.gather(1, (origins - 1).clamp(min=0)).masked_fill(~inside, pad)
    return EnhancedSource(tokens, new_length, origins, cut=words - (new_length - length))


def enhance_batch(
    batch: dict[str, Any],
    attention_positions: Tensor,
    *,
    pad: int,
    left_pad: bool,
    limit: int,
    attn_positions: bool,
    pad_to_multiple: int = 1,
) -> tuple[dict[str, Any], EnhancedSource]:
    """fairseq's batch with x' in the place of x; *batch* itself stays as it is.

    The new batch has ``net_input.src_positions`` (p', int64 ``(B, S')``) when *attn_positions* is on, and
    ``plain_src_len`` (int), the number of columns of the plain source. All else, the target among it, is the same.

    Returns:
        the new batch, and the enhanced source in it
    """
    net_input = batch["net_input"]
    enhanced = enhance_source(
        net_input["src_tokens"],
        attention_positions,
        pad=pad,
        left_pad=left_pad,
        limit=limit,
        pad_to_multiple=pad_to_multiple,
    )
    net_input = {**net_input, "src_tokens": enhanced.tokens, "src_lengths": enhanced.lengths}
    if attn_positions:
        net_input["src_positions"] = enhanced.position_ids(pad)
    plain_src_len = batch["net_input"]["src_tokens"].size(1)
    return {**batch, "net_input": net_input, "plain_src_len": plain_src_len}, enhanced


def is_enhanced(batch: dict[str, Any]) -> bool:
    """Whether *batch* has been through :func:`enhance_batch`."""
    return "plain_src_len" in batch
