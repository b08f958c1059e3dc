"""Algorithm 1: ask a trained translation model which source words it looked at.

A batch and a model go in; hypotheses, attention positions and their scores come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from fairseq.models import FairseqEncoderDecoderModel, FairseqIncrementalDecoder
from fairseq.models.nat import FairseqNATModel
from torch import Tensor

from iel_fairseq.errors import IELError
from iel_fairseq.greedy_decoding.dense import PackedWeights
from iel_fairseq.greedy_decoding.steps import DecodingSteps, decoding_steps, reading_attention
from iel_fairseq.padding import longest, right_padded

Key = TypeVar("Key")

MAX_LEN_A, MAX_LEN_B = 1.2, 10
"""An extractor generates at most A x I + B tokens, fairseq's customary bound for translation. Computed for each
sentence from its own length, so that no sentence depends on its neighbours. Without it a greedy extractor that falls
into a loop fills the enhanced source with hundreds of copies of one word."""

DROPPED_SHARE = 1 / 16
"""Finished sentences are dropped when they are at least such a share of a batch."""

NOT_IN_EVAL_MODE = "the extractor must be in eval mode: call model.eval() first"


class NotFiniteError(IELError):
    """A model's numbers for a sentence are NaN or infinite.

    Attributes:
        batch: what the batch was given as, see :func:`extract_from_batches`, or the numbers of its sentences; None: it
            is the only one
        row: of the sentence in its batch, from 0
        model: what messages call the model; None: nobody knows
    """

    def __init__(self, batch: Any, row: int, sentence: str | None = None, model: str | None = None):
        """
        Args:
            batch: which one
            row: of the sentence in its batch
            sentence: which one it is, in words; default: its row
            model: likewise
        """
        where = sentence or f"sentence {row + 1} of the batch"
        super().__init__(
            f"{where if model is None else f'{model}, {where}'}: attention or probabilities are not finite "
            f"(NaN or infinity); compute without --fp16, or take another model"
        )
        self.batch, self.row, self.model = batch, row, model


@dataclass(frozen=True, eq=False)
class AttentionWords:
    """What an extractor generated for a batch, and where it looked (paper, Algorithm 1).

    B is the number of sentences, in the order of the input, J the length of the longest hypothesis.

    Attributes:
        hypotheses: int64 ``(B, J)``, generated target tokens without ``</s>``; padding index behind the end
        positions: int64 ``(B, J)``, the attention positions: 1-based source position with the highest
            attention, 0 behind the end
        scores: float32 ``(B, J)``, the attention weight at that position, 0 behind the end
        lengths: int64 ``(B)``, the number of attention words of each sentence
        attention: float32 ``(B, J, I + 1)``, all attention weights, ``</s>`` after the words, 0 behind the end; None
            but from :func:`read_attention_words`
    """

    hypotheses: Tensor
    positions: Tensor
    scores: Tensor
    lengths: Tensor
    attention: Tensor | None = None

    @classmethod
    def of(
        cls, hypotheses: Tensor, positions: Tensor, scores: Tensor, attention: Tensor | None = None
    ) -> AttentionWords:
        """Cut all, ``(B, at least J, ...)``, to the longest hypothesis."""
        lengths = positions.gt(0).sum(dim=1)
        steps = longest(lengths)
        attention = None if attention is None else attention[:, :steps]
        return cls(hypotheses[:, :steps], positions[:, :steps], scores[:, :steps], lengths, attention)


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
        NotFiniteError: its numbers for a sentence are not finite
    """
    found = extract_from_batches(
        model, [(None, src_tokens)], layer=layer, heads=heads, max_len_a=max_len_a, max_len_b=max_len_b
    )
    [(_, words)] = found
    return words


@torch.no_grad()
def extract_from_batches(
    model: FairseqEncoderDecoderModel,
    batches: Iterable[tuple[Key, Tensor]],
    *,
    at_once: int = 1,
    packed: PackedWeights | None = None,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    max_len_a: float = MAX_LEN_A,
    max_len_b: int = MAX_LEN_B,
) -> Iterator[tuple[Key, AttentionWords]]:
    """Algorithm 1 for batch after batch; what each finds is as in :func:`extract_attention_words`.

    A few sentences of a batch generate for long after the others have ended, and small matrices are slow. So the next
    batch begins while fewer than *at_once* source tokens, padding included, are being read.

    Args:
        model: as :func:`extract_attention_words` has it
        batches: one after the other: what tells it from the others, and its *src_tokens*, likewise
        at_once: 1: a batch begins when the one before has ended
        packed: the model's large weights, laid out for this CPU, which pays when many batches follow
        layer: as :func:`extract_attention_words` has it
        heads: likewise
        max_len_a: likewise
        max_len_b: likewise

    Yields:
        which batch it is, and what was found for it; batches in the order in which they end

    Raises:
        as :func:`extract_attention_words`
    """
    if model.training:
        raise ValueError(NOT_IN_EVAL_MODE)
    waiting = iter(batches)
    running: list[tuple[Key, _Generation]] = []
    with decoding_steps(model, layer, heads, packed) as decoding:
        while True:
            while sum(generation.size for _, generation in running) < at_once:
                following = next(waiting, None)
                if following is None:
                    break
                key, src_tokens = following
                generation = _Generation(model, decoding, key, src_tokens, max_len_a, max_len_b)
                if generation.going_on:
                    running.append((key, generation))
                else:
                    yield key, generation.found()
            if not running:
                return
            cohorts = [generation.cohort for _, generation in running]
            tokens, attention = decoding.step(cohorts, torch.cat([generation.tokens for _, generation in running]))
            newest_of = tokens.split([len(cohort) for cohort in cohorts])
            for (_, generation), newest, weights in zip(running, newest_of, attention, strict=True):
                generation.take(newest, weights)
            for key, generation in running:
                if not generation.going_on:
                    yield key, generation.found()
            running = [(key, generation) for key, generation in running if generation.going_on]


class _Generation:
    """A batch that is being decoded: what it has generated, and where it looked."""

    def __init__(
        self,
        model: FairseqEncoderDecoderModel,
        decoding: DecodingSteps,
        key: Any,
        src_tokens: Tensor,
        max_len_a: float,
        max_len_b: int,
    ):
        self._key = key
        self._pad, self._eos = model.decoder.dictionary.pad(), model.decoder.dictionary.eos()
        # On the right, where padding leaves columns and positions in step. (fairseq's LSTM moves it there itself, and
        # returns attention over the moved columns.)
        src_tokens, src_lengths = right_padded(src_tokens, self._pad)
        is_word = src_tokens.ne(self._pad) & src_tokens.ne(self._eos)
        self._limits = (max_len_a * (src_lengths - 1) + max_len_b).long().clamp(max=model.max_decoder_positions() - 1)
        # Filled a step at a time; what lies behind the end of a sentence is cleared at the end.
        self._steps = longest(self._limits)
        shape = (self._steps, len(src_tokens))
        self._hypotheses = src_tokens.new_full(shape, self._eos)
        self._columns = src_tokens.new_zeros(shape)
        self._scores = torch.zeros(shape, dtype=torch.float32, device=src_tokens.device)
        # To find out who has ended makes the host wait for a GPU.
        self._look_every = 1 if src_tokens.device.type == "cpu" else 8
        self._time = 0
        # Of the sentences that still generate:
        self._rows = _readable(model, src_lengths, is_word & self._limits.gt(0).unsqueeze(1))
        if len(self._rows) < len(src_tokens):
            # Without columns that only others needed, which fairseq's LSTM cannot have.
            columns = longest(src_lengths[self._rows])
            src_tokens, is_word = src_tokens[:, :columns], is_word[:, :columns]
        self._no_word, self._ends = ~is_word[self._rows], self._limits[self._rows]
        self._going_on = self._ends.gt(0)
        self.tokens = src_tokens.new_full((len(self._rows),), self._eos)
        """The newest of each, int64."""
        if self.going_on:
            self.cohort = decoding.begin(src_tokens[self._rows], src_lengths[self._rows], self._steps)

    @property
    def going_on(self) -> bool:
        """Whether any sentence still generates."""
        return len(self._rows) > 0

    @property
    def size(self) -> int:
        """Source tokens of the sentences that still generate, padding included."""
        return self._no_word.numel()

    def take(self, tokens: Tensor, attention: Tensor) -> None:
        """Go one step further: *tokens* are generated, int64 ``(B)``, with *attention* ``(B, columns)``."""
        rows, now = self._rows, self._time
        score, column = attention.masked_fill(self._no_word, -1.0).max(dim=1)  # the first of equals
        self._hypotheses[now, rows], self._columns[now, rows], self._scores[now, rows] = tokens, column, score.float()
        self.tokens = tokens
        self._time += 1
        self._going_on &= tokens.ne(self._eos) & self._ends.gt(self._time)
        if self._time % self._look_every and self._time < self._steps:
            return
        count = int(self._going_on.sum())
        # To drop a sentence, others move: it is worth it for many.
        if count == 0 or len(rows) - count >= DROPPED_SHARE * len(rows):
            order = _closed_up(self._going_on, count)
            self._rows, self.tokens, self._no_word = rows[order], tokens[order], self._no_word[order]
            self._ends, self._going_on = self._ends[order], self._going_on[order]
            if len(order):
                self.cohort.keep(order)

    def found(self) -> AttentionWords:
        """What has been generated.

        Raises:
            NotFiniteError: as :func:`extract_attention_words`
        """
        time = torch.arange(self._steps, device=self._limits.device).unsqueeze(1)
        ends = self._hypotheses.eq(self._eos)
        ends_so_far = ends.cumsum(dim=0)
        ended = ends_so_far.gt(0) | time.ge(self._limits)
        counts = ~ended | (ends & ends_so_far.eq(1) & time.lt(self._limits))  # the step that ends a sentence, too
        _check_finite(self._key, self._scores.masked_fill(~counts, 0).t())
        return AttentionWords.of(
            self._hypotheses.masked_fill(ended, self._pad).t(),
            (self._columns + 1).masked_fill(ended, 0).t(),
            self._scores.masked_fill(ended, 0).t(),
        )


@torch.no_grad()
def read_attention_words(
    model: FairseqEncoderDecoderModel,
    src_tokens: Tensor,
    hypotheses: Tensor,
    *,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
) -> AttentionWords:
    """Where *model* looks while it generates given *hypotheses*, in one forward pass; for analysis.

    Not Algorithm 1, whose hypotheses are the model's own greedy ones. A sentence without source words, or whose source
    or hypothesis is longer than the model can read, has nothing.

    Args:
        model: as :func:`extract_attention_words` has it
        src_tokens: likewise
        hypotheses: int64 ``(B, J)``, target tokens without ``</s>``, padded on either side
        layer: as :func:`extract_attention_words` has it
        heads: likewise

    Raises:
        ValueError: *model* is in training mode
        IELError: the model's decoder gives no attention, or has no such layer or head
        NotFiniteError: its numbers for a sentence are not finite
    """
    if model.training:
        raise ValueError(NOT_IN_EVAL_MODE)
    pad, eos = model.decoder.dictionary.pad(), model.decoder.dictionary.eos()
    src_tokens, src_lengths = right_padded(src_tokens, pad)
    hypotheses, lengths = right_padded(hypotheses, pad)
    is_word = src_tokens.ne(pad) & src_tokens.ne(eos)
    positions, scores = torch.zeros_like(hypotheses), torch.zeros_like(hypotheses, dtype=torch.float32)
    weights = scores.new_zeros(*hypotheses.shape, src_tokens.size(1))
    fits = lengths.le(model.max_decoder_positions()).unsqueeze(1)
    rows = _readable(model, src_lengths, is_word & fits)
    if rows.numel() and hypotheses.size(1):
        columns = longest(src_lengths[rows])
        encoder_out = model.encoder(src_tokens[rows, :columns], src_lengths=src_lengths[rows])
        prefixes = torch.cat([hypotheses.new_full((len(rows), 1), eos), hypotheses[rows, :-1]], dim=1)
        with reading_attention(model.decoder, layer, heads, alone=True) as (options, read_attention):
            _, attention = read_attention(partial(model.decoder, prefixes, encoder_out=encoder_out, **options))
        score, column = attention.masked_fill(~is_word[rows, :columns].unsqueeze(1), -1.0).max(dim=2)
        positions[rows], scores[rows], weights[rows, :, :columns] = column + 1, score.float(), attention.float()
        _check_finite(None, scores.masked_fill(hypotheses.eq(pad), 0))
    nothing = hypotheses.eq(pad) | positions.eq(0)
    return AttentionWords.of(
        hypotheses.masked_fill(nothing, pad),
        positions.masked_fill(nothing, 0),
        scores.masked_fill(nothing, 0),
        weights.masked_fill(nothing.unsqueeze(2), 0),
    )


def check_extractor(model: object, layer: int | None = None, heads: Sequence[int] | None = None) -> None:
    """Raise one clear error unless Algorithm 1 can read *layer* and *heads* of *model*.

    Raises:
        IELError: not an encoder-decoder that decodes step by step, or no such layer or head
    """
    if (
        not isinstance(model, FairseqEncoderDecoderModel)
        or isinstance(model, FairseqNATModel)  # not a step a token
        or not isinstance(model.decoder, FairseqIncrementalDecoder)
    ):
        raise IELError(f"{type(model).__name__} is not an encoder-decoder that can be an extractor")
    with reading_attention(model.decoder, layer, heads):
        pass


def _check_finite(key: Any, scores: Tensor) -> None:
    """
    Args:
        key: of the batch
        scores: ``(B, J)``, of the words that are kept, and of the step that ends a sentence

    Raises:
        NotFiniteError: some of them are NaN or infinite
    """
    finite = scores.isfinite().all(dim=1)
    if not finite.all():
        raise NotFiniteError(key, int(finite.int().argmin()))


def _readable(model: FairseqEncoderDecoderModel, src_lengths: Tensor, is_word: Tensor) -> Tensor:
    """The sentences that have words, and not more than *model* can read: int64, indices."""
    return (is_word.any(dim=1) & src_lengths.le(model.encoder.max_positions())).nonzero().squeeze(1)


def _closed_up(going_on: Tensor, count: int) -> Tensor:
    """The sentences that go on, the last of them in the places of those that do not: int64 ``(count)``, indices.

    Args:
        going_on: bool ``(B)``
        count: of those that go on
    """
    order = torch.arange(count, device=going_on.device)
    order[~going_on[:count]] = going_on[count:].nonzero().squeeze(1) + count
    return order
