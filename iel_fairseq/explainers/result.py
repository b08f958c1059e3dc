"""What every explainer gives for a text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iel_fairseq.classification.words import Word, words_of


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each word of a text matters.

    Attributes:
        text: as it was explained, what looks like a special token in it broken
        words: of *text*, in their order
        scores: float32 ``(words,)``, importance for *prediction*
        prediction: the classifier's own: number of a class, or a score
    """

    text: str
    words: Sequence[Word]
    scores: np.ndarray
    prediction: float

    @classmethod
    def of(cls, text: str, scores: Sequence[float] | np.ndarray, said: np.ndarray | float) -> Explanation:
        """
        Args:
            text: the text
            scores: of each word
            said: what the classifier says of it: ``(classes,)``, probabilities, or one score
        """
        said = np.atleast_1d(said)
        prediction = float(said[0] if len(said) == 1 else said.argmax())
        return cls(text, words_of(text), np.asarray(scores, dtype=np.float32), prediction)

    @property
    def important_word(self) -> str | None:
        """ω: the word with the highest score, the first one among equals; None for a text without words."""
        return self.words[int(self.scores.argmax())].text if self.words else None

    @property
    def is_tie(self) -> bool:
        """Whether another word, not the same once more, has the highest score as well: SHAP leaves groups of words
        together for which it has too few samples."""
        best = np.flatnonzero(self.scores == self.scores.max(initial=-np.inf)).tolist()
        return len({self.words[number].text for number in best}) > 1


def seed_of(text: str, seed: int) -> int:
    """The seed for *text*, whatever stands around it: it depends on *seed* and on the text alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{text}".encode()).digest()[:4], "little")
