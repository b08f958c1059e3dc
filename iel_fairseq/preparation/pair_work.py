"""What is done to pairs of sentences on their way from raw text to pieces of words (paper, section 5.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iel_fairseq.corpora.parallel_text import Pair
from iel_fairseq.preparation.moses_text import MosesText, count_cases


@dataclass(frozen=True)
class Options:
    """What decides how text is prepared.

    Attributes:
        source_lang: source language
        target_lang: target language
        merges: number of BPE merge operations
        joint: one list of merges, and one dictionary, for both languages
        truecase: else case is left as it is
        max_ratio: training pairs with more words on one side than this times those on the other are dropped; 0: none
        max_length: training pairs with more words on a side are dropped; 0: none
    """

    source_lang: str
    target_lang: str
    merges: int = 16000
    joint: bool = True
    truecase: bool = True
    max_ratio: float = 1.5
    max_length: int = 175

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_lang, self.target_lang


@dataclass
class Worked:
    """A piece of work that is done.

    Attributes:
        pairs: what became of its pairs, those that were dropped left out
        counts: by language, of words, or of words in each case
        dropped: number of pairs that were dropped, by reason
    """

    pairs: list[Pair]
    counts: tuple[Counter[str], Counter[str]]
    dropped: Counter[str]


class Tokenize:
    """Tokenises pairs; drops those that a training set should not have; counts cases for the truecaser, or words."""

    def __init__(self, options: Options, training: bool):
        self._options = options
        self._training = training
        self._texts = [MosesText(language) for language in options.languages]

    def __call__(self, pairs: list[Pair]) -> Worked:
        source, target = self._texts
        dropped: Counter[str] = Counter()
        kept: list[Pair] = []
        for left, right in pairs:
            tokens = source.tokenize(left), target.tokenize(right)
            reason = self._reason_to_drop(*(len(side.split()) for side in tokens)) if self._training else None
            if reason is None:
                kept.append(tokens)
            else:
                dropped[reason] += 1
        count = count_cases if self._options.truecase and self._training else _count_words
        return Worked(kept, (count(pair[0] for pair in kept), count(pair[1] for pair in kept)), dropped)

    def _reason_to_drop(self, *lengths: int) -> str | None:
        if not min(lengths):
            return "empty"
        if self._options.max_length and max(lengths) > self._options.max_length:
            return "overlong"
        if self._options.max_ratio and max(lengths) > self._options.max_ratio * min(lengths):
            return "ratio"
        return None


class Transform:
    """Changes tokenised sentences, one way for each language, and counts the words that come out."""

    def __init__(self, *ways: Callable[[], Callable[[str], str]]):
        self._ways = [way() for way in ways]

    def __call__(self, pairs: list[Pair]) -> Worked:
        source, target = self._ways
        done = [(source(left), target(right)) for left, right in pairs]
        return Worked(done, (_count_words(pair[0] for pair in done), _count_words(pair[1] for pair in done)), Counter())


def _count_words(sentences: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence.split())
    return counts


def truecase(language: str, model: str) -> Callable[[str], str]:
    """The function that truecases tokenised sentences of a language, with the model in a file."""
    return MosesText(language, model).truecase
