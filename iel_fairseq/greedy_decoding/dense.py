"""Dense layers, with weights laid out for this CPU where many batches go through them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from fairseq.modules import MultiheadAttention
from torch import Tensor, nn

LARGE = 1 << 18
"""Smaller weights, of products that are over soon, stay as they are: what calls oneDNN takes longer than it gains."""
ROWS = 256
"""The number of rows that weights are laid out for; any number can be multiplied."""


class PackedWeights:
    """The large weights of a model that does not change meanwhile, laid out for this CPU, each once for all threads."""

    def __init__(self) -> None:
        self._packed: dict[tuple[int, ...], Tensor | None] = {}
        self._packing = threading.Lock()

    def of(self, *layers: nn.Linear) -> Tensor | None:
        """That of *layers*, one behind the other; None: it stays as it is, small, or not float32 on such a CPU."""
        key = tuple(map(id, layers))
        with self._packing:
            if key not in self._packed:
                pays = sum(layer.weight.numel() for layer in layers) >= LARGE and can_be_packed(layers[0].weight)
                weight = _joined([layer.weight.detach() for layer in layers]) if pays else None
                self._packed[key] = None if weight is None else torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
            return self._packed[key]


class Dense:
    """``xW' + b`` of a layer, or of several with the same input, and an activation, where one is given."""

    def __init__(self, *layers: nn.Linear, packed: PackedWeights | None, activation: Callable | None = None):
        """
        Args:
            layers: whose outputs stand one behind the other
            packed: their weights, where they are large; None: they stay as they are
            activation: of what comes out
        """
        weight = None if packed is None else packed.of(*layers)
        self._packed = weight is not None
        self._weight = _joined([layer.weight for layer in layers]) if weight is None else weight
        self._bias = None if layers[0].bias is None else _joined([layer.bias for layer in layers])
        self._activation = activation
        self._fused = self._packed and activation is F.relu

    @classmethod
    def queries_keys_values(cls, attention: MultiheadAttention, packed: PackedWeights | None) -> Dense:
        """The three of self-attention, for which :func:`is_standard_attention` holds."""
        return cls(attention.q_proj, attention.k_proj, attention.v_proj, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        """
        Args:
            x: ``(..., in)``

        Returns:
            ``(..., out)``
        """
        if self._packed:
            attribute = "relu" if self._fused else "none"
            y = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, attribute, [], "")
        else:
            y = F.linear(x, self._weight, self._bias)
        return y if self._activation is None or self._fused else self._activation(y)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


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
