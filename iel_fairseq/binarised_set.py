"""A binarised set of a data folder: there, whole, and of its dictionaries.

fairseq believes what the files say of themselves until it comes to what is missing, or leaves a language out.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.huffman.huffman_mmap_indexed_dataset import HuffmanMMapIndex
from fairseq.data.indexed_dataset import IndexedDataset

from iel_fairseq.errors import IELError
from iel_fairseq.mmap_index import NO_INDEX, read_index

OTHER_KINDS = (IndexedDataset._HDR_MAGIC, HuffmanMMapIndex._HDR_MAGIC[:8])
"""How indices of other data sets than the memory-mapped ones begin."""

TEXTS = ("", ".bin", ".fasta")
"""How the names end of files that may hold the text of one language."""

AGAIN = "copy it again, or make it again with fairseq-preprocess"


def check_split(
    folder: str,
    split: str,
    languages: tuple[str, str],
    dictionaries: tuple[Dictionary, Dictionary | None],
    combine: bool = False,
    kind: str | None = None,
) -> None:
    """
    Args:
        folder: of the data
        split: name of the set
        languages: source and target
        dictionaries: of each; None: that language is not read
        combine: SPLIT1, SPLIT2 and so on are read as well
        kind: fairseq's ``--dataset-impl``; None: it finds out

    Raises:
        IELError: there is no such set, or nothing in it; its files are not whole, or do not belong together
    """
    source, target = languages
    for number in itertools.count():
        starts = [
            os.path.join(folder, f"{split}{number or ''}.{pair}.")
            for pair in (f"{source}-{target}", f"{target}-{source}")
        ]
        start = next((start for start in starts if _is_there(f"{start}{source}")), None)
        if start is None and number:
            return
        if start is None:
            raise IELError(
                f"{folder}: there is no split {split!r} of {source}-{target}; "
                "check the name, the languages and the data folder"
            )
        if kind in (None, "mmap"):
            _check_indexed_sides([f"{start}{language}" for language in languages], dictionaries, kind)
        texts = [f"{start}{source}{ending}" for ending in TEXTS if os.path.isfile(f"{start}{source}{ending}")]
        if kind is None and not os.path.isfile(f"{start}{source}.idx"):
            raise IELError(f"{texts[0]}: not binarised; do that (fairseq-preprocess), or give --dataset-impl")
        if number == 0 and not any(os.path.getsize(text) for text in texts):
            raise IELError(f"{folder}: split {split!r} holds no sentences")
        if not combine:
            return


def _is_there(side: str) -> bool:
    """Whether there is anything of one language; *side* is the name of its files without their endings."""
    return any(os.path.isfile(f"{side}{ending}") for ending in (*TEXTS, ".idx"))


def _check_indexed_sides(
    sides: list[str], dictionaries: tuple[Dictionary, Dictionary | None], kind: str | None
) -> None:
    """
    Raises:
        IELError: memory-mapped files of one of the *sides* are not whole, or not of its dictionary; or one side has
            other sentences than the other
    """
    sentences = {}
    for side, dictionary in zip(sides, dictionaries, strict=True):
        index, numbers = f"{side}.idx", f"{side}.bin"
        there = [file for file in (index, numbers) if os.path.isfile(file)]
        if dictionary is None or not there:
            continue
        if len(there) == 1:
            raise IELError(f"{numbers if there == [index] else index}: missing; {AGAIN}")
        text_is_read = kind is None and os.path.isfile(side)  # fairseq looks for that first
        if not text_is_read and not _is_of_another_kind(index):
            sentences[index] = _check_indexed(index, numbers, dictionary)
    if len(set(sentences.values())) > 1:
        (one, count), (other, others) = sentences.items()
        raise IELError(f"{one} has {count:,} sentences, {other} has {others:,} sentences; {AGAIN}")


def _is_of_another_kind(index: str) -> bool:
    with open(index, "rb") as file:
        return file.read(8).startswith(OTHER_KINDS)


def _check_indexed(index: str, numbers: str, dictionary: Dictionary) -> int:
    """The number of sentences of a memory-mapped data set.

    Raises:
        IELError: its files are not whole, or not of this *dictionary*
    """
    try:
        dtype, sizes = read_index(index)
    except NO_INDEX as error:
        raise IELError(f"{index}: damaged, perhaps cut short; {AGAIN}") from error
    expected = int(sizes.sum(dtype=np.int64)) * dtype.itemsize
    if os.path.getsize(numbers) != expected:
        raise IELError(f"{numbers}: {os.path.getsize(numbers):,} bytes, its index says {expected:,}; {AGAIN}")
    if expected:
        words = np.memmap(numbers, dtype, mode="r")
        if words.min() < 0 or words.max() >= len(dictionary):
            raise IELError(
                f"{numbers}: has words beyond the {len(dictionary):,} of its dictionary; "
                f"binarise it with that dictionary (fairseq-preprocess --srcdict, --tgtdict)"
            )
    return len(sizes)
