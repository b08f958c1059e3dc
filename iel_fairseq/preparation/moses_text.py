"""Raw text to tokens and back: Moses tokeniser and truecaser (paper, section 5.1), one language at a time."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache

from iel_fairseq.errors import IELError

CASED_WORDS = 20_000_000
"""Of a truecaser's model, at most: ten times as many as sacremoses reads by itself, and the largest corpora have."""


def without_region(language: str) -> str:
    """The language itself of a code such as ``fr-CA`` or ``pt_BR``."""
    return re.split("[-_]", language)[0].lower()


class MosesText:
    """The two ways between a raw sentence and Moses tokens, for one language.

    Tokens are escaped (``&apos;``), hyphens inside words split (``@-@``). Truecased means that the first word of a
    sentence has the case that it has elsewhere, and so has a word in a case of which there is none (``HELLO``); the way
    back makes the first letter a capital.
    """

    def __init__(self, language: str, truecaser: str | None = None, as_sacremoses: bool = False):
        """
        Args:
            language: its code, e.g. ``fr``; a region behind it, as in ``fr-CA`` or ``fr_CA``, makes no difference
            truecaser: file of the truecaser's model; None: case stays as it is
            as_sacremoses: a region makes a language that sacremoses does not know, and marks are words, as in folders
                of before

        Raises:
            IELError: the model cannot be read
        """
        from sacremoses import MosesDetokenizer, MosesDetruecaser, MosesTokenizer, MosesTruecaser  # slow to import

        if not as_sacremoses:
            language = without_region(language)
        self._tokenizer = MosesTokenizer(language)
        if not as_sacremoses:
            # A mark goes with the character before it, which is set apart where it is no letter.
            pattern, spaced = self._tokenizer.PAD_NOT_ISALNUM
            apart = pattern.pattern.replace("([^", f"([^{_marks()}", 1).replace("])", f"][{_marks()}]*)", 1)
            self._tokenizer.PAD_NOT_ISALNUM = re.compile(apart), spaced
        self._detokenizer = MosesDetokenizer(language)
        self._truecaser = None
        if truecaser is not None:
            try:
                self._truecaser = MosesTruecaser()
                self._truecaser.MAX_MODEL_ENTRIES = CASED_WORDS
                self._truecaser.model = self._truecaser._load_model(truecaser)
            except (OSError, ValueError) as error:
                raise IELError(f"{truecaser}: not a readable truecaser model ({error})") from error
            self._detruecaser = MosesDetruecaser()

    def tokenize(self, sentence: str) -> str:
        """Tokens of a raw sentence, joined by single spaces, in their own case."""
        return self._tokenizer.tokenize(sentence, aggressive_dash_splits=True, return_str=True)

    def truecase(self, tokens: str) -> str:
        """The same tokens truecased; as they are, without a truecaser."""
        if self._truecaser is None:
            return tokens
        # Without use_known sacremoses changes every word of a sentence to its most frequent case; Moses does not.
        return self._truecaser.truecase(tokens, return_str=True, use_known=True)

    def encode(self, sentence: str) -> str:
        """A raw sentence as a model reads it, before BPE."""
        return self.truecase(self.tokenize(sentence))

    def decode(self, tokens: str) -> str:
        """Tokens that a model wrote, BPE undone, as raw text: this is what BLEU is computed on."""
        if self._truecaser is not None:
            tokens = self._detruecaser.detruecase(tokens, return_str=True)
        return self._detokenizer.detokenize(tokens.split())


@cache
def _marks() -> str:
    """Characters inside words that are no letters: accents, vowel signs, and Persian's and Hindi's (non-)joiners."""
    # sacremoses knows hardly any letters beyond these, and would be half as fast.
    characters = map(chr, range(0x10000))
    marks = (character for character in characters if unicodedata.category(character) in ("Mn", "Mc"))
    return "".join([*marks, "\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}"])


def count_cases(sentences: Iterable[str]) -> Counter[str]:
    """How often each word occurs in which case, where its case tells something: not at the start of a sentence.

    Args:
        sentences: tokenised
    """
    from sacremoses import MosesTruecaser

    learner = MosesTruecaser()
    counts: Counter[str] = Counter()
    for sentence in sentences:
        for _, word, weight in learner.learn_truecase_weights(sentence.split()):
            counts[word] += weight
    return counts


def write_truecaser(counts: Counter[str], path: str) -> None:
    """Write the truecaser's model that :func:`count_cases` of a training set makes, in Moses' own format.

    Args:
        counts: in the order in which the words first occur, which decides between cases that are equally frequent
        path: of the file
    """
    from sacremoses import MosesTruecaser

    casing: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, count in counts.items():
        casing[word.lower()][word] = count
    truecaser = MosesTruecaser()
    truecaser.model = {"casing": casing}
    truecaser.save_model(path)
    os.chmod(path, 0o644)  # sacremoses makes it its owner's alone; it is part of a data folder that is shared
