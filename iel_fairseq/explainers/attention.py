"""Importance by attention: how much ``[CLS]`` looks at a word (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from iel_fairseq.classification.classifier import Attention, Classifier
from iel_fairseq.classification.words import SEPARATOR, words_of
from iel_fairseq.explainers.result import Explanation


def explain(classifier: Classifier, texts: Sequence[str], samples: int, seed: int) -> Iterator[tuple[int, Explanation]]:
    """The last layer's attention from ``[CLS]``, summed over heads; a word's score is the sum over its pieces.

    Words that do not fit into the model's input have score 0.

    Raises:
        IELError: the model has no attention that can be read, as those that read by windows, or generate
    """
    for row, attention in classifier.attention(texts):
        yield row, Explanation.of(texts[row], _by_word(texts[row], attention), attention.scores)


def _by_word(text: str, attention: Attention) -> np.ndarray:
    words = words_of(text)
    scores = np.zeros(len(words), dtype=np.float32)
    second = text.find(SEPARATOR) + 1  # where the second sentence begins
    number = 0
    for weight, (sentence, start, end) in zip(attention.weights, attention.spans, strict=True):
        if sentence is None:
            continue
        shift = second if sentence else 0
        start, end = start + shift, end + shift
        while number < len(words) and words[number].end <= start:
            number += 1
        if number == len(words):
            break
        before = end == words[number].start and not text[start:end].strip()  # as SentencePiece parts "▁" from "word"
        if before or words[number].start < end:
            scores[number] += weight
    return scores
