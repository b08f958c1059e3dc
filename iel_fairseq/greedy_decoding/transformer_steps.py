"""The short way through a standard Transformer decoder: one greedy step for several cohorts of sentences.

What fairseq's decoder computes, with the projections of self-attention in one product, keys and values written into
room that is there already, no bookkeeping of beams, and attention weights for the one layer that is read. The dense
layers see the sentences of all cohorts together; attention, whose shape differs, is computed for each cohort.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.models.transformer import TransformerDecoder, TransformerDecoderBase
from fairseq.modules.transformer_layer import TransformerDecoderLayer, TransformerDecoderLayerBase
from torch import Tensor, nn

from iel_fairseq.greedy_decoding.dense import Dense, PackedWeights, is_standard_attention
from iel_fairseq.greedy_decoding.most_probable import MostProbable
from iel_fairseq.greedy_decoding.transformer_encoder import ShortEncoder, is_standard_encoder

COLUMNS = 16
"""Attention weights are computed over at least so many: a CPU's softmax is slow on shorter rows."""


def is_standard_transformer(decoder: nn.Module) -> bool:
    """Whether *decoder* is fairseq's own Transformer decoder, without the options that this module does not know."""
    return (
        type(decoder) in (TransformerDecoder, TransformerDecoderBase)
        and type(decoder.embed_tokens) is nn.Embedding
        and decoder.adaptive_softmax is None
        and decoder.quant_noise is None
        and not decoder.cross_self_attention
        and all(_is_standard_layer(layer) for layer in decoder.layers)
    )


def _is_standard_layer(layer: nn.Module) -> bool:
    return (
        type(layer) in (TransformerDecoderLayer, TransformerDecoderLayerBase)
        and all(extra is None for extra in (layer.attn_ln, layer.c_attn, layer.ffn_layernorm, layer.w_resid))
        and all(is_standard_attention(attention) for attention in (layer.self_attn, layer.encoder_attn))
        and type(layer.fc1) is type(layer.fc2) is nn.Linear
    )


class TransformerCohort:
    """Sentences that began together, with the keys and values of all layers.

    H heads of D dimensions, S source columns, T steps at most.
    """

    def __init__(self, padding: Tensor, steps: int):
        """
        Args:
            padding: bool ``(B, source columns)``
            steps: how many there will be at most
        """
        self.columns = padding.size(1)
        """Of the source as it came."""
        self.padding = F.pad(padding, (0, max(0, COLUMNS - self.columns)), value=True)
        """bool ``(B, S)``"""
        self.steps = steps
        """T"""
        self.time = 0
        """Steps that have been made."""
        self.source: list[tuple[Tensor, Tensor]] = []
        """Of each layer, keys and values of the source: ``(B, H, S, D)``."""
        self.target: list[tuple[Tensor, Tensor]] = []
        """Of each layer, those of the tokens so far, and room for more: ``(B, H, T, D)``."""

    def __len__(self) -> int:
        return len(self.padding)

    def keep(self, order: Tensor) -> None:
        """See :class:`~iel_fairseq.greedy_decoding.steps.Cohort`."""
        moved = (order != torch.arange(len(order), device=order.device)).nonzero().squeeze(1)

        def kept(state: Tensor) -> Tensor:
            state[moved] = state[order[moved]]  # most stay where they are
            return state[: len(order)]

        self.padding = kept(self.padding)
        self.source = [(kept(keys), kept(values)) for keys, values in self.source]
        self.target = [(kept(keys), kept(values)) for keys, values in self.target]


class TransformerSteps:
    """Greedy steps of a decoder for which :func:`is_standard_transformer` holds."""

    def __init__(
        self,
        model: FairseqEncoderDecoderModel,
        layer: int,
        heads: Sequence[int] | None,
        packed: PackedWeights | None = None,
    ):
        """
        Args:
            model: in eval mode
            layer: whose attention is read
            heads: likewise; None: all
            packed: its large weights; None: they stay as they are
        """
        decoder = model.decoder
        self._encoder, self._decoder, self._layer = model.encoder, decoder, layer
        self._heads = None if heads is None else list(heads)
        self._short_encoder = ShortEncoder(model.encoder, packed) if is_standard_encoder(model.encoder) else None
        self._layers = [_LayerStep(module, index, packed) for index, module in enumerate(decoder.layers)]
        weight = decoder.output_projection.weight
        self._positions = weight.new_empty(0, decoder.embed_dim)
        self._most_probable = MostProbable(weight, decoder.padding_idx)

    def begin(self, src_tokens: Tensor, src_lengths: Tensor, steps: int) -> TransformerCohort:
        """See :class:`~iel_fairseq.greedy_decoding.steps.DecodingSteps`."""
        if len(self._positions) < steps:
            self._positions = self._embedded_positions(steps, src_tokens)
        cohort = TransformerCohort(src_tokens.eq(self._decoder.padding_idx), steps)
        encoded = F.pad(self._encoded(src_tokens, src_lengths), (0, 0, 0, cohort.padding.size(1) - cohort.columns))
        for layer in self._layers:
            layer.begin(cohort, encoded)
        return cohort

    def _encoded(self, src_tokens: Tensor, src_lengths: Tensor) -> Tensor:
        """The encoder's output, ``(B, columns, C)``."""
        if self._short_encoder is not None:
            return self._short_encoder(src_tokens)
        [encoded] = self._encoder(src_tokens, src_lengths=src_lengths)["encoder_out"]
        return encoded.transpose(0, 1)

    def _embedded_positions(self, steps: int, like: Tensor) -> Tensor:
        if self._decoder.embed_positions is None:
            return self._positions.new_zeros(steps, self._decoder.embed_dim)
        tokens = like.new_full((1, steps), self._decoder.dictionary.eos())  # any but padding
        return self._decoder.embed_positions(tokens)[0].to(self._positions)

    def step(self, cohorts: Sequence[TransformerCohort], tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~iel_fairseq.greedy_decoding.steps.DecodingSteps`."""
        decoder = self._decoder
        x = decoder.embed_scale * decoder.embed_tokens(tokens)
        if decoder.project_in_dim is not None:
            x = decoder.project_in_dim(x)
        x = x + torch.cat([self._positions[cohort.time].expand(len(cohort), -1) for cohort in cohorts])
        if decoder.layernorm_embedding is not None:
            x = decoder.layernorm_embedding(x)
        attention: list[Tensor] = []
        for layer in self._layers:
            x, weights = layer.step(x, cohorts)
            if layer.index == self._layer:
                attention = weights
        for cohort in cohorts:
            cohort.time += 1
        if decoder.layer_norm is not None:
            x = decoder.layer_norm(x)
        if decoder.project_out_dim is not None:
            x = decoder.project_out_dim(x)
        tokens, largest = self._most_probable(x)
        unknown = nothing_or_nan(largest).split([len(cohort) for cohort in cohorts])
        return tokens, [
            (weights if self._heads is None else weights[:, self._heads]).mean(dim=1)[:, : cohort.columns] + nan
            for weights, cohort, nan in zip(attention, cohorts, unknown, strict=True)
        ]


class _LayerStep:
    """One decoder layer."""

    def __init__(self, layer: TransformerDecoderLayerBase, index: int, packed: PackedWeights | None):
        self.index = index
        self._layer = layer
        self._qkv = Dense.queries_keys_values(layer.self_attn, packed)
        self._out = Dense(layer.self_attn.out_proj, packed=packed)
        attention = layer.encoder_attn
        self._source_query = Dense(attention.q_proj, packed=packed)
        self._source_key = Dense(attention.k_proj, packed=packed)
        self._source_value = Dense(attention.v_proj, packed=packed)
        self._source_out = Dense(attention.out_proj, packed=packed)
        self._fc1 = Dense(layer.fc1, packed=packed, activation=layer.activation_fn)
        self._fc2 = Dense(layer.fc2, packed=packed)

    def begin(self, cohort: TransformerCohort, encoded: Tensor) -> None:
        attention = self._layer.encoder_attn
        keys, values = (
            projection(encoded).unflatten(2, (attention.num_heads, -1)).transpose(1, 2).contiguous()
            for projection in (self._source_key, self._source_value)
        )
        cohort.source.append((keys, values))
        room = (len(cohort), self._layer.self_attn.num_heads, cohort.steps, self._layer.self_attn.head_dim)
        cohort.target.append((encoded.new_empty(room), encoded.new_empty(room)))

    def step(self, x: Tensor, cohorts: Sequence[TransformerCohort]) -> tuple[Tensor, list[Tensor]]:
        """The layer's output ``(B, C)``, and each cohort's attention to the source ``(its sentences, H, S)``."""
        layer = self._layer
        sizes = [len(cohort) for cohort in cohorts]
        before = layer.normalize_before

        y = layer.self_attn_layer_norm(x) if before else x
        heads = layer.self_attn.num_heads
        projected = self._qkv(y).unflatten(1, (3, heads, -1))
        looked = []
        for cohort, qkv in zip(cohorts, projected.split(sizes), strict=True):
            keys, values = cohort.target[self.index]
            keys[:, :, cohort.time], values[:, :, cohort.time] = qkv[:, 1], qkv[:, 2]
            now = cohort.time + 1
            out = F.scaled_dot_product_attention(qkv[:, 0].unsqueeze(2), keys[:, :, :now], values[:, :, :now])
            looked.append(out.flatten(1))
        x = x + self._out(torch.cat(looked))
        if not before:
            x = layer.self_attn_layer_norm(x)

        y = layer.encoder_attn_layer_norm(x) if before else x
        query = (self._source_query(y) * layer.encoder_attn.scaling).unflatten(1, (heads, -1))
        looked, attention = [], []
        for cohort, q in zip(cohorts, query.split(sizes), strict=True):
            out, weights = _attend(q, *cohort.source[self.index], cohort.padding)
            looked.append(out)
            attention.append(weights)
        x = x + self._source_out(torch.cat(looked))
        if not before:
            x = layer.encoder_attn_layer_norm(x)

        y = layer.final_layer_norm(x) if before else x
        x = x + self._fc2(self._fc1(y))
        return (x if before else layer.final_layer_norm(x)), attention


def _attend(query: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """What comes of one query a sentence, ``(B, H * D)``, and the attention weights ``(B, H, columns)``.

    Args:
        query: ``(B, H, D)``, scaled
        keys: ``(B, H, columns, D)``
        values: likewise
        hidden: columns that are not looked at: bool ``(B, columns)``
    """
    size, heads, columns, dimension = keys.shape
    scores = torch.bmm(query.reshape(size * heads, 1, dimension), keys.flatten(0, 1).transpose(1, 2))
    scores.view(size, heads, columns).masked_fill_(hidden.unsqueeze(1), -torch.inf)
    weights = scores.softmax(dim=-1, dtype=torch.float32)  # read in full precision, whatever the model's is
    return torch.bmm(weights.to(values), values.flatten(0, 1)).view(size, -1), weights.view(size, heads, columns)


def nothing_or_nan(scores: Tensor) -> Tensor:
    """0 where *scores*, ``(B)``, are finite, else NaN: ``(B, 1)``, to be added to what they decide about."""
    return (scores - scores).unsqueeze(1)
