"""fairseq's data folders: which one a checkpoint has; that what is asked for is in it, and whole."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Sequence

import numpy as np
from fairseq import utils
from fairseq.data import Dictionary, data_utils
from fairseq.data.huffman.huffman_mmap_indexed_dataset import HuffmanMMapIndex
from fairseq.data.indexed_dataset import IndexedDataset

from iel_fairseq.errors import IELError
from iel_fairseq.mmap_index import NO_INDEX, read_index

OTHER_KINDS = (IndexedDataset._HDR_MAGIC, HuffmanMMapIndex._HDR_MAGIC[:8])
"""How indices of other data sets than the memory-mapped ones begin."""

AGAIN = "copy it again, or make it again with fairseq-preprocess"


def first_folder(data: str | None) -> str:
    """The first of the folders that fairseq's DATA names, in which everything but training data lies; empty: none."""
    return utils.split_paths(data or "")[0]


def data_folder_of(asked: str | None, trained: str | None) -> str:
    """The folder that is *asked* for, or else the one that a checkpoint was *trained* on; None: nobody says.

    Raises:
        IELError: it is not there
    """
    folder = asked or trained or "DATA-BIN"
    if not os.path.isdir(folder):
        raise IELError(f"{folder}: the checkpoint's data folder is not there; say with --data where it is")
    return folder


def check_data_folder(folder: str, languages: Sequence[str | None]) -> None:
    """
    Args:
        folder: that data are asked of; empty: none was named
        languages: whose dictionaries must be in it; None: fairseq finds out

    Raises:
        IELError: no such folder, no dictionary in it, or nothing that says which languages
    """
    if not os.path.isdir(folder):
        raise IELError(f"{folder or 'DATA'}: no such data folder; make one with fairseq-preprocess")
    if None in languages and None in data_utils.infer_language_pair(folder):
        raise IELError(
            f"{folder}: nothing in it says which languages; name them with --source-lang and --target-lang, "
            f"or give DESTDIR/data-bin of iel prepare"
        )
    for language in languages:
        file = os.path.join(folder, f"dict.{language}.txt")
        if language is not None and not os.path.isfile(file):
            raise IELError(f"{file}: no such dictionary; check --source-lang, --target-lang and the data folder")


def language_pairs(folder: str) -> set[tuple[str, str]]:
    """The pairs of languages, source first, of which there is binarised text in *folder*."""
    found = (re.fullmatch(r"[^.]+\.([^.]+)-([^.]+)\.(?:\1|\2)\.idx", name) for name in os.listdir(folder))
    return {(pair[1], pair[2]) for pair in found if pair}


def check_split(
    folder: str,
    split: str,
    languages: tuple[str, str],
    dictionaries: tuple[Dictionary, Dictionary | None],
    combine: bool = False,
) -> None:
    """See now what fairseq would meet later, or not at all: it believes what the files say of themselves.

    Args:
        folder: of the data
        split: name of the set
        languages: source and target
        dictionaries: of each; None: that language is not read
        combine: SPLIT1, SPLIT2 and so on are read as well

    Raises:
        IELError: there is no such set, or nothing in it; its files are not whole, or do not belong together
    """
    pairs = "-".join(languages), "-".join(reversed(languages))
    for number in itertools.count():
        name = f"{split}{number or ''}"
        starts = [os.path.join(folder, f"{name}.{pair}.") for pair in pairs]
        files = [file for start in starts for file in glob.glob(f"{glob.escape(start + languages[0])}*")]
        if not files and number:
            return
        if not files:
            raise IELError(
                f"{folder}: there is no split {split!r} of {pairs[0]}; "
                "check the name, the languages and the data folder"
            )
        start = next(start for start in starts if any(file.startswith(start) for file in files))
        sentences = {
            index: _check_indexed(index, dictionary)
            for language, dictionary in zip(languages, dictionaries, strict=True)
            if dictionary is not None and _is_mapped(index := f"{start}{language}.idx")
        }
        if len(set(sentences.values())) > 1:
            counts = ", ".join(f"{index} has {count:,} sentences" for index, count in sentences.items())
            raise IELError(f"{counts}; {AGAIN}")
        if number == 0 and all(os.path.getsize(file) == 0 for file in files if not file.endswith(".idx")):
            raise IELError(f"{folder}: split {split!r} holds no sentences")
        if not combine:
            return


def _is_mapped(index: str) -> bool:
    """Whether there is a file *index*, and not of one of fairseq's other kinds of data sets."""
    if not os.path.isfile(index):
        return False
    with open(index, "rb") as file:
        return not file.read(8).startswith(OTHER_KINDS)


def _check_indexed(index: str, dictionary: Dictionary) -> int:
    """The number of sentences of a memory-mapped data set.

    Raises:
        IELError: its files are not whole, or not of this *dictionary*
    """
    numbers = f"{index.removesuffix('.idx')}.bin"
    try:
        dtype, sizes = read_index(index)
    except NO_INDEX as error:
        raise IELError(f"{index}: damaged, perhaps cut short; {AGAIN}") from error
    if not os.path.isfile(numbers):
        raise IELError(f"{numbers}: missing; {AGAIN}")
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
