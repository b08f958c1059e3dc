"""What a word is (DESIGN line 16)."""

from __future__ import annotations

import pytest

from iel_fairseq.classification.words import append_word, keep_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Our friends won't buy it.", ["Our", "friends", "won't", "buy", "it"]),
        ("“Quoted”, (well-known) \u2013 ...", ["Quoted", "well-known"]),
        ("good 👍🏽 !", ["good", "👍🏽"]),
        ("A dog.\tThe cat?", ["A", "dog", "The", "cat"]),
        ("costs $5, 10%", ["costs", "$5", "10"]),
        ("ein Hügel घर", ["ein", "Hügel", "घर"]),
        ("C++ is $10 & 5% = | ~ 1 + 1 \u20ac", ["C++", "is", "$10", "5", "1", "1"]),
        ("\u200bword\u200b word\ufeff", ["word", "word"]),
        ("`` he said `the film' good", ["he", "said", "the", "film", "good"]),
        ("", []),
        ("... !", []),
    ],
)
def test_words_stand_between_spaces_without_punctuation(text, words):
    found = words_of(text)
    assert [word.text for word in found] == words
    assert [text[word.start : word.end] for word in found] == words


def test_words_are_taken_away_and_the_rest_stays():
    assert keep_words("A dog.\tThe cat?", {1, 2}) == " dog.\tThe ?"
    assert keep_words("A dog.\tThe cat?", set()) == " .\t ?"
    assert keep_words("“A dog” ran.", {0, 2}) == "“A ” ran."
    assert keep_words("“A dog” ran.", {1}, "[MASK]") == "“[MASK] dog” [MASK]."
    assert keep_words("“A dog” ran.", {0, 1, 2}) == "“A dog” ran."


def test_the_word_goes_to_the_end_of_the_second_sentence():
    assert append_word("A dog.\tThe cat?", "dog") == "A dog.\tThe cat? dog"
    assert append_word("A dog.", None) == "A dog."
