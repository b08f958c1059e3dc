"""fairseq's data folders: which one a checkpoint has, and whether it is one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fairseq import utils
from fairseq.data import data_utils

from iel_fairseq.errors import IELError


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
