"""What a model looked at, read back from lines of JSON, and in whole words."""

from __future__ import annotations

import json

import numpy as np
import pytest

import iel_fairseq
from iel_fairseq.errors import IELError
from iel_fairseq.readings import Reading, joined_readings, readings_of

LINE = {
    "id": 0,
    "source": ["ter@@", "rier", "court"],
    "hypothesis": ["a", "dog", "run@@", "s"],
    "attention_words": ["rier", "rier", "court", "ter@@"],
    "positions": [2, 2, 3, 1],
    "scores": [0.5, 0.6, 0.7, 0.4],
    "attention": [[0.2, 0.5, 0.2, 0.1], [0.3, 0.6, 0.1, 0.0], [0.1, 0.1, 0.7, 0.1], [0.4, 0.3, 0.1, 0.2]],
}


def whole(reading: Reading) -> Reading:
    """A reading, which is all there is of a text, in whole words."""
    return joined_readings([reading])[0]


def test_enhanced_source_and_positions():
    """Lines 6 and 7, for the eye."""
    words, positions, _ = zip(*Reading.of(json.dumps(LINE)).marked, strict=True)
    assert [*words] == ["ter@@", "rier", "court", "rier", "rier", "court", "ter@@"]
    assert [*positions] == [1, 2, 3, 2, 2, 3, 1]
    assert Reading.of(json.dumps(LINE)).marked[2:5] == [("court", 3, False), ("rier", 2, True), ("rier", 2, True)]


def test_what_is_written_is_what_was_read():
    assert {"id": 0, **Reading.of(json.dumps(LINE)).values} == LINE
    positions_only = {key: LINE[key] for key in ("source", "hypothesis", "attention_words", "positions")}
    assert Reading.of(json.dumps(positions_only)).values == positions_only


def test_numbers_are_written_as_exactly_as_documented():
    reading = Reading(["a"], ["b"], [[1]], np.array([[0.12344, 0.87656]]), [0.1234564])
    assert reading.values["attention"] == [[0.1234, 0.8766]]
    assert reading.values["scores"] == [0.123456]


def test_in_whole_words_source_pieces_add_up_and_those_of_the_hypothesis_are_averaged():
    joined = whole(Reading.of(json.dumps(LINE)))
    assert joined.source == ["terrier", "court"]
    assert joined.hypothesis == ["a", "dog", "runs"]
    assert joined.positions == [[1], [1], [2, 1]]
    assert joined.attention == pytest.approx(np.array([[0.7, 0.2, 0.1], [0.9, 0.1, 0.0], [0.45, 0.4, 0.15]]))
    assert joined.appended == [("terrier", 1), ("terrier", 1), ("court", 2), ("terrier", 1)]


def test_pharaoh_format_in_pieces_and_in_whole_words():
    reading = Reading.of(json.dumps(LINE))
    assert reading.pharaoh == "1-0 1-1 2-2 0-3"
    assert whole(reading).pharaoh == "0-0 0-1 1-2 0-2"  # "runs" looked at both words


def test_a_file_is_read_by_one_call(tmp_path):
    file = tmp_path / "words.jsonl"
    accented = {**LINE, "source": ["ter@@", "rïer", "court"]}
    file.write_text(f"{json.dumps(accented, ensure_ascii=False)}\n{json.dumps(LINE)}\n", encoding="utf-8")
    first, second = iel_fairseq.read_readings(file)
    assert (first.source[1], second.source[1]) == ("rïer", "rier")
    assert second.hypothesis == LINE["hypothesis"]
    assert second.positions == [[2], [2], [3], [1]]
    assert second.attention_words == [["rier"], ["rier"], ["court"], ["ter@@"]]
    assert second.scores == LINE["scores"]
    assert second.attention.shape == (4, 4)
    assert whole(second).attention_words == [["terrier"], ["terrier"], ["court", "terrier"]]
    assert whole(second).scores is None
    with pytest.raises(IELError, match=r"none\.jsonl: cannot be read \(No such file or directory\)"):
        iel_fairseq.read_readings(tmp_path / "none.jsonl")


def test_positions_alone_and_empty_sentences():
    plain = Reading.of(json.dumps({key: LINE[key] for key in ("source", "hypothesis", "positions")}))
    assert plain.attention is None
    assert whole(plain).positions == [[1], [1], [2, 1]]
    empty = Reading.of(json.dumps({"source": [], "hypothesis": [], "positions": [], "attention": []}))
    assert empty.attention.shape == (0, 1)
    assert whole(empty).marked == []
    silent = Reading.of(json.dumps({"source": ["ter@@", "rier"], "hypothesis": [], "positions": [], "attention": []}))
    assert silent.attention.shape == (0, 3)
    assert whole(silent).attention.shape == (0, 2)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "{",
        json.dumps({**LINE, "positions": [2, 2, 1, 1, 1]}),
        json.dumps({**LINE, "positions": [2, 2, 4, 1]}),
        json.dumps({**LINE, "positions": [2, 2, 0, 1]}),
        json.dumps({**LINE, "positions": ["2", 2, 1, 1]}),
        json.dumps({**LINE, "attention": LINE["attention"][:2]}),
        json.dumps({**LINE, "scores": []}),
        json.dumps({**LINE, "scores": [0.5] * 3}),
        json.dumps({**LINE, "scores": [0.5] * 5}),
        json.dumps({**LINE, "scores": [0.5, 0.5, 0.5, float("nan")]}),
        json.dumps({**LINE, "attention": [[1, 2], [3, 4]]}),
    ],
)
def test_anything_else_is_one_line_that_names_it(line):
    with pytest.raises(IELError, match=r"^words\.jsonl, line 2: not what iel extract --format jsonl prints") as caught:
        readings_of([json.dumps(LINE), line], "words.jsonl")
    assert "\n" not in str(caught.value)


def test_nothing_is_one_line():
    with pytest.raises(IELError, match=r"words\.jsonl: holds no sentences"):
        readings_of([], "words.jsonl")


def test_pieces_of_one_word_that_look_at_one_word_are_one_link():
    joined = whole(Reading(["a@@", "b", "c"], ["x@@", "y"], [[1], [2]]))
    assert (joined.positions, joined.pharaoh) == ([[1]], "0-0")


def test_sentencepieces_are_joined_as_well():
    source, hypothesis = ["▁Ein", "▁Hun", "d", "▁", ","], ["▁a", "▁do", "g", "s"]
    joined = whole(Reading(source, hypothesis, [[1], [2], [3], [4]], np.eye(4, 6)))
    assert (joined.source, joined.hypothesis) == (["Ein", "Hund", ","], ["a", "dogs"])
    assert joined.positions == [[1], [2, 3]]
    assert joined.attention.tolist() == [[1, 0, 0, 0], [0, pytest.approx(2 / 3), pytest.approx(1 / 3), 0]]
    assert whole(Reading(["d", "▁x"], ["y"], [[1]])).source == ["d", "x"]
    words = whole(Reading(["▁a", "▁b", "c"], ["x", "y"], [[1], [3]]))  # of one language alone
    assert (words.source, words.hypothesis, words.positions) == (["a", "bc"], ["x", "y"], [[1], [2]])
    mixed = whole(Reading(["▁He", "llo", "▁wor", "ld"], ["Hal@@", "lo", "Welt"], [[1], [2], [4]]))
    assert (mixed.source, mixed.hypothesis) == (["Hello", "world"], ["Hallo", "Welt"])
    assert mixed.pharaoh == "0-0 1-1"
    patch = whole(Reading(["▁@@", "▁-1", "▁@@"], ["x"], [[1]]))  # in SentencePiece's text it is a word
    assert patch.source == ["@@", "-1", "@@"]
    silent = Reading(["▁Hallo", "▁Welt"], ["wor", "ld"], [[2], [2]])  # of this sentence nobody knows the mark
    long = Reading(["▁Hal", "lo"], ["▁hel", "lo"], [[1], [2]])
    first, _ = joined_readings([silent, long])
    assert (first.source, first.hypothesis, first.positions) == (["Hallo", "Welt"], ["world"], [[2]])
    literal = whole(Reading(["a@@", "b", "▁", "d"], ["x"], [[1]]))
    assert literal.source == ["ab", "▁", "d"]  # in subword-nmt's text it is a character
    more = joined_readings([Reading(["▁", "▁", "a@@", "b"], [], []), Reading(["c@@", "d@@", "e"], [], [])])
    assert more[0].source == ["▁", "▁", "ab"]  # and may be more often in a sentence, not in a text
