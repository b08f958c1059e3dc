"""Dictionaries: read, and told apart."""

from __future__ import annotations

import hashlib

from fairseq.data import Dictionary

from iel_fairseq.errors import IELError


def read_dictionary(path: str) -> Dictionary:
    """The dictionary in a file.

    Raises:
        IELError: it cannot be read, or is none
    """
    try:
        return Dictionary.load(path)
    except Exception as error:  # fairseq raises many kinds, for a wrong encoding an Exception
        raise IELError(f"{path}: not a readable dictionary ({error}); make it again with fairseq-preprocess") from error


def dictionary_fingerprint(dictionary: Dictionary) -> str:
    """SHA-256 over the entries of *dictionary* in their order, in hexadecimal."""
    return hashlib.sha256("\n".join(dictionary.symbols).encode()).hexdigest()


def first_difference(theirs: Dictionary, ours: Dictionary) -> str | None:
    """Where two dictionaries first differ, in words; None when they are the same."""
    for index, (their, our) in enumerate(zip(theirs.symbols, ours.symbols, strict=False)):
        if their != our:
            return f"they first differ at entry {index}: {their!r}, in the data {our!r}"
    if len(theirs) != len(ours):
        return f"they first differ at entry {min(len(theirs), len(ours))}, where the shorter one ends"
    return None
