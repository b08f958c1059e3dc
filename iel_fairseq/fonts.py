"""Fonts for pictures with words of any script in them."""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from iel_fairseq.errors import IELError


def columns_of(text: str) -> int:
    """Columns of a fixed width that *text* takes: the wide characters of East Asian scripts take two."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def fonts_for(text: str, own: str = "DejaVu Sans") -> list[str]:
    """Installed fonts that have the characters of *text*, in the order in which they shall be tried.

    Matplotlib's own font has Latin, Greek, Cyrillic, Hebrew and Arabic; Chinese, for one, it has not. Its font of last
    resort draws boxes.

    Args:
        text: what is to be drawn
        own: the one to be tried first, one of Matplotlib's own

    Raises:
        IELError: no font has a character
    """
    fonts = [own]
    missing = _printable(text) - _characters(font_manager.findfont(own))
    others = [entry for entry in font_manager.fontManager.ttflist if "LastResort" not in entry.fname]
    for entry in sorted(others, key=lambda entry: (entry.weight != 400, entry.name)):
        if not missing:
            break
        if missing & _characters(entry.fname):
            fonts.append(entry.name)
            missing -= _characters(entry.fname)
    if missing:
        shown = "".join(sorted(missing)[:10])
        raise IELError(f"no installed font has the characters {shown}; install one (e.g. Noto), or write an .html page")
    return fonts


def _printable(text: str) -> set[str]:
    return {character for character in text if unicodedata.category(character)[0] not in "CZM"}


@cache
def _characters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except RuntimeError:  # a font that cannot be read is no help
        return frozenset()
