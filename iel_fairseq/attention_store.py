"""Attention positions of a whole data set: extracted once, kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import LanguagePairDataset, data_utils
from fairseq.logging import progress_bar

from iel_fairseq.attention_words import MAX_LEN_A, MAX_LEN_B, extract_attention_words
from iel_fairseq.extractor import Extractor

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True)
class AttentionPositions(Sequence):
    """The attention positions of every sentence of a data set, in its order.

    Attributes:
        positions: ``(words,)``, uint16, or uint32 where a position needs it: all sentences, one behind the other
        offsets: int64 ``(sentences + 1,)``, where each sentence begins and ends
    """

    positions: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index):
        return self.positions[self.offsets[index] : self.offsets[index + 1]]

    @property
    def words(self) -> np.ndarray:
        """The number of attention words of each sentence, int64 ``(sentences,)``."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, sentences: Sequence[np.ndarray]) -> AttentionPositions:
        """Pack the positions of *sentences*, each int ``(J,)``."""
        offsets = np.cumsum([0, *(len(sentence) for sentence in sentences)], dtype=np.int64)
        positions = np.concatenate([np.empty(0, dtype=np.int64), *sentences])
        small = positions.max(initial=0) <= np.iinfo(np.uint16).max
        return cls(positions.astype(np.uint16 if small else np.uint32), offsets)


def source_fingerprint(dataset: LanguagePairDataset) -> str:
    """SHA-256 over the source tokens of *dataset*, in hexadecimal."""
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        tokens = dataset.src[index].numpy().astype(np.int32)
        digest.update(len(tokens).to_bytes(4, "little") + tokens.tobytes())
    return digest.hexdigest()


def store_path(folder: str, split: str, manifest: dict) -> str:
    """The file for *split*: its name changes with everything that changes its content."""
    key = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    return os.path.join(folder, f"attention_positions.{split}.{key}.npz")


def store_manifest(
    dataset: LanguagePairDataset, extractor_sha256: str, layer: int | None, heads: Sequence[int] | None
) -> dict:
    """All that decides the attention positions of *dataset*."""
    return {
        "format": FORMAT,
        "extractor_sha256": extractor_sha256,
        "source_sha256": source_fingerprint(dataset),
        "sentences": len(dataset),
        "layer": layer,
        "heads": None if heads is None else list(heads),
        "max_len": [MAX_LEN_A, MAX_LEN_B],
    }


def read_store(path: str, manifest: dict) -> AttentionPositions | None:
    """The attention positions at *path*, or None where there are none that answer to *manifest*."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if json.loads(str(stored["manifest"])) != manifest:
                return None
            found = AttentionPositions(stored["positions"], stored["offsets"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        logger.warning(f"{path}: damaged; the attention positions are extracted again")
        return None
    return found if len(found) == manifest["sentences"] else None


def write_store(path: str, manifest: dict, found: AttentionPositions) -> None:
    """Write under a temporary name, then rename: nobody reads half a store."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            np.savez(file, positions=found.positions, offsets=found.offsets, manifest=json.dumps(manifest))
        os.replace(temporary, path)
    except OSError as error:
        logger.warning(
            f"{path}: cannot be written ({error.strerror}); the attention positions are used, "
            f"and will have to be extracted again next time"
        )


def extract_dataset(
    dataset: LanguagePairDataset,
    extractor: Extractor,
    *,
    name: str,
    device: torch.device,
    max_tokens: int,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    log_format: str | None = None,
    log_interval: int = 100,
) -> AttentionPositions:
    """Run Algorithm 1 over every sentence of *dataset*. Its target side is not read.

    A source that is longer than the extractor can read gets no attention words, and the log counts such sources.

    Args:
        dataset: with plain sources
        extractor: moved to *device*, and back to the CPU at the end
        name: of the split, for the progress bar and the log
        device: where to extract
        max_tokens: source tokens in a batch, padding included
        layer: as :func:`~iel_fairseq.attention_words.extract_attention_words` has it
        heads: likewise
        log_format: fairseq's, for the progress bar
        log_interval: likewise
    """
    model = extractor.model.to(device)
    lengths = np.asarray(dataset.src_sizes, dtype=np.int64)
    too_long = int((lengths > model.encoder.max_positions()).sum())
    if too_long:
        logger.warning(
            f"{name}: {too_long} sources are longer than the extractor can read "
            f"({model.encoder.max_positions()} tokens) and get no attention words"
        )
    order = np.argsort(-lengths, kind="stable")  # longest first: out of memory at once or never
    batches = data_utils.batch_by_size(
        order,
        num_tokens_fn=lengths.__getitem__,
        num_tokens_vec=lengths[order],
        max_tokens=max(max_tokens, int(lengths.max(initial=0))),
    )
    bar = progress_bar.progress_bar(
        batches, log_format=log_format, log_interval=log_interval, prefix=f"attention words of {name}"
    )
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(dataset)
    done = 0
    started = time.perf_counter()
    for indices in bar:
        batch = dataset.collater([{"id": int(i), "source": dataset.src[i], "target": None} for i in indices])
        src_tokens = batch["net_input"]["src_tokens"].to(device)
        words = extract_attention_words(model, src_tokens, layer=layer, heads=heads)
        positions = words.positions.cpu().numpy()
        for index, row, count in zip(batch["id"].tolist(), positions, words.lengths.tolist(), strict=True):
            found[index] = row[:count]
        done += len(indices)
        bar.log({"sentences": done, "sentences/s": round(done / (time.perf_counter() - started))})
    model.cpu()
    seconds = time.perf_counter() - started
    logger.info(f"{name}: {done:,} sentences read in {seconds:.1f} s ({done / seconds:.0f} sentences/s)")
    return AttentionPositions.of(found)
