"""Importance by LIME (Ribeiro et al., 2016), with the ``lime`` package (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.words import Word, words_of
from iel_fairseq.explainers.result import Explanation, seed_of
from iel_fairseq.explainers.together import AT_ONCE, Ask, answer_together


def explain(classifier: Classifier, texts: Sequence[str], samples: int, seed: int) -> Iterator[tuple[int, Explanation]]:
    """What ``LimeTextExplainer`` gives for the predicted class, for every word of each text.

    It takes a word away wherever it stands; all places of a word have the same score.

    Args:
        classifier: reads the texts with some words taken away
        texts: to be explained
        samples: ``num_samples``
        seed: of each text's own random state
    """
    questions = [partial(_explain_one, text, samples, seed) for text in texts]
    yield from answer_together(questions, classifier.scores, AT_ONCE)


def lime_explainer(text: str, seed: int):
    """The package's explainer of *text*, for words as this project has them."""
    from lime.lime_text import LimeTextExplainer

    return LimeTextExplainer(
        split_expression=lambda text: _names(words_of(text)),
        feature_selection="none",  # all words are wanted, not the ten best
        random_state=seed_of(text, seed),
    )


def _explain_one(text: str, samples: int, seed: int, ask: Ask) -> Explanation:
    words = words_of(text)
    if not words:
        return Explanation.of(text, [], ask([text])[0])
    found = lime_explainer(text, seed).explain_instance(
        text, ask, top_labels=1, num_features=len(words), num_samples=samples
    )
    weights = dict(found.as_list(label=found.top_labels[0]))
    return Explanation.of(text, [weights[name] for name in _names(words)], found.predict_proba)


def _names(words: Sequence[Word]) -> list[str]:
    """*words* as the package can know them: in an array of numpy's, whose texts lose NUL at their ends."""
    return [word.text.rstrip("\0") for word in words]
