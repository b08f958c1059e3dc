"""Two passes: what the first one found, decoding from it, and what fairseq's generators have to be told for that."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch.distributed
from fairseq.data import FairseqDataset
from fairseq.distributed import utils as distributed_utils
from fairseq.distributed.utils import get_global_rank
from fairseq.models import BaseFairseqModel
from fairseq.models.fconv import FConvDecoder
from fairseq.models.lstm import LSTMEncoder
from fairseq.models.transformer import TransformerDecoderBase
from fairseq.sequence_generator import SequenceGeneratorWithAlignment
from fairseq.tasks.translation import TranslationTask
from torch import Tensor

from iel_fairseq.attention_words import AttentionWords, NotFiniteError, extract_attention_words
from iel_fairseq.config import AttnEnhancedTranslationConfig
from iel_fairseq.enhanced_source import EnhancedSource, enhance_batch, is_enhanced
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.readings import symbols_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FirstPass:
    """What the first pass found for a batch.

    Attributes:
        words: what the extractor generated, and the positions of its attention words: with noise, not all are where
            it looked
        enhanced: x' and p', in which some of them may be cut
    """

    words: AttentionWords
    enhanced: EnhancedSource


class CutWords:
    """Attention words that did not fit: said at once of the first, and at the end of a set how many there were."""

    def __init__(self) -> None:
        self._words = self._sentences = self._limit = 0
        self._in_text = False

    def add(self, cut: Tensor, limit: int) -> None:
        """
        Args:
            cut: int64 ``(B)``, of each sentence of a batch
            limit: what they had to fit into
        """
        words = int(cut.sum())
        if words == 0:
            return
        if not self._words and get_global_rank() == 0:
            logger.warning(f"attention words are cut to fit {limit} tokens; how many is said at the end")
        self._words, self._sentences = self._words + words, self._sentences + int(cut.gt(0).sum())
        self._limit = limit

    def tell_of_all_ranks(self) -> None:
        """Say on the first rank how many there were on all of them together, and count anew on each."""
        if torch.distributed.is_initialized():
            counts = [self._words, self._sentences, self._limit]
            words, sentences, limits = zip(*distributed_utils.all_gather_list(counts), strict=True)
            self._words = self._sentences = 0
            if get_global_rank() == 0:
                self._words, self._sentences, self._limit = sum(words), sum(sentences), max(limits)
        self.tell()

    def tell(self) -> None:
        """Say how many there were, if any, and count anew."""
        if self._words:
            logger.warning(
                f"{self._words:,} attention words of {self._sentences:,} sentences were cut to fit {self._limit} tokens"
            )
        self._words = self._sentences = 0

    @contextmanager
    def one_text(self) -> Iterator[None]:
        """Within it all that is decoded is one set, unless this is within another one and so a part of that."""
        part, self._in_text = self._in_text, True
        try:
            yield
        finally:
            self._in_text = part
            if not part:
                self.tell()


class TwoPassTranslationTask(TranslationTask):
    """fairseq's ``translation``, in which decoding is two passes: one model reads x, another one decodes from x'.

    Subclasses say which model reads. Without one this is plain ``translation``.

    Attributes:
        enhancement: how x becomes x'
        limit: longest x', with ``</s>``, that the model can read
        cut_words: attention words that did not fit into it
    """

    cfg: AttnEnhancedTranslationConfig
    enhancement: Enhancement
    limit: int
    _told_of_long = False

    def __init__(self, cfg: AttnEnhancedTranslationConfig, src_dict, tgt_dict):
        super().__init__(cfg, src_dict, tgt_dict)
        self.cut_words = CutWords()
        weakref.finalize(self, self.cut_words.tell)  # when the process ends, or nobody decodes any more

    def reader(self, second: BaseFairseqModel) -> BaseFairseqModel | None:
        """The model of the first pass, on the device and in the precision of the *second*; None: there is none."""
        raise NotImplementedError

    @property
    def reader_name(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    def attention_choice(self) -> dict[str, Any]:
        """Which of its attention is read: layer and heads."""
        raise NotImplementedError

    def filter_indices_by_size(self, indices, dataset, max_positions=None, ignore_invalid_inputs=False):
        """As fairseq has it.

        Raises:
            IELError: a sentence is longer than the model can read, and none may be left out
        """
        try:
            return super().filter_indices_by_size(indices, dataset, max_positions, ignore_invalid_inputs)
        except Exception as error:
            if type(error) is not Exception:  # fairseq raises no other kind
                raise
            raise IELError(str(error)) from error

    def check_sizes(self, dataset: FairseqDataset) -> None:
        """See now whether a validation set fits the model: fairseq looks when the training set has been read.

        Raises:
            IELError: as :meth:`filter_indices_by_size`
        """
        if not self.cfg.skip_invalid_size_inputs_valid_test:
            longest = (self.limit, self.cfg.max_target_positions)
            self.filter_indices_by_size(np.arange(len(dataset)), dataset, longest)

    def first_pass(self, sample: dict[str, Any], second: BaseFairseqModel) -> tuple[dict[str, Any], FirstPass | None]:
        """Read a batch with the extractor; *second* is the model that will decode, whose device and precision it takes.

        Returns:
            the batch with x' in the place of x, and what was found; *sample* itself and None, where x' is there already
            or nothing is to do

        Raises:
            IELError: any problem of the extractor
        """
        if is_enhanced(sample) or "net_input" not in sample:
            return sample, None
        first = self.reader(second)
        if first is None:
            return sample, None
        src_tokens = sample["net_input"]["src_tokens"]
        try:
            words = extract_attention_words(first, src_tokens, **self.attention_choice())
        except NotFiniteError as error:
            raise self.not_finite(sample, error.row, self.reader_name) from error
        pad, eos = self.source_dictionary.pad(), self.source_dictionary.eos()
        words = replace(words, positions=self.enhancement.noise.on(src_tokens, words.positions, pad=pad, eos=eos))
        enhanced_sample, enhanced = enhance_batch(
            sample,
            words.positions,
            pad=pad,
            left_pad=self.cfg.left_pad_source,
            limit=self.limit,
            attn_positions=self.enhancement.attn_positions,
            pad_to_multiple=self.cfg.required_seq_len_multiple,
        )
        self.cut_words.add(enhanced.cut, self.limit)
        self._tell_of_long(src_tokens.size(1), first.encoder.max_positions())
        return enhanced_sample, FirstPass(words, enhanced)

    def _tell_of_long(self, columns: int, readable: int) -> None:
        """Say once that the extractor cannot read long sources at all."""
        if columns > readable and not self._told_of_long:
            self._told_of_long = True
            logger.warning(
                f"sources longer than {self.reader_name} can read ({readable} tokens) get no attention words"
            )

    def not_finite(self, sample: dict[str, Any], row: int, model: str) -> NotFiniteError:
        """What *model* finds for the sentence in *row* is not finite. fairseq-interactive gives no numbers."""
        if "id" in sample:
            numbers = sample["id"].tolist()
            return NotFiniteError(numbers, row, f"sentence {numbers[row] + 1:,}", model)
        text = " ".join(symbols_of(sample["net_input"]["src_tokens"][row], self.source_dictionary))
        return NotFiniteError(None, row, repr(text[:40]), model)

    def _check_finite(self, models: Sequence[BaseFairseqModel], sample: dict[str, Any]) -> None:
        """
        Raises:
            NotFiniteError: the numbers of one of *models* for a sentence are not finite
        """
        for model in models:
            try:
                extract_attention_words(model, sample["net_input"]["src_tokens"])
            except NotFiniteError as error:
                raise self.not_finite(sample, error.row, "--path") from error
            except IELError:  # its attention cannot be read
                continue

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Both passes: read x with the extractor, decode from x'. *sample* itself stays as it is.

        The longest output is computed from x. With ``--print-alignment`` alignments and attention point into x.

        Raises:
            IELError: any problem of the extractor
            NotFiniteError: a model's numbers for a sentence are not finite
        """
        enhanced_sample, first = self.first_pass(sample, models[0])
        if not is_enhanced(enhanced_sample):
            return super().inference_step(generator, models, sample, prefix_tokens, constraints)
        with max_len_from(generator, enhanced_sample["plain_src_len"]):
            try:
                hypotheses = super().inference_step(generator, models, enhanced_sample, prefix_tokens, constraints)
            except AssertionError:  # how fairseq ends when no probability of a sentence is finite
                self._check_finite(models, enhanced_sample)
                raise
        if first is not None and isinstance(generator, SequenceGeneratorWithAlignment):
            point_into_plain_source(generator, hypotheses, sample["net_input"]["src_tokens"], first.enhanced.origins)
        return hypotheses

    def valid_step(self, sample, model, criterion):
        """The loss on x', and, with ``--eval-bleu``, the BLEU of two passes."""
        model.eval()  # for the first pass, as fairseq does for the second
        enhanced_sample, _ = self.first_pass(sample, model)
        return super().valid_step(enhanced_sample, model, criterion)


def check_model(model: BaseFairseqModel, reads_itself: bool) -> None:
    """
    Args:
        model: that shall decode from x'
        reads_itself: it serves both passes

    Raises:
        IELError: it cannot
    """
    if isinstance(model.encoder, LSTMEncoder):
        raise IELError("attention words in the source of an LSTM are not supported; take a Transformer or ConvS2S")
    if reads_itself and not isinstance(model.decoder, (TransformerDecoderBase, FConvDecoder)):
        kind = type(model.decoder).__name__  # fairseq's own switch the attention off when they decode
        raise IELError(f"--attn-model self: a {kind} cannot be read while it decodes; give --attn-model FILE")


def check_generation(models: Sequence[BaseFairseqModel], args: Any, reads_itself: bool) -> None:
    """
    Args:
        models: that will decode
        args: fairseq's options of generation
        reads_itself: one model serves both passes

    Raises:
        IELError: a way of decoding that two passes do not support
    """
    if getattr(args, "match_source_len", False):
        raise IELError("--match-source-len: not supported with attention words in the source")
    if reads_itself and getattr(args, "retain_dropout", False):
        raise IELError(
            "--retain-dropout: a model that reads its own attention words would read others each time; "
            "leave it out, or give --attn-model FILE"
        )
    if getattr(args, "print_alignment", None):
        if getattr(args, "score_reference", False):
            raise IELError("--print-alignment with --score-reference: not supported with attention words")
        if any(getattr(model, "full_context_alignment", False) for model in models):
            raise IELError("--print-alignment: not supported for models with full-context alignment")


@contextmanager
def max_len_from(generator: Any, plain_src_len: int) -> Iterator[None]:
    """Let *generator* compute its longest output from the columns of x, though it is given x'."""
    if not hasattr(generator, "max_len_a"):  # a SequenceScorer generates nothing
        yield
        return
    max_len_a, max_len_b = generator.max_len_a, generator.max_len_b
    generator.max_len_a, generator.max_len_b = 0, int(max_len_a * plain_src_len + max_len_b)
    try:
        yield
    finally:
        generator.max_len_a, generator.max_len_b = max_len_a, max_len_b


def point_into_plain_source(
    generator: SequenceGeneratorWithAlignment,
    hypotheses: list[list[dict[str, Tensor]]],
    src_tokens: Tensor,
    origins: Tensor,
) -> None:
    """Turn attention over x' into attention over x, and align anew.

    What falls on an attention word is added to what falls on the source word that it repeats.

    Args:
        generator: for its way to align
        hypotheses: fairseq's, for each sentence its best ones; their ``attention``, ``(S', steps)``, becomes
            ``(I + 1, steps)``, and their ``alignment`` follows
        src_tokens: int64 ``(B, columns)``, the plain source
        origins: int64 ``(B, S')``, as :class:`~iel_fairseq.enhanced_source.EnhancedSource` has them
    """
    for row, sentence in enumerate(hypotheses):
        source = src_tokens[row][src_tokens[row].ne(generator.pad)]
        real = origins[row].gt(0)
        for hypothesis in sentence:
            attention = hypothesis["attention"]
            folded = attention.new_zeros(len(source), attention.size(1))
            folded.index_add_(0, origins[row][real] - 1, attention[real])
            hypothesis["attention"] = folded
            hypothesis["alignment"] = generator.extract_alignment(
                folded.t().cpu(), source.cpu(), hypothesis["tokens"].cpu(), generator.pad, generator.eos
            )
