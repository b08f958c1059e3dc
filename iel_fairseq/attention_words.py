"""Algorithm 1: ask a trained translation model which source words it looked at.

A batch and a model go in; hypotheses, attention positions and their scores come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from fairseq.models import FairseqEncoderDecoderModel, FairseqIncrementalDecoder
from fairseq.models.fconv import FConvDecoder
from fairseq.models.transformer import TransformerDecoderBase
from torch import Tensor

from iel_fairseq.errors import IELError
from iel_fairseq.padding import right_padded

MAX_LEN_A, MAX_LEN_B = 1.2, 10
"""An extractor generates at most A x I + B tokens, fairseq's customary bound for translation. Computed for each
sentence from its own length, so that no sentence depends on its neighbours. Without it a greedy extractor that falls
into a loop fills the enhanced source with hundreds of copies of one word."""


@dataclass(frozen=True)
class AttentionWords:
    """What an extractor generated for a batch, and where it looked (paper, Algorithm 1).

    B is the number of sentences, in the order of the input, J the length of the longest hypothesis.

    Attributes:
        hypotheses: int64 ``(B, J)``, generated target tokens without ``</s>``; padding index behind the end
        positions: int64 ``(B, J)``, the attention positions: 1-based source position with the highest
            attention, 0 behind the end
        scores: float32 ``(B, J)``, the attention weight at that position, 0 behind the end
        lengths: int64 ``(B)``, the number of attention words of each sentence
    """

    hypotheses: Tensor
    positions: Tensor
    scores: Tensor
    lengths: Tensor


@torch.no_grad()
def extract_attention_words(
    model: FairseqEncoderDecoderModel,
    src_tokens: Tensor,
    *,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    max_len_a: float = MAX_LEN_A,
    max_len_b: int = MAX_LEN_B,
) -> AttentionWords:
    """Greedy, free-running decoding that keeps, for each generated token, where its attention was highest.

    Transformer: cross-attention of one decoder layer, averaged over heads. ConvS2S: attention averaged over the
    decoder layers that attend. ``</s>`` and padding are never attention words; an exact tie goes to the lowest
    position; the step that generates ``</s>`` adds nothing. A sentence without source words, or longer than the
    model can read, generates nothing.

    Args:
        model: the extractor, in eval mode, on the device of *src_tokens*
        src_tokens: int64 ``(B, I + 1)``, source tokens and ``</s>``, padded on either side (an LSTM wants the
            longest first)
        layer: index of the decoder layer to read, negative from the end; default: the last (Transformer), all
            that attend (ConvS2S)
        heads: indices of the attention heads to read (Transformer); default: all
        max_len_a: at most ``max_len_a * I + max_len_b`` tokens are generated for a source of I words
        max_len_b: likewise

    Raises:
        ValueError: *model* is in training mode
        IELError: the model's decoder gives no attention, or has no such layer or head
    """
    if model.training:
        raise ValueError("the extractor must be in eval mode: call model.eval() first")
    encoder, decoder = model.encoder, model.decoder
    pad, eos = decoder.dictionary.pad(), decoder.dictionary.eos()
    # On the right, where padding leaves columns and positions in step. (fairseq's LSTM moves it there itself, and
    # returns attention over the moved columns.)
    src_tokens, src_lengths = right_padded(src_tokens, pad)
    is_word = src_tokens.ne(pad) & src_tokens.ne(eos)
    limits = (max_len_a * (src_lengths - 1) + max_len_b).long().clamp(max=model.max_decoder_positions() - 1)

    batch_size, steps = len(limits), int(limits.max()) if len(limits) else 0
    hypotheses = src_tokens.new_full((batch_size, steps), pad)
    positions = src_tokens.new_zeros((batch_size, steps))
    scores = torch.zeros((batch_size, steps), device=src_tokens.device)

    # The sentences that are still generating. A finished one is dropped from every tensor below.
    readable = src_lengths <= encoder.max_positions()
    rows = (is_word.any(dim=1) & readable).nonzero().squeeze(1)
    is_word = is_word[rows]
    prefix = src_tokens.new_full((rows.numel(), 1), eos)
    encoder_out = encoder(src_tokens[rows], src_lengths=src_lengths[rows]) if rows.numel() else None
    incremental_state: dict = {}
    with _attention_reader(decoder, layer, heads) as (decoder_options, read_attention):
        for step in range(steps):
            if rows.numel() == 0:
                break
            decoder_out = decoder(
                prefix, encoder_out=encoder_out, incremental_state=incremental_state, **decoder_options
            )
            token = _most_probable_token(model, decoder_out, never=pad)
            # max gives the first of equals
            score, column = read_attention(decoder_out).masked_fill(~is_word, -1.0).max(dim=1)
            going_on = (token.ne(eos) & limits[rows].gt(step)).nonzero().squeeze(1)
            if going_on.numel() < rows.numel():
                rows, prefix, token, score, column, is_word = (
                    tensor[going_on] for tensor in (rows, prefix, token, score, column, is_word)
                )
                encoder_out = encoder.reorder_encoder_out(encoder_out, going_on)
                decoder.reorder_incremental_state_scripting(incremental_state, going_on)
            hypotheses[rows, step] = token
            positions[rows, step] = column + 1
            scores[rows, step] = score.float()
            prefix = torch.cat([prefix, token.unsqueeze(1)], dim=1)

    lengths = positions.gt(0).sum(dim=1)
    longest = int(lengths.max()) if batch_size else 0
    return AttentionWords(hypotheses[:, :longest], positions[:, :longest], scores[:, :longest], lengths)


def check_extractor(model: object, layer: int | None = None, heads: Sequence[int] | None = None) -> None:
    """Raise one clear error unless Algorithm 1 can read *layer* and *heads* of *model*.

    Raises:
        IELError: not an encoder-decoder that decodes step by step, or no such layer or head
    """
    if not isinstance(model, FairseqEncoderDecoderModel) or not isinstance(model.decoder, FairseqIncrementalDecoder):
        raise IELError(f"{type(model).__name__} is not an encoder-decoder that can be an extractor")
    with _attention_reader(model.decoder, layer, heads):
        pass


def _most_probable_token(model: FairseqEncoderDecoderModel, decoder_out: tuple, never: int) -> Tensor:
    """The greedy choice at the newest step, int64 ``(B)``."""
    if getattr(model.decoder, "adaptive_softmax", None) is None:
        newest = decoder_out[0][:, -1]  # the largest logit is the largest probability
    else:
        newest = model.get_normalized_probs(decoder_out, log_probs=True, sample=None)[:, -1]
    newest[:, never] = float("-inf")
    return newest.argmax(dim=-1)


@contextmanager
def _attention_reader(
    decoder: FairseqIncrementalDecoder, layer: int | None, heads: Sequence[int] | None
) -> Iterator[tuple[dict, Callable[[tuple], Tensor]]]:
    """Give the options that make *decoder* compute attention, and a function that reads the newest step's.

    The function takes the decoder's output and returns attention over source columns, ``(B, columns)``. What
    fairseq's decoders return themselves is enough neither for single heads (Transformer: the first N only) nor
    for one layer (ConvS2S: the average only), hence hooks on the attention modules.
    """
    if isinstance(decoder, TransformerDecoderBase):
        index = _index("--attn-layer", -1 if layer is None else layer, len(decoder.layers), "decoder layers")
        attending = [getattr(decoder.layers[index], "encoder_attn", None)]
        options = {"alignment_layer": index}
    elif isinstance(decoder, FConvDecoder):
        if heads is not None:
            raise IELError(
                f"--attn-heads {_listed(heads)}: a ConvS2S decoder has no attention heads; leave the option out"
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
        yield {}, lambda decoder_out: _returned_attention(decoder, decoder_out)
        return

    modules = [module for module in attending if module is not None]
    if not modules:
        chosen = "" if layer is None else f" in layer {layer}"
        raise IELError(f"the extractor's {type(decoder).__name__} gives no attention{chosen}; it cannot be read")
    if heads is not None:
        heads = [_index("--attn-heads", head, modules[0].num_heads, "attention heads") for head in heads]

    weights: list[Tensor] = []
    handles = [module.register_forward_hook(lambda _, __, out: weights.append(out[1])) for module in modules]

    def read(decoder_out: tuple) -> Tensor:
        averaged = torch.stack(weights).mean(dim=0) if len(weights) > 1 else weights[0]
        weights.clear()
        if averaged.dim() == 4:  # a Transformer's: (heads, B, steps, columns)
            averaged = (averaged if heads is None else averaged[list(heads)]).mean(dim=0)
        return averaged[:, -1]

    try:
        yield options, read
    finally:
        for handle in handles:
            handle.remove()


def _returned_attention(decoder: FairseqIncrementalDecoder, decoder_out: tuple) -> Tensor:
    """The attention that any other decoder returns beside its output, ``(B, columns)`` for the newest step."""
    extra = decoder_out[1] if len(decoder_out) > 1 else None
    attention = extra.get("attn") if isinstance(extra, dict) else extra
    if isinstance(attention, (list, tuple)):
        attention = attention[0] if attention else None
    if attention is None:
        raise IELError(f"the extractor's {type(decoder).__name__} gives no attention; it cannot be read")
    return attention[:, -1]


def _index(option: str, value: int, size: int, what: str) -> int:
    if not -size <= value < size:
        raise IELError(f"{option} {value}: the extractor has {size} {what}, 0 to {size - 1}")
    return value % size


def _listed(heads: Sequence[int]) -> str:
    return ",".join(str(head) for head in heads)
