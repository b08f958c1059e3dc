"""The index of fairseq's memory-mapped data sets, which fairseq itself believes whatever is in it."""

from __future__ import annotations

import struct

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDataset, _code_to_dtype

KIND = MMapIndexedDataset.Index._HDR_MAGIC
"""How such a file begins."""

NO_INDEX = (ValueError, KeyError, struct.error)
"""What reading something else raises."""

_HEADER = struct.Struct("<9sQBQ")
"""Its kind, version, type of the numbers, number of the sentences."""


def read_index(path: str) -> tuple[np.dtype, np.ndarray]:
    """What is in the index at *path*.

    Returns:
        type of the numbers; how many of them each sentence has, int32 ``(sentences,)``

    Raises:
        one of NO_INDEX: it is none, or damaged
        OSError: it cannot be read
    """
    with open(path, "rb") as file:
        content = file.read()
    kind, version, code, count = _HEADER.unpack_from(content)
    if (kind, version) != (KIND, 1):
        raise ValueError("no index")
    dtype = np.dtype(_code_to_dtype[code])
    if len(content) != _HEADER.size + 12 * count:
        raise ValueError("an index of another length")
    sizes = np.frombuffer(content, "<i4", count, _HEADER.size)
    starts = np.frombuffer(content, "<i8", count, _HEADER.size + 4 * count)
    if sizes.min(initial=0) < 0 or not np.array_equal(starts, (np.cumsum(sizes) - sizes) * dtype.itemsize):
        raise ValueError("an index that contradicts itself")
    return dtype, sizes
