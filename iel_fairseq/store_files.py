"""The files of a whole store, which are believed, and mapped into memory, only when they are as they were written."""

from __future__ import annotations

import os
import zlib
from typing import Any, TypeAlias

import numpy as np
import torch
from fairseq.data import ListDataset
from fairseq.data.indexed_dataset import MMapIndexedDataset

from iel_fairseq.json_data import read_json
from iel_fairseq.mmap_index import NO_INDEX, read_index

Rows: TypeAlias = MMapIndexedDataset | ListDataset
"""For each sentence its numbers, int64 ``(J,)``; ``sizes`` holds how many they are."""

FILES = ("positions.bin", "positions.idx")
"""What a manifest has the checksums of."""

DAMAGED = (*NO_INDEX, TypeError, FileNotFoundError)
"""What reading a damaged store raises."""

BLOCK = 1 << 20
"""Bytes that are read at once."""


def read_manifest(store: str) -> dict[str, Any]:
    """The manifest of the store in the folder *store*.

    Raises:
        one of DAMAGED: it is none
        OSError: it cannot be read
    """
    return read_json(os.path.join(store, "manifest.json"), dict[str, Any])


def open_rows(store: str, manifest: dict[str, Any]) -> Rows:
    """What is in the folder *store*, once its files are as *manifest* has them.

    Raises:
        one of DAMAGED: they are not
        OSError: they cannot be read
    """
    for name in FILES:
        if crc32(os.path.join(store, name)) != manifest["crc32"][name]:
            raise ValueError("checksum")
    dtype = np.dtype(manifest["dtype"])
    stored, sizes = read_index(os.path.join(store, "positions.idx"))
    if stored != dtype:
        raise ValueError("numbers of another type")
    words = int(sizes.sum(dtype=np.int64))
    if (len(sizes), words) != (manifest["sentences"], manifest["words"]):
        raise ValueError("another number of sentences or words")
    if os.path.getsize(os.path.join(store, "positions.bin")) != words * dtype.itemsize:
        raise ValueError("not as many positions as the index has")
    if not words:  # an empty file cannot be mapped
        return ListDataset([torch.empty(0, dtype=torch.int64)] * len(sizes), sizes)
    return MMapIndexedDataset(os.path.join(store, "positions"))


def numbers_of(rows: Rows) -> np.ndarray:
    """The numbers of all sentences, one after the other, ``(their number,)``, where they lie."""
    if isinstance(rows, MMapIndexedDataset):
        return np.frombuffer(rows._bin_buffer, dtype=rows._index.dtype)
    return torch.cat([torch.empty(0, dtype=torch.int64), *rows]).numpy()


def crc32(path: str) -> int:
    """CRC-32 of a file.

    Raises:
        OSError: it cannot be read
    """
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
