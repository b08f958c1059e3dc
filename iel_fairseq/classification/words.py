"""What counts as a word of a text to be classified."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

SEPARATOR = "\t"
"""Between the two sentences of a pair, where they are one text. No sentence holds one, and it is never a word."""

_RUN = re.compile(r"\S+")

WORDS = ("L", "M", "N", "So")
"""Categories of Unicode, one of which a word has: letters, marks, numbers, and symbols such as emoji."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its place: ``text == whole[start:end]``."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words of *text*, in their order.

    A word is what stands between spaces, without the punctuation around it: ``won't``, ``$10`` and an emoji are words,
    a full stop and signs alone, such as ``=``, are none.

    Args:
        text: one sentence, or two with :data:`SEPARATOR` between them
    """
    words = []
    for run in _RUN.finditer(text):
        start, end = run.span()
        while start < end and _is_punctuation(text[start]):
            start += 1
        while start < end and _is_punctuation(text[end - 1]):
            end -= 1
        if any(unicodedata.category(character).startswith(WORDS) for character in text[start:end]):
            words.append(Word(text[start:end], start, end))
    return words


def append_word(text: str, word: str | None) -> str:
    """x' in Algorithm 4: *word* at the end of *text*, of its second sentence for a pair; None appends nothing."""
    return text if word is None else f"{text} {word}"


def keep_words(text: str, kept: Collection[int], instead: str = "") -> str:
    """*text* without its words but those whose numbers are *kept*; spaces, punctuation and separator stay.

    This is how LIME takes words away, and SHAP hides them, with *instead* in the place of each.
    """
    parts, done = [], 0
    for number, word in enumerate(words_of(text)):
        if number not in kept:
            parts += [text[done : word.start], instead]
            done = word.end
    return "".join([*parts, text[done:]])


def _is_punctuation(character: str) -> bool:
    category = unicodedata.category(character)
    return character == "`" or category == "Cf" or category.startswith("P")  # `` opens a quotation in treebanks
