"""Tatoeba French-English: 167,000 short sentence pairs, split by English sentence."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

from iel_fairseq.corpora.parallel_text import Pair, Split
from iel_fairseq.corpora.raw_files import RawFiles
from iel_fairseq.errors import IELError
from iel_fairseq.text_files import numbered_lines

PAIRS = [("fr", "en")]

SEED = "tatoeba 1"
SIZES = {"valid": 1000, "test": 2000}
"""Pairs of each; all the rest is for training."""


def splits(files: RawFiles, source: str, target: str) -> list[Split]:
    path = files.text("fra.txt", "fra-eng.zip", alias="fra-eng.txt")
    return [Split(name, (path,), functools.partial(_pairs, path, name)) for name in ("train", "valid", "test")]


def _pairs(path: str, name: str) -> Iterator[Pair]:
    return iter(split_by_english(path)[name])


@functools.lru_cache(maxsize=1)
def split_by_english(path: str) -> dict[str, list[Pair]]:
    """The pairs (French, English) of each split.

    English sentences are put in an order by their hash, the same on every machine. Of the first ones, those of valid
    and test, the first translation is taken; no pair with an English or a French sentence of valid or test is in
    training, nor with one that has other spaces alone (before French punctuation, say).

    Args:
        path: lines ``English<TAB>French``, with or without further columns

    Raises:
        IELError: a line has no tab, or the file cannot be read
    """
    translations: dict[str, list[str]] = {}
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        if len(columns) < 2:
            raise IELError(f"{path}, line {number}: no tab between the English and the French sentence")
        translations.setdefault(columns[0], []).append(columns[1])
    order = sorted(translations, key=lambda english: hashlib.sha256(f"{SEED}\t{english}".encode()).digest())
    found: dict[str, list[Pair]] = {}
    start = 0
    for name, size in SIZES.items():
        found[name] = [(translations[english][0], english) for english in order[start : start + size]]
        start += size
    held_out = [pair for pairs in found.values() for pair in pairs]
    held_out_french, held_out_english = ({_letters(pair[side]) for pair in held_out} for side in (0, 1))
    found["train"] = [
        (french, english)
        for english in order[start:]
        if _letters(english) not in held_out_english
        for french in translations[english]
        if _letters(french) not in held_out_french
    ]
    return found


def _letters(sentence: str) -> str:
    return "".join(sentence.split())
