"""Algorithm 1 over a data set: an extractor in front of it, batch after batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import LanguagePairDataset, data_utils
from fairseq.logging import progress_bar

from iel_fairseq.attention_store import AttentionStore, store_request
from iel_fairseq.attention_words import AttentionWords, extract_attention_words
from iel_fairseq.extractor import Extractor

logger = logging.getLogger(__name__)


def extraction_device(cpu: bool) -> torch.device:
    """The GPU where there is one, unless *cpu* is asked for."""
    return torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")


@dataclass(frozen=True)
class DatasetExtraction:
    """What extractor reads which data set, and how. The target side is not read.

    Attributes:
        dataset: with plain sources
        name: of the split
        extractor: moved to *device* when it is first needed
        device: where to extract
        max_tokens: source tokens in a batch, padding included; changes speed and memory only
        layer: as :func:`~iel_fairseq.attention_words.extract_attention_words` has it
        heads: likewise
        log_format: fairseq's, for the progress bar
        log_interval: likewise
    """

    dataset: LanguagePairDataset
    name: str
    extractor: Extractor
    device: torch.device
    max_tokens: int = 8000
    layer: int | None = None
    heads: Sequence[int] | None = None
    log_format: str | None = None
    log_interval: int = 100

    def __post_init__(self):
        limit = self.extractor.model.encoder.max_positions()
        count = int((np.asarray(self.dataset.src_sizes) > limit).sum())
        if count:
            logger.warning(
                f"{self.name}: {count} sources are longer than the extractor can read ({limit} tokens) "
                f"and get no attention words"
            )

    def store(self, parent: str) -> AttentionStore:
        """The store for what this finds, in the folder *parent*."""
        request = store_request(self.dataset, self.extractor.sha256, self.layer, self.heads)
        return AttentionStore(parent, self.name, request)

    def batches(self, sentences: range) -> Iterator[tuple[list[int], AttentionWords]]:
        """Batches of *sentences*, the longest first, with a progress bar.

        Yields:
            indices into the data set, and what was found for them, in their order
        """
        model = self.extractor.model.to(self.device)
        lengths = np.asarray(self.dataset.src_sizes, dtype=np.int64)[sentences.start : sentences.stop]
        order = np.argsort(-lengths, kind="stable")  # longest first: out of memory at once or never
        batches = data_utils.batch_by_size(
            order,
            num_tokens_fn=lengths.__getitem__,
            num_tokens_vec=lengths[order],
            max_tokens=max(self.max_tokens, int(lengths.max(initial=0))),
        )
        span = f"sentences {sentences.start + 1:,} to {sentences.stop:,} of {len(self.dataset):,}"
        bar = progress_bar.progress_bar(
            batches,
            log_format=self.log_format,
            log_interval=self.log_interval,
            prefix=f"attention words of {self.name}, {span}",
        )
        done = 0
        started = time.perf_counter()
        for rows in bar:
            samples = [sentences[row] for row in rows]
            batch = self.dataset.collater(
                [{"id": index, "source": self.dataset.src[index], "target": None} for index in samples]
            )
            src_tokens = batch["net_input"]["src_tokens"].to(self.device)
            yield (
                batch["id"].tolist(),
                extract_attention_words(model, src_tokens, layer=self.layer, heads=self.heads),
            )
            done += len(rows)
            bar.log({"sentences": done, "sentences/s": round(done / (time.perf_counter() - started))})
        seconds = time.perf_counter() - started
        logger.info(f"{self.name}: {span} read in {seconds:.1f} s ({done / max(seconds, 1e-9):.0f} sentences/s)")

    def positions(self, sentences: range) -> list[np.ndarray]:
        """For each of *sentences*, in their order, its attention positions, 1-based, int64 ``(J,)``."""
        found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(sentences)
        for indices, words in self.batches(sentences):
            positions = words.positions.cpu().numpy()
            for index, row, count in zip(indices, positions, words.lengths.tolist(), strict=True):
                found[index - sentences.start] = row[:count]
        return found
