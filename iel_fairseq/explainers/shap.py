"""Importance by SHAP (Lundberg and Lee, 2017), with the ``shap`` package (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.words import keep_words, words_of
from iel_fairseq.explainers.result import Explanation, seed_of
from iel_fairseq.explainers.together import AT_ONCE, Ask, answer_together, remembering


def explain(classifier: Classifier, texts: Sequence[str], samples: int, seed: int) -> Iterator[tuple[int, Explanation]]:
    """What ``PartitionExplainer``, the package's choice for text, gives for the predicted class, for every word.

    The package by itself hides pieces of words; here words are hidden, behind the tokenizer's mask token.

    Args:
        classifier: reads the texts with some words hidden
        texts: to be explained
        samples: ``max_evals``
        seed: of numpy's random state, by which the package breaks ties
    """
    masker = WordMasker(classifier.model.tokenizer.mask_token or "...")
    questions = [partial(_explain_one, text, masker, samples) for text in texts]
    seeds = [seed_of(text, seed) for text in texts]
    yield from answer_together(questions, classifier.scores, AT_ONCE, seeds)


class WordMasker:
    """Hides words of a text behind a mask token; punctuation and the border between two sentences stay.

    What ``shap`` asks of a masker, as its own ``shap.maskers.Text`` has it for pieces of words.
    """

    immutable_outputs = True

    def __init__(self, mask_token: str):
        self.mask_token = mask_token

    def __call__(self, mask: np.ndarray, text: str) -> tuple[np.ndarray]:
        """
        Args:
            mask: bool ``(words,)``, True where a word can be seen
            text: the text
        """
        return (np.array([keep_words(text, set(np.flatnonzero(mask)), self.mask_token)], dtype=object),)

    def shape(self, text: str) -> tuple[int, int]:
        return 1, len(words_of(text))

    def mask_shapes(self, text: str) -> list[tuple[int]]:
        return [(len(words_of(text)),)]

    def feature_names(self, text: str) -> list[list[str]]:
        return [[word.text for word in words_of(text)]]

    def clustering(self, text: str) -> np.ndarray:
        """Which words belong together: the package's own idea of it, from words and the punctuation after them."""
        from shap.maskers._text import partition_tree

        words = words_of(text)
        ends = [*(word.start for word in words[1:]), len(text)]
        tree = partition_tree([text[word.start : end].strip() for word, end in zip(words, ends, strict=True)], [])
        tree[:, 2] = tree[:, 3] / tree[:, 3].max()  # as the package's masker for text
        return tree


def _explain_one(text: str, masker: WordMasker, samples: int, ask: Ask) -> Explanation:
    from shap.explainers import PartitionExplainer

    words = words_of(text)
    ask = remembering(ask)  # the package asks for the whole and for nothing as well
    hidden, whole = ask([masker(np.zeros(len(words), dtype=bool), text)[0][0], text])
    chosen = 0 if len(whole) == 1 else int(whole.argmax())
    if len(words) < 2:  # the package wants two; the value of one is known
        return Explanation.of(text, [whole[chosen] - hidden[chosen]] * len(words), whole)
    explainer: Any = PartitionExplainer(ask, masker)
    values = explainer([text], max_evals=samples, silent=True).values
    return Explanation.of(text, values[0, :, chosen], whole)
