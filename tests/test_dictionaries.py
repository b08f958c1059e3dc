"""Dictionaries, told apart."""

from __future__ import annotations

from fairseq.data import Dictionary

from iel_fairseq.dictionaries import first_difference


def dictionary_of(*words: str) -> Dictionary:
    dictionary = Dictionary()
    for word in words:
        dictionary.add_symbol(word)
    return dictionary


def test_a_dictionary_that_goes_on_is_another_whichever_of_the_two_it_is():
    short, long = dictionary_of("a"), dictionary_of("a", "b")
    assert first_difference(long, long) is None
    assert first_difference(short, long) is not None
    assert first_difference(long, short) is not None
