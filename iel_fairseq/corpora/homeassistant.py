"""User-interface texts of Home Assistant 2025.4.4 with their human translations: 9,800 pairs, the demo's corpus."""

from __future__ import annotations

import functools
import hashlib
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from iel_fairseq.corpora.parallel_text import Pair, Split
from iel_fairseq.corpora.raw_files import NO_ARCHIVE, RawFiles
from iel_fairseq.errors import IELError
from iel_fairseq.files import UNREADABLE
from iel_fairseq.json_data import parse_json

PAIRS = [("de", "en"), ("fr", "en")]

WHEEL = "homeassistant-2025.4.4-py3-none-any.whl"
"""Published on the Python package index (Apache License 2.0); read, never installed."""
WORDS = range(3, 41)  # of the English side
SIZES = {"valid": 500, "test": 500}
"""Pairs of each; all the rest is for training."""


def splits(files: RawFiles, source: str, target: str) -> list[Split]:
    wheel = files.published(WHEEL)
    return [
        Split(name, (wheel,), functools.partial(_pairs, wheel, source, name)) for name in ("train", "valid", "test")
    ]


def _pairs(wheel: str, language: str, name: str) -> Iterator[Pair]:
    return iter(_split(wheel, language)[name])


@functools.lru_cache(maxsize=1)
def _split(wheel: str, language: str) -> dict[str, list[Pair]]:
    try:
        translations = _translations(wheel, language)
    except (*UNREADABLE, *NO_ARCHIVE, ValueError) as error:
        raise IELError(f"{wheel}: cannot be read ({error}); remove it, and it is downloaded again") from error
    # By hash: the same split on every machine. English texts are distinct, so none is in two splits.
    order = sorted(translations, key=lambda english: hashlib.sha256(english.encode()).digest())
    found: dict[str, list[Pair]] = {}
    start = 0
    for name in ("valid", "test", "train"):
        chosen = order[start : start + SIZES.get(name, len(order))]
        start += len(chosen)
        found[name] = [(translations[english], english) for english in chosen]
    return found


def _texts(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a tree of translations, with its path."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _texts(child, (*path, key))
    elif isinstance(node, str):
        yield path, node


def _clean(text: str) -> str:
    """One line without the markup of a user interface."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links
    return re.sub(r"\s+", " ", text.replace("`", "").replace("*", "")).strip()


def _translations(wheel: str, language: str) -> dict[str, str]:
    """English text to its translation, one for each distinct English text, in a fixed order."""
    found: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in sorted(name for name in names if name.endswith(f"/translations/{language}.json")):
            english_name = name.replace(f"/{language}.json", "/en.json")
            if english_name not in names:
                continue
            translated = dict(_texts(parse_json(archive.read(name), dict[str, Any])))
            for path, text in _texts(parse_json(archive.read(english_name), dict[str, Any])):
                english, other = _clean(text), _clean(translated.get(path, ""))
                usable = len(english.split()) in WORDS and other and other != english and "{" not in english + other
                if usable and 0.5 <= len(other) / len(english) <= 2:
                    found.setdefault(english, other)
    return found
