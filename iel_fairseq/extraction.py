"""Algorithm 1 over a data set: an extractor in front of it, batch after batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.data import LanguagePairDataset, data_utils
from fairseq.logging import progress_bar
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.sequence_generator import SequenceGenerator

from iel_fairseq.attention_store import AttentionStore, source_lengths, store_request
from iel_fairseq.attention_words import (
    MAX_LEN_A,
    MAX_LEN_B,
    AttentionWords,
    NotFiniteError,
    extract_attention_words,
    extract_from_batches,
    read_attention_words,
)
from iel_fairseq.device import of_device
from iel_fairseq.extractor import Extractor
from iel_fairseq.greedy_decoding.dense import PackedWeights
from iel_fairseq.padding import right_padded
from iel_fairseq.threads import shared_out

logger = logging.getLogger(__name__)

TOKENS = {"cpu": 16_000, "cuda": 64_000}
"""Source tokens that are read at once. A GPU waits for the host where there are few."""


@dataclass(frozen=True)
class DatasetExtraction:
    """What extractor reads which data set, and how.

    By default this is Algorithm 1, which does not read the target side. With *beam* or *force_target* other hypotheses
    are read, for analysis; these are not stored.

    Attributes:
        dataset: with plain sources
        name: of the split
        extractor: moved to *device* when it is first needed
        device: where to extract
        dtype: in which precision
        max_tokens: source tokens that are read at once, padding included, by all threads together; changes speed and
            memory only; None: :data:`TOKENS`
        layer: as :func:`~iel_fairseq.attention_words.extract_attention_words` has it
        heads: likewise
        log_format: fairseq's, for the progress bar
        log_interval: likewise
        beam: hypotheses are the best of fairseq's beam search of this size; 1: Algorithm 1's greedy ones. The bound on
            their length is that of the longest sentence in the batch
        force_target: hypotheses are the target side of the data set
        all_weights: what is found has the whole attention, not the highest weights only
    """

    dataset: LanguagePairDataset
    name: str
    extractor: Extractor
    device: torch.device
    dtype: torch.dtype = torch.float32
    max_tokens: int | None = None
    layer: int | None = None
    heads: Sequence[int] | None = None
    log_format: str | None = None
    log_interval: int = 100
    beam: int = 1
    force_target: bool = False
    all_weights: bool = False

    def __post_init__(self):
        limit = self.extractor.model.encoder.max_positions()
        count = int((source_lengths(self.dataset) > limit).sum())
        if count:
            logger.warning(
                f"{self.name}: {count} sources are longer than the extractor can read ({limit} tokens) "
                f"and get no attention words"
            )

    def store(self, parent: str, extractor_sha256: str | None = None) -> AttentionStore:
        """The store for what this finds, or would find with another extractor, in the folder *parent*."""
        request = store_request(
            self.dataset, extractor_sha256 or self.extractor.sha256, self.layer, self.heads, self.dtype
        )
        return AttentionStore(parent, self.name, request)

    def batches(self, sentences: range) -> Iterator[tuple[list[int], AttentionWords]]:
        """Batches of *sentences*, in the order in which they end, with a progress bar.

        Yields:
            indices into the data set, and what was found for them, in their order

        Raises:
            NotFiniteError: the extractor's numbers for a sentence are not finite
        """
        model = self.extractor.model.to(self.device, self.dtype)
        lengths = np.asarray(self.dataset.src_sizes, dtype=np.int64)[sentences.start : sentences.stop]
        order = np.argsort(-lengths, kind="stable")  # longest first: where memory is short, soon
        rows_of_batches = data_utils.batch_by_size(
            order,
            num_tokens_fn=lengths.__getitem__,
            num_tokens_vec=lengths[order],
            max_tokens=max(self._batch_tokens, int(lengths.max(initial=0))),
        )
        span = f"sentences {sentences.start + 1:,} to {sentences.stop:,} of {len(self.dataset):,}"
        bar = progress_bar.progress_bar(
            rows_of_batches,
            log_format=self.log_format,
            log_interval=self.log_interval,
            prefix=f"attention words of {self.name}, {span}",
        )
        collated = (self._collated([sentences[row] for row in rows]) for rows in rows_of_batches)
        done = 0
        started = time.perf_counter()
        for _, (indices, words) in zip(
            bar, shared_out(partial(self._read, model, PackedWeights()), collated, self._threads), strict=True
        ):
            yield indices, words
            done += len(indices)
            speed = done / (time.perf_counter() - started)
            left = timedelta(seconds=round((len(self.dataset) - sentences.start - done) / speed))
            bar.log({"sentences": done, "sentences/s": round(speed), "left": str(left)})
        seconds = time.perf_counter() - started
        logger.info(f"{self.name}: {span} read in {seconds:.1f} s ({done / max(seconds, 1e-9):.0f} sentences/s)")

    @property
    def _threads(self) -> int:
        """Small matrices do not keep several threads busy: on a CPU each batch is one thread's work."""
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    @property
    def _thread_tokens(self) -> int:
        tokens = of_device(TOKENS, self.device) if self.max_tokens is None else self.max_tokens
        return max(1, tokens // self._threads)

    @property
    def _batch_tokens(self) -> int:
        """On a CPU several batches are read at once, to keep the matrices large when most of one has ended; on a GPU,
        for which each batch is work to be sent, one."""
        return max(1, self._thread_tokens // 4) if self.device.type == "cpu" else self._thread_tokens

    def _collated(self, indices: list[int]) -> dict[str, Any]:
        batch = self.dataset.collater(
            [
                {
                    "id": index,
                    "source": self.dataset.src[index],
                    "target": self.dataset.tgt[index] if self.force_target else None,
                }
                for index in indices
            ]
        )
        return utils.move_to_cuda(batch, self.device) if self.device.type == "cuda" else batch

    def _read(
        self, model: FairseqEncoderDecoderModel, packed: PackedWeights, batches: Iterator[dict[str, Any]]
    ) -> Iterator[tuple[list[int], AttentionWords]]:
        given = self.beam > 1 or self.force_target or self.all_weights
        try:
            yield from self._read_given(model, batches) if given else self._read_greedily(model, packed, batches)
        except NotFiniteError as error:
            where = f"sentence {error.batch[error.row] + 1:,} of {self.name}"
            raise NotFiniteError(error.batch, error.row, where, self.extractor.path) from error

    def _read_greedily(
        self, model: FairseqEncoderDecoderModel, packed: PackedWeights, batches: Iterator[dict[str, Any]]
    ) -> Iterator[tuple[list[int], AttentionWords]]:
        sources = ((batch["id"].tolist(), batch["net_input"]["src_tokens"]) for batch in batches)
        at_once = self._thread_tokens - self._batch_tokens + 1
        return extract_from_batches(model, sources, at_once=at_once, packed=packed, layer=self.layer, heads=self.heads)

    def _read_given(
        self, model: FairseqEncoderDecoderModel, batches: Iterator[dict[str, Any]]
    ) -> Iterator[tuple[list[int], AttentionWords]]:
        for batch in batches:
            indices, src_tokens = batch["id"].tolist(), batch["net_input"]["src_tokens"]
            try:
                hypotheses = self._given_hypotheses(model, batch)
                words = read_attention_words(model, src_tokens, hypotheses, layer=self.layer, heads=self.heads)
            except NotFiniteError as error:
                raise NotFiniteError(indices, error.row) from error
            yield indices, words

    def _given_hypotheses(self, model: FairseqEncoderDecoderModel, batch: dict[str, Any]) -> torch.Tensor:
        """Hypotheses that are read when they are whole, without ``</s>``: int64 ``(B, J)``."""
        src_tokens = batch["net_input"]["src_tokens"]
        if self.beam == 1 and not self.force_target:
            return extract_attention_words(model, src_tokens, layer=self.layer, heads=self.heads).hypotheses
        dictionary = self.dataset.tgt_dict
        if self.force_target:
            return batch["target"].masked_fill(batch["target"].eq(dictionary.eos()), dictionary.pad())
        best = [src_tokens.new_empty(0)] * len(src_tokens)
        src_lengths = batch["net_input"]["src_lengths"]
        [readable] = src_lengths.le(model.encoder.max_positions()).nonzero(as_tuple=True)
        if not len(readable):
            return torch.stack(best)
        search = SequenceGenerator([model], dictionary, self.beam, max_len_a=MAX_LEN_A, max_len_b=MAX_LEN_B)
        readable_tokens, readable_lengths = right_padded(src_tokens[readable], dictionary.pad())
        net_input = {"src_tokens": readable_tokens, "src_lengths": readable_lengths}
        try:
            for row, found in zip(readable.tolist(), search.generate([model], {"net_input": net_input}), strict=True):
                best[row] = found[0]["tokens"][:-1]
        except AssertionError:  # how fairseq ends when no probability of a sentence is finite
            extract_attention_words(model, src_tokens, layer=self.layer, heads=self.heads)  # says of which
            raise
        return data_utils.collate_tokens(best, dictionary.pad()).to(src_tokens)

    def positions(self, sentences: range) -> list[np.ndarray]:
        """For each of *sentences*, in their order, its attention positions, 1-based, int64 ``(J,)``."""
        found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(sentences)
        for indices, words in self.batches(sentences):
            positions = words.positions.cpu().numpy()
            for index, row, count in zip(indices, positions, words.lengths.tolist(), strict=True):
                found[index - sentences.start] = row[:count]
        return found
