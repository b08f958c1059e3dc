"""What a model looked at while it generated: one sentence, as ``iel extract --format jsonl`` prints it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from torch import Tensor

from iel_fairseq.attention_words import AttentionWords
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import parse_json
from iel_fairseq.text_files import numbered_lines


@dataclass(frozen=True)
class _Line:
    """A reading as JSON has it; ``iel extract`` and ``iel translate`` print more, which follows from it."""

    source: list[str]
    hypothesis: list[str]
    positions: list[int]
    attention: list[list[float]] | None = None
    scores: list[float] | None = None


@dataclass(frozen=True)
class Reading:
    """What a model looked at while it generated a hypothesis.

    Attributes:
        source: x, without ``</s>``
        hypothesis: what was generated, without ``</s>``
        positions: for each word of the hypothesis the 1-based positions of its attention words; one, unless pieces of
            words have been joined; none, where it is cut, for there is no room in x'
        attention: float ``(hypothesis, source + 1)``, the last column for ``</s>``; None when only positions are known;
            not compared by ``==``
        scores: for each word of the hypothesis the attention on its attention word; None when that is not known, or
            pieces of words have been joined
    """

    source: Sequence[str]
    hypothesis: Sequence[str]
    positions: Sequence[Sequence[int]]
    attention: np.ndarray | None = field(default=None, compare=False)
    scores: Sequence[float] | None = None

    @classmethod
    def of(cls, line: str) -> Reading:
        """Read one line of what ``iel extract --format jsonl`` prints.

        Raises:
            ValueError: it is something else
        """
        found = parse_json(line, _Line, unknown="ignore")
        columns, rows = len(found.source), len(found.hypothesis)
        if len(found.positions) > rows or any(not 1 <= at <= columns for at in found.positions):
            raise ValueError("positions that are not in the source")
        if found.scores is not None and (len(found.scores) != rows or not np.isfinite(found.scores).all()):
            raise ValueError("scores that are not a number for each word of the hypothesis")
        attention = None
        if found.attention is not None:
            if len(found.attention) != rows or any(len(row) != columns + 1 for row in found.attention):
                raise ValueError("attention of another shape than source and hypothesis have")
            attention = np.array(found.attention, dtype=float).reshape(rows, columns + 1)
            if not np.isfinite(attention).all():
                raise ValueError("attention that is no number")
        cut = rows - len(found.positions)
        positions = [*([at] for at in found.positions), *[[]] * cut]
        return cls(found.source, found.hypothesis, positions, attention, found.scores)

    @property
    def values(self) -> dict[str, Any]:
        """A line of ``iel extract --format jsonl``, but for its number.

        :meth:`of` reads it, unless pieces of words have been joined.
        """
        values: dict[str, Any] = {
            "source": self.source,
            "hypothesis": self.hypothesis,
            "attention_words": [word for word, _ in self.appended],
            "positions": [position for _, position in self.appended],
        }
        if self.scores is not None:
            values["scores"] = [round(score, 6) for score in self.scores]
        if self.attention is not None:
            values["attention"] = [[round(weight, 4) for weight in row] for row in self.attention.tolist()]
        return values

    @property
    def attention_words(self) -> list[list[str]]:
        """For each word of the hypothesis its attention words."""
        return [[self.source[position - 1] for position in places] for places in self.positions]

    @property
    def appended(self) -> list[tuple[str, int]]:
        """The attention words in the order of x', each with the 1-based position in x that it was read from."""
        return [(self.source[position - 1], position) for places in self.positions for position in places]

    @property
    def marked(self) -> list[tuple[str, int, bool]]:
        """x' without ``</s>`` (paper, Algorithm 3): each word, its position p', and whether it is an attention word."""
        plain = [(word, position, False) for position, word in enumerate(self.source, start=1)]
        return [*plain, *((*pair, True) for pair in self.appended)]

    @property
    def pharaoh(self) -> str:
        """Pairs ``i-j`` of a source word and a word of the hypothesis that looked at it, from 0."""
        return " ".join(f"{position - 1}-{j}" for j, places in enumerate(self.positions) for position in places)

    def joined(self, source_mark: str, target_mark: str) -> Reading:
        """The same in whole words: source pieces add up, those of the hypothesis are averaged.

        An unknown piece has no mark: it counts as a word, or as a part of one.

        Args:
            source_mark: of the pieces of the source language, as :func:`mark_of` finds it
            target_mark: of the target language
        """
        columns, rows = _words(self.source, source_mark), _words(self.hypothesis, target_mark)
        word_at = {piece: number for number, word in enumerate(columns, start=1) for piece in word}
        positions = [
            list(dict.fromkeys(word_at[position - 1] for row in word for position in self.positions[row]))
            for word in rows
        ]
        attention = None
        if self.attention is not None:
            by_word = [self.attention[:, word].sum(axis=1) for word in [*columns, [len(self.source)]]]
            whole = [np.stack(by_word, axis=1)[word].mean(axis=0) for word in rows]
            attention = np.array(whole, dtype=float).reshape(len(rows), len(columns) + 1)
        return Reading(
            [_joined(self.source, word, source_mark) for word in columns],
            [_joined(self.hypothesis, word, target_mark) for word in rows],
            positions,
            attention,
        )


def readings_of_batch(
    words: AttentionWords, src_tokens: Iterable[Tensor], source: Dictionary, target: Dictionary
) -> Iterator[Reading]:
    """What an extractor found for a batch, sentence by sentence.

    Args:
        words: found for B sentences
        src_tokens: x of each with ``</s>``, int64 ``(columns,)``, padded on either side
        source: dictionary of the source language
        target: of the target language
    """
    rows = zip(
        words.lengths.tolist(), words.hypotheses.tolist(), words.positions.tolist(), words.scores.tolist(), strict=True
    )
    attention = None if words.attention is None else words.attention.cpu().numpy()
    for row, (tokens, (count, hypothesis, positions, scores)) in enumerate(zip(src_tokens, rows, strict=True)):
        symbols = symbols_of(tokens, source)
        yield Reading(
            symbols,
            [target[token] for token in hypothesis[:count]],
            [[position] for position in positions[:count]],
            None if attention is None else attention[row, :count, : len(symbols) + 1],
            scores[:count],
        )


def symbols_of(tokens: Tensor, dictionary: Dictionary) -> list[str]:
    """The symbols of ``(S)`` tokens without padding and the ``</s>`` at their end."""
    return [dictionary[token] for token in tokens[tokens.ne(dictionary.pad())].tolist()[:-1]]


def is_marked(piece: str) -> bool:
    """Whether *piece* has a mark of either kind, see :func:`mark_of`."""
    return piece.startswith("▁") or piece.endswith("@@")


def mark_of(pieces: Iterable[str]) -> str:
    """By which mark the *pieces* of a language, of its dictionary or of much text, tell words.

    Where text has the other mark in it, it is the one that more of them have.

    Returns:
        ``▁``, with which SentencePiece's begin where a word does; ``@@``, with which subword-nmt's end where it goes on
    """
    begin = go_on = 0
    for piece in pieces:
        begin += piece.startswith("▁")
        go_on += piece.endswith("@@")
    return "▁" if begin > go_on else "@@"


def joined_readings(readings: Sequence[Reading]) -> list[Reading]:
    """All *readings* of a text in whole words, see :meth:`Reading.joined`."""
    source = mark_of(piece for reading in readings for piece in reading.source)
    target = mark_of(piece for reading in readings for piece in reading.hypothesis)
    return [reading.joined(source, target) for reading in readings]


def _words(pieces: Sequence[str], mark: str) -> list[list[int]]:
    """Which pieces make up each word."""
    words: list[list[int]] = []
    goes_on = False
    for index, piece in enumerate(pieces):
        if mark == "▁":
            goes_on = index > 0 and not piece.startswith("▁")
        if goes_on:
            words[-1].append(index)
        else:
            words.append([index])
        goes_on = piece.endswith("@@")
    return words


def _joined(pieces: Sequence[str], word: Sequence[int], mark: str) -> str:
    if mark == "▁":
        return "".join(pieces[index] for index in word).removeprefix("▁")
    return "".join(pieces[index].removesuffix("@@") for index in word)


def read_readings(path: str | os.PathLike[str]) -> list[Reading]:
    """The readings in a file that ``iel extract`` or ``iel translate`` has written with ``--format jsonl``.

    >>> readings = iel_fairseq.read_readings("read.jsonl")
    >>> readings[0].hypothesis, readings[0].attention_words, readings[0].positions
    (['a', 'dog', 'runs'], [['Ein'], ['Hund'], ['läuft']], [[1], [2], [3]])

    Args:
        path: of the file, which may be packed: ``.gz`` or ``.xz``

    Raises:
        IELError: it cannot be read, is not UTF-8, or holds something else
    """
    name = os.fspath(path)
    return readings_of((line for _, line in numbered_lines(name)), name)


def readings_of(lines: Iterable[str], name: str) -> list[Reading]:
    """The readings in lines of JSON.

    Args:
        lines: as ``iel extract --format jsonl`` prints them
        name: of where they come from, for messages

    Raises:
        IELError: a line is something else, or there is none
    """
    readings = []
    for number, line in enumerate(lines, start=1):
        try:
            readings.append(Reading.of(line))
        except ValueError as error:
            raise IELError(f"{name}, line {number}: not what iel extract --format jsonl prints ({error})") from error
    if not readings:
        raise IELError(f"{name}: holds no sentences")
    return readings
