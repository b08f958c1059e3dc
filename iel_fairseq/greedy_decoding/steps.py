"""One greedy step at a time, with the attention of one layer: the ground that Algorithm 1 stands on.

Standard Transformer decoders go the short way of :mod:`~iel_fairseq.greedy_decoding.transformer_steps`, all others
fairseq's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeAlias

import torch
from fairseq.models import FairseqEncoderDecoderModel, FairseqIncrementalDecoder
from fairseq.models.fconv import FConvDecoder
from fairseq.models.transformer import TransformerDecoderBase
from fairseq.modules import BeamableMM
from torch import Tensor, nn

from iel_fairseq.errors import IELError
from iel_fairseq.greedy_decoding.dense import PackedWeights
from iel_fairseq.greedy_decoding.transformer_steps import TransformerSteps, is_standard_transformer, nothing_or_nan

ReadAttention: TypeAlias = Callable[[Callable[[], tuple]], tuple[tuple, Tensor]]
"""Calls a decoder; its output, and the attention with which it was computed."""


class Cohort(Protocol):
    """Sentences that began together, and are decoded in step."""

    def __len__(self) -> int:
        """How many are still there."""
        ...

    def keep(self, order: Tensor) -> None:
        """Go on with some of them only.

        Args:
            order: int64 ``(B')``, which sentence takes each place
        """


class DecodingSteps(Protocol):
    """Greedy decoding of cohorts of sentences, one token each at a time."""

    def begin(self, src_tokens: Tensor, src_lengths: Tensor, steps: int) -> Cohort:
        """Encode a batch, and start to decode it.

        Args:
            src_tokens: int64 ``(B, columns)``, padded on the right
            src_lengths: int64 ``(B)``
            steps: how many will be asked for at most
        """

    def step(self, cohorts: Sequence[Any], tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Feed each sentence its newest token.

        Args:
            cohorts: with B sentences in all
            tokens: int64 ``(B)``, cohort after cohort

        Returns:
            the most probable target words, never padding, int64 ``(B)``; and for each cohort attention over its
            source columns, ``(its sentences, its columns)``, NaN where the words' probabilities are not finite
        """


@contextmanager
def decoding_steps(
    model: FairseqEncoderDecoderModel,
    layer: int | None,
    heads: Sequence[int] | None,
    packed: PackedWeights | None = None,
) -> Iterator[DecodingSteps]:
    """Decode with *model* step by step, the fastest way that it allows.

    Args:
        model: in eval mode
        layer: as :func:`~iel_fairseq.attention_words.extract_attention_words` has it
        heads: likewise
        packed: the model's large weights, laid out for this CPU, which pays when many batches follow

    Raises:
        IELError: the model's decoder gives no attention, or has no such layer or head
    """
    heads = None if heads is None else list(heads)
    with reading_attention(model.decoder, layer, heads) as (options, read_attention):
        if is_standard_transformer(model.decoder):
            yield TransformerSteps(model, options["alignment_layer"], heads, packed)
        else:
            with _one_hypothesis_a_sentence(model.decoder):
                yield FairseqSteps(model, options, read_attention)


@contextmanager
def _one_hypothesis_a_sentence(decoder: FairseqIncrementalDecoder) -> Iterator[None]:
    """Let a decoder that fairseq prepared for its beam search attend to a source for each hypothesis, not each beam."""
    products = [module for module in decoder.modules() if isinstance(module, BeamableMM)]
    beams = [product.beam_size for product in products]
    for product in products:
        product.set_beam_size(None)
    try:
        yield
    finally:
        for product, beam in zip(products, beams, strict=True):
            product.set_beam_size(beam)


class FairseqCohort:
    """Sentences that began together, and fairseq's state of their decoding."""

    def __init__(self, model: FairseqEncoderDecoderModel, encoder_out: Any, size: int, device: torch.device):
        self._model = model
        self.encoder_out = encoder_out
        self.incremental_state: dict = {}
        self.prefix = torch.empty((size, 0), dtype=torch.int64, device=device)
        """Tokens so far, int64 ``(B, time)``."""

    def __len__(self) -> int:
        return len(self.prefix)

    def keep(self, order: Tensor) -> None:
        """See :class:`Cohort`."""
        self.prefix = self.prefix[order]
        self.encoder_out = self._model.encoder.reorder_encoder_out(self.encoder_out, order)
        self._model.decoder.reorder_incremental_state_scripting(self.incremental_state, order)


class FairseqSteps:
    """Any of fairseq's incremental decoders, as it is."""

    def __init__(
        self,
        model: FairseqEncoderDecoderModel,
        options: dict[str, Any],
        read_attention: ReadAttention,
    ):
        """
        Args:
            model: in eval mode
            options: for the decoder, see :func:`reading_attention`
            read_attention: likewise
        """
        self._model, self._options, self._read_attention = model, options, read_attention

    def begin(self, src_tokens: Tensor, src_lengths: Tensor, steps: int) -> FairseqCohort:
        """See :class:`DecodingSteps`."""
        encoder_out = self._model.encoder(src_tokens, src_lengths=src_lengths)
        return FairseqCohort(self._model, encoder_out, len(src_tokens), src_tokens.device)

    def step(self, cohorts: Sequence[FairseqCohort], tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`DecodingSteps`."""
        found, attention = [], []
        for cohort, newest in zip(cohorts, tokens.split([len(cohort) for cohort in cohorts]), strict=True):
            cohort.prefix = torch.cat([cohort.prefix, newest.unsqueeze(1)], dim=1)
            decoder_out, weights = self._read_attention(
                partial(
                    self._model.decoder,
                    cohort.prefix,
                    encoder_out=cohort.encoder_out,
                    incremental_state=cohort.incremental_state,
                    **self._options,
                )
            )
            if getattr(self._model.decoder, "adaptive_softmax", None) is None:
                scores = decoder_out[0][:, -1]  # the largest logit is the largest probability
            else:
                scores = self._model.get_normalized_probs(decoder_out, log_probs=True, sample=None)[:, -1]
            scores[:, self._model.decoder.dictionary.pad()] = -torch.inf
            largest, words = scores.max(dim=1)
            found.append(words)
            attention.append(weights[:, -1] + nothing_or_nan(largest))
        return torch.cat(found), attention


@contextmanager
def reading_attention(
    decoder: FairseqIncrementalDecoder, layer: int | None, heads: Sequence[int] | None, *, alone: bool = False
) -> Iterator[tuple[dict, ReadAttention]]:
    """Give the options that make *decoder* compute attention, and a function that calls it and reads it.

    With *alone* nothing else is wanted of the decoder: a Transformer does without the probabilities, which take most of
    the memory.

    The function returns the decoder's output and attention ``(B, steps, columns)``, over source columns, of the steps
    that were asked for. What fairseq's decoders return themselves is enough neither for single heads
    (Transformer: the first N only) nor for one layer (ConvS2S: the average only), hence hooks on the attention
    modules.

    Raises:
        IELError: the decoder gives no attention, or has no such layer or head
    """
    if isinstance(decoder, TransformerDecoderBase):
        index = _index("--attn-layer", -1 if layer is None else layer, len(decoder.layers), "decoder layers")
        attending = [getattr(decoder.layers[index], "encoder_attn", None)]
        options = {"alignment_layer": index, **({"features_only": True} if alone else {})}
    elif isinstance(decoder, FConvDecoder):
        if heads is not None:
            raise IELError(
                f"--attn-heads {_listed(heads)}: a ConvS2S decoder has no attention heads; leave the option out, "
                f"or take an extractor that has them"
            )
        attending = list(decoder.attention)
        if layer is not None:
            attending = [attending[_index("--attn-layer", layer, len(attending), "decoder layers")]]
        options = {}
    else:
        if layer is not None or heads is not None:
            raise IELError(
                f"--attn-layer and --attn-heads choose within Transformer and ConvS2S decoders, "
                f"not within {type(decoder).__name__}; leave them out"
            )
        yield {}, partial(_read_returned, decoder)
        return

    modules = [module for module in attending if module is not None]
    if not modules:
        chosen = "" if layer is None else f" in layer {layer}"
        raise IELError(f"the extractor's {type(decoder).__name__} gives no attention{chosen}; it cannot be read")
    if heads is not None:
        heads = [_index("--attn-heads", head, modules[0].num_heads, "attention heads") for head in heads]
        if not heads:
            raise IELError("--attn-heads: none are given; leave it out for all")

    weights: list[Tensor] = []
    reader: int | None = None  # the thread; it, and others, may call the same model for something else

    def remember(module: nn.Module, inputs: tuple, out: tuple) -> None:
        if threading.get_ident() == reader:
            weights.append(out[1])

    handles = [module.register_forward_hook(remember) for module in modules]

    def read(decode: Callable[[], tuple]) -> tuple[tuple, Tensor]:
        nonlocal reader
        reader = threading.get_ident()
        try:
            decoder_out = decode()
            averaged = torch.stack(weights).float().mean(dim=0) if len(weights) > 1 else weights[0].float()
        finally:
            reader = None
            weights.clear()
        if averaged.dim() == 4:  # a Transformer's: (heads, B, steps, columns)
            averaged = (averaged if heads is None else averaged[heads]).mean(dim=0)
        return decoder_out, averaged

    try:
        yield options, read
    finally:
        for handle in handles:
            handle.remove()


def _read_returned(decoder: FairseqIncrementalDecoder, decode: Callable[[], tuple]) -> tuple[tuple, Tensor]:
    """What any other decoder returns, and the attention that is a part of it, ``(B, steps, columns)``."""
    decoder_out = decode()
    extra = decoder_out[1] if len(decoder_out) > 1 else None
    attention = extra.get("attn") if isinstance(extra, dict) else extra
    if isinstance(attention, (list, tuple)):
        attention = attention[0] if attention else None
    if attention is None:
        raise IELError(f"the extractor's {type(decoder).__name__} gives no attention; it cannot be read")
    return decoder_out, attention


def _index(option: str, value: int, size: int, what: str) -> int:
    if not -size <= value < size:
        raise IELError(f"{option} {value}: the extractor has {size} {what}, 0 to {size - 1}")
    return value % size


def _listed(heads: Sequence[int]) -> str:
    return ",".join(str(head) for head in heads)
