"""What becomes of sentence pairs before they are split into pieces."""

from __future__ import annotations

from collections import Counter

import pytest

from iel_fairseq.preparation.bpe import learn_codes, write_vocabulary
from iel_fairseq.preparation.pair_work import Options, Tokenize


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (3, 2, None),
        (2, 3, None),
        (4, 2, "ratio"),
        (2, 4, "ratio"),
        (6, 6, None),
        (7, 6, "overlong"),
        (6, 7, "overlong"),
        (0, 3, "empty"),
        (3, 0, "empty"),
    ],
)
def test_pairs_beyond_a_limit_are_no_training_data(source, target, reason):
    pair = " ".join(["mot"] * source), " ".join(["word"] * target)
    options = Options("fr", "en", max_ratio=1.5, max_length=6)
    worked = Tokenize(options, training=True)([pair])
    assert (worked.pairs, dict(worked.dropped)) == (([pair], {}) if reason is None else ([], {reason: 1}))
    assert Tokenize(options, training=False)([pair]).pairs == [pair]


def test_a_word_of_both_languages_counts_in_both(tmp_path):
    """Joint BPE: ``ab`` four times in all is more than ``cd`` three times."""
    for language, words in (("fr", {"ab": 2, "cd": 3}), ("en", {"ab": 2})):
        write_vocabulary(Counter(words), str(tmp_path / language))
    learn_codes([str(tmp_path / "fr"), str(tmp_path / "en")], 1, str(tmp_path / "codes"))
    assert (tmp_path / "codes").read_text().splitlines()[1:] == ["a b</w>"]
