"""Comprehensiveness and sufficiency, on a model whose every score is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from iel_fairseq.classification.faithfulness import faithfulness
from iel_fairseq.explainers import Explanation


class Counts:
    """The probability of class 1 is a tenth of the number of a's, b's and c's, which count 3, 2 and 1."""

    glue = SimpleNamespace(regression=False)

    def scores(self, texts):
        ones = np.array([sum({"a": 3, "b": 2, "c": 1}.get(c, 0) for c in text) / 10 for text in texts])
        return np.stack([1 - ones, ones], 1)


def test_the_right_order_is_more_faithful_than_the_wrong_one():
    text = "a b c"
    # Shares of three words, rounded up: one word four times, then two.
    right = faithfulness(Counts(), [Explanation.of(text, [3, 2, 1], 1)])
    assert right.comprehensiveness == pytest.approx((4 * 0.3 + 0.5) / 5)
    assert right.sufficiency == pytest.approx((4 * 0.3 + 0.1) / 5)
    wrong = faithfulness(Counts(), [Explanation.of(text, [1, 2, 3], 1)])
    assert wrong.comprehensiveness == pytest.approx((4 * 0.1 + 0.3) / 5)
    assert wrong.sufficiency == pytest.approx((4 * 0.5 + 0.3) / 5)


def test_shares_are_rounded_up_to_whole_words():
    text = "a b c d e f"  # 1, 5, 10, 20 and 50% of six words: once, twice and three times; d, e and f count nothing
    found = faithfulness(Counts(), [Explanation.of(text, [6, 5, 4, 3, 2, 1], 1)])
    assert found.comprehensiveness == pytest.approx((3 * 0.3 + 0.5 + 0.6) / 5)
    assert found.sufficiency == pytest.approx((3 * 0.3 + 0.1 + 0.0) / 5)


def test_of_a_regression_it_is_the_score_that_counts():
    class Score(Counts):
        """Ten times as much."""

        glue = SimpleNamespace(regression=True)

        def scores(self, texts):
            return 10 * super().scores(texts)[:, 1:]

    text = "a b c"
    found = faithfulness(Score(), [Explanation.of(text, [3, 2, 1], 6.0)])
    assert found.comprehensiveness == pytest.approx(4 * 3 / 5 + 5 / 5)
    assert found.sufficiency == pytest.approx(4 * 3 / 5 + 1 / 5)


def test_it_is_the_predicted_class_that_counts():
    found = faithfulness(Counts(), [Explanation.of("a", [1], 0), Explanation.of("...", [], 0)])
    assert found.comprehensiveness == pytest.approx(-0.3)
    assert found.sufficiency == pytest.approx(0)
    with pytest.raises(ValueError, match="no text has words"):
        faithfulness(Counts(), [Explanation.of("...", [], 0)])
