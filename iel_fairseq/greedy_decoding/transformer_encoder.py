"""The short way through a standard Transformer encoder.

What fairseq's encoder computes, with the projections of self-attention in one product, and nothing kept but the output.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from fairseq.models.transformer import TransformerEncoder, TransformerEncoderBase
from fairseq.modules.transformer_layer import TransformerEncoderLayer, TransformerEncoderLayerBase
from torch import Tensor, nn

from iel_fairseq.greedy_decoding.dense import Dense, PackedWeights, is_standard_attention


def is_standard_encoder(encoder: nn.Module) -> bool:
    """Whether *encoder* is fairseq's own Transformer encoder, of standard layers."""
    return (
        isinstance(encoder, TransformerEncoderBase)
        and type(encoder) in (TransformerEncoder, TransformerEncoderBase)
        and all(_is_standard_layer(layer) for layer in encoder.layers)
    )


def _is_standard_layer(layer: nn.Module) -> bool:
    return (
        type(layer) in (TransformerEncoderLayer, TransformerEncoderLayerBase)
        and is_standard_attention(layer.self_attn)
        and type(layer.fc1) is type(layer.fc2) is nn.Linear
    )


class ShortEncoder:
    """An encoder for which :func:`is_standard_encoder` holds."""

    def __init__(self, encoder: TransformerEncoderBase, packed: PackedWeights | None = None):
        """
        Args:
            encoder: in eval mode
            packed: its large weights; None: they stay as they are
        """
        self._encoder = encoder
        self._layers = [_Layer(layer, packed) for layer in encoder.layers]

    def __call__(self, src_tokens: Tensor) -> Tensor:
        """
        Args:
            src_tokens: int64 ``(B, columns)``

        Returns:
            the encoder's output, ``(B, columns, C)``; any numbers at padding
        """
        padding = src_tokens.eq(self._encoder.padding_idx)
        looked_at = ~padding[:, None, None] if padding.any() else None
        x, _ = self._encoder.forward_embedding(src_tokens)
        for layer in self._layers:
            x = layer(x, looked_at)
        return x if self._encoder.layer_norm is None else self._encoder.layer_norm(x)


class _Layer:
    def __init__(self, layer: TransformerEncoderLayerBase, packed: PackedWeights | None):
        self._layer = layer
        self._qkv = Dense.queries_keys_values(layer.self_attn, packed)
        self._out = Dense(layer.self_attn.out_proj, packed=packed)
        self._fc1 = Dense(layer.fc1, packed=packed, activation=layer.activation_fn)
        self._fc2 = Dense(layer.fc2, packed=packed)

    def __call__(self, x: Tensor, looked_at: Tensor | None) -> Tensor:
        layer = self._layer
        before = layer.normalize_before

        y = layer.self_attn_layer_norm(x) if before else x
        heads = layer.self_attn.num_heads
        queries, keys, values = self._qkv(y).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        looked = F.scaled_dot_product_attention(queries, keys, values, attn_mask=looked_at)
        x = x + self._out(looked.transpose(1, 2).flatten(2))
        if not before:
            x = layer.self_attn_layer_norm(x)

        y = layer.final_layer_norm(x) if before else x
        x = x + self._fc2(self._fc1(y))
        return x if before else layer.final_layer_norm(x)
