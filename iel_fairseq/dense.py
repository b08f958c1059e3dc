"""Dense layers, with weights laid out for this CPU where many batches go through them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from fairseq.modules import MultiheadAttention
from torch import Tensor, nn

LARGE = 1 << 18
"""Smaller weights, of products that are over soon, stay as they are: what calls oneDNN takes longer than it gains."""
ROWS = 256
"""The number of rows that weights are laid out for; any number can be multiplied."""


class Dense:
    """``xW' + b``, and an activation, where one is given."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, packed: bool, activation: Callable | None = None):
        """
        Args:
            weight: ``(out, in)``
            bias: ``(out)``
            packed: lay out the weight for this CPU, if it is a large one: it takes as long as some products
            activation: of what comes out
        """
        self._weight, self._bias, self._activation = weight, bias, activation
        pays = packed and weight.numel() >= LARGE and can_be_packed(weight)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS) if pays else None
        self._fused = self._packed is not None and activation is F.relu

    @classmethod
    def of(cls, layer: nn.Linear, *, packed: bool, activation: Callable | None = None) -> Dense:
        """That of fairseq's *layer*."""
        return cls(layer.weight, layer.bias, packed=packed, activation=activation)

    @classmethod
    def queries_keys_values(cls, attention: MultiheadAttention, *, packed: bool) -> Dense:
        """The three of self-attention in one product, for which :func:`is_standard_attention` holds."""
        layers = (attention.q_proj, attention.k_proj, attention.v_proj)
        bias = None if attention.q_proj.bias is None else torch.cat([layer.bias for layer in layers])
        return cls(torch.cat([layer.weight for layer in layers]), bias, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        """
        Args:
            x: ``(..., in)``

        Returns:
            ``(..., out)``
        """
        if self._packed is None:
            y = F.linear(x, self._weight, self._bias)
        else:
            attribute = "relu" if self._fused else "none"
            y = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, attribute, [], "")
        return y if self._activation is None or self._fused else self._activation(y)


def can_be_packed(weight: Tensor) -> bool:
    """Whether this machine, and this PyTorch, lay out such a weight in a way of their own."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def is_standard_attention(attention: object) -> bool:
    """Whether *attention* is fairseq's own, of dense layers, without the options that this package's short ways, of
    encoder and decoder, do not know."""
    return (
        isinstance(attention, MultiheadAttention)
        and type(attention) is MultiheadAttention
        and attention.bias_k is None
        and not attention.add_zero_attn
        and not getattr(attention, "use_xformers", False)
        and all(
            type(projection) is nn.Linear
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)
        )
    )
