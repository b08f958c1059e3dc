"""Decoding in two passes, to be compared with the two steps by hand: fairseq's commands, forked."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import all_lines
from forked import run_forked


def decode(command: str, data: Path, path: object, *options: object, stdin: str = "", cwd: Path) -> str:
    words = (data, "-s", "src", "-t", "tgt", "--cpu", "--path", path, "--log-format", "none", *options)
    return run_forked(f"fairseq-{command}", [str(word) for word in words], cwd, stdin)[0]


def assert_same(together: str, apart: str, sentences: int = 100) -> None:
    """The same hypotheses, all of the n-best ones, with the same scores of each word."""
    for letter in "HP":
        ours, theirs = all_lines(together, letter), all_lines(apart, letter)
        assert len(ours) == sentences
        assert ours.keys() == theirs.keys()
        for sentence, best in ours.items():
            for (scores, *words), (expected, *same_words) in zip(best, theirs[sentence], strict=True):
                assert words == same_words
                assert [*map(float, scores.split())] == pytest.approx([*map(float, expected.split())], abs=2e-3)


def preprocess_test_set(corpus: Path, data: Path, destination: Path, *options: object) -> Path:
    """The test set as another kind of data folder than *data*."""
    dictionaries = ("--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt")
    words = ("-s", "src", "-t", "tgt", "--testpref", corpus / "test", "--destdir", destination, *dictionaries, *options)
    run_forked("fairseq-preprocess", [str(word) for word in words], corpus)
    return destination
