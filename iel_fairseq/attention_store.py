"""Attention positions of a data set on disk: what is asked for, and how it is read back."""

from __future__ import annotations

import glob
import hashlib
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TypeAlias

import numpy as np
import torch
from fairseq.data import AppendTokenDataset, ConcatDataset, LanguagePairDataset
from fairseq.data.indexed_dataset import MMapIndexedDataset
from torch.utils.data import Dataset

from iel_fairseq.attention_words import MAX_LEN_A, MAX_LEN_B
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import checked
from iel_fairseq.store import Store
from iel_fairseq.store_files import DAMAGED, Rows, numbers_of, open_rows, read_manifest

FORMAT = 3
"""To be raised when the files, or what Algorithm 1 finds, change."""

BLOCK = 1 << 20
"""Tokens that are read at once."""

BLOCK_OF_SENTENCES = 1 << 16
"""Whose attention words are compared at a time."""

AttentionPositions: TypeAlias = Rows
"""For each sentence its attention positions, int64 ``(J,)``, 1-based; ``sizes`` holds their numbers."""


class AttentionStore(Store):
    """The attention positions of one split, read by one extractor in one way: :func:`store_request` says which."""

    content = "attention positions"
    option = "--attn-store"


def source_fingerprint(dataset: LanguagePairDataset) -> str:
    """SHA-256 over the source tokens of *dataset*, and where its sentences end, in hexadecimal."""
    digest = hashlib.sha256(source_lengths(dataset).astype("<i4").tobytes())
    for tokens in _all_tokens(dataset.src, len(dataset)):
        digest.update(tokens.astype("<i4").tobytes())
    return digest.hexdigest()


def source_lengths(dataset: LanguagePairDataset) -> np.ndarray:
    """Tokens of each source, ``</s>`` among them, int64 ``(sentences,)``.

    With ``--truncate-source`` fairseq counts one more of those that it does not cut.
    """
    parts = dataset.src.datasets if isinstance(dataset.src, ConcatDataset) else [dataset.src]
    if any(isinstance(part, AppendTokenDataset) for part in parts):
        return np.array([len(dataset.src[index]) for index in range(len(dataset))], dtype=np.int64)
    return np.asarray(dataset.src_sizes, dtype=np.int64)


def _all_tokens(sentences: Dataset, count: int) -> Iterator[np.ndarray]:
    """The tokens of all *count* sentences, one after the other, in arrays of any length."""
    if isinstance(sentences, MMapIndexedDataset):  # they lie like that on disk: millions of sentences in a second
        tokens = numbers_of(sentences)
        yield from (tokens[start : start + BLOCK] for start in range(0, len(tokens), BLOCK))
    else:
        yield from (sentences[index].numpy() for index in range(count))


def store_request(
    dataset: LanguagePairDataset,
    extractor_sha256: str,
    layer: int | None,
    heads: Sequence[int] | None,
    precision: torch.dtype = torch.float32,
) -> dict:
    """Everything that decides what the attention positions of *dataset* are; plain JSON data.

    Args:
        dataset: with plain sources
        extractor_sha256: of the extractor's checkpoint
        layer: as :func:`~iel_fairseq.attention_words.extract_attention_words` has it
        heads: likewise
        precision: in which the extractor computes
    """
    return {
        "format": FORMAT,
        "extractor_sha256": extractor_sha256,
        "source_sha256": source_fingerprint(dataset),
        "sentences": len(dataset),
        "dtype": "uint16" if np.max(dataset.src_sizes, initial=0) <= np.iinfo(np.uint16).max else "int32",
        "layer": layer,
        "heads": None if heads is None else list(heads),
        "max_len": [MAX_LEN_A, MAX_LEN_B],
        "precision": str(precision).removeprefix("torch."),
    }


@dataclass(frozen=True, eq=False)
class StoredPositions(Sequence[np.ndarray]):
    """The attention positions of a split, as a sequence: those of sentence *i*, from 0, are ``[i]``.

    They are read from the memory-mapped file when they are asked for: int64 ``(J,)``, 1-based positions in the source.

    Attributes:
        path: the store's folder
        split: name of the split
        extractor_sha256: of the extractor's checkpoint
        layer: decoder layer that was read; None: Algorithm 1's own choice
        heads: attention heads that were read; None: all
        precision: in which the extractor computed, e.g. ``float32``
        sizes: int32 ``(sentences,)``, the number of attention words of each
        positions: the data set
    """

    path: str
    split: str
    extractor_sha256: str
    layer: int | None
    heads: list[int] | None
    precision: str
    sizes: np.ndarray
    positions: AttentionPositions = field(repr=False)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices: they would be read whole
        return self.positions[range(len(self))[operator.index(index)]].numpy()


@dataclass(frozen=True)
class _Extracted:
    """What a manifest says of the extraction; see :class:`StoredPositions`."""

    extractor_sha256: str
    layer: int | None
    heads: list[int] | None
    precision: str


def read_attention_positions(folder: str | os.PathLike[str]) -> StoredPositions:
    """The attention positions that a training, or ``iel extract``, has stored (paper, Algorithm 1).

    >>> positions = iel_fairseq.read_attention_positions("data-bin/attention_positions.train.3f2a...")
    >>> len(positions), positions[0]
    (29000, array([1, 2, 3, 3]))

    Args:
        folder: the store, or the folder in which it is the only one

    Raises:
        IELError: there is no store, or there are several; it is not whole, or damaged
    """
    path = _only_store(os.fspath(folder))
    try:
        manifest = read_manifest(path)
        positions = open_rows(path, manifest)
        return StoredPositions(
            path,
            split=os.path.basename(path).removeprefix(AttentionStore.prefix()).rpartition(".")[0],
            **asdict(checked({each.name: manifest[each.name] for each in fields(_Extracted)}, _Extracted)),
            sizes=np.array(positions.sizes),  # a copy: fairseq's goes with its data set
            positions=positions,
        )
    except DAMAGED as error:
        raise IELError(f"{path}: damaged; run iel extract, which extracts what is missing") from error
    except OSError as error:
        raise IELError(f"{path}: the store cannot be read ({error.strerror})") from error


def _only_store(folder: str) -> str:
    folder = os.path.abspath(folder)
    if os.path.exists(os.path.join(folder, "manifest.json")):
        return folder
    stores = sorted(glob.glob(os.path.join(glob.escape(folder), f"{AttentionStore.prefix()}*", "manifest.json")))
    if len(stores) == 1:
        return os.path.dirname(stores[0])
    if stores:
        names = ", ".join(os.path.basename(os.path.dirname(store)) for store in stores)
        raise IELError(f"{folder}: holds several stores; name one of {names}")
    raise IELError(f"{folder}: no attention positions that are whole; make them with iel extract")


def share_of_new(after: AttentionPositions, before: AttentionPositions) -> float:
    """The share of the attention words in *after* that *before* does not have in the same place."""
    now, earlier = numbers_of(after), numbers_of(before)
    sizes, sizes_before = (np.asarray(each.sizes, dtype=np.int64) for each in (after, before))
    starts, starts_before = (np.cumsum(each) - each for each in (sizes, sizes_before))
    common = np.minimum(sizes, sizes_before)
    same = 0
    for first in range(0, len(common), BLOCK_OF_SENTENCES):
        block = slice(first, first + BLOCK_OF_SENTENCES)
        counts = common[block]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = (
            numbers[np.repeat(each[block], counts) + place]
            for numbers, each in ((now, starts), (earlier, starts_before))
        )
        same += int(np.equal(*found).sum())
    return 1 - same / len(now) if len(now) else 0.0
