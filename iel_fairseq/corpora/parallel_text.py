"""Parallel text: files whose lines are translations of each other, read one pair at a time, and splits made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TypeAlias

from iel_fairseq.errors import IELError
from iel_fairseq.text_files import Numbered, numbered_lines

Pair: TypeAlias = tuple[str, str]
"""Source and target sentence, without line ends."""


def aligned(source: str, target: str, read: Callable[[str], Numbered] = numbered_lines) -> Iterator[Pair]:
    """The pairs of two files.

    Args:
        source: path of a file
        target: path of the file with its translations
        read: gives the sentences of such a file

    Raises:
        IELError: one file has more sentences than the other, or as *read*
    """
    for number, (left, right) in enumerate(zip_longest(read(source), read(target))):
        if left is None or right is None:
            longer, shorter, (line, _) = (target, source, right) if left is None else (source, target, left)
            raise IELError(
                f"{longer}, line {line}: no translation, {shorter} ends after {number:,} sentences; "
                f"the files must be aligned line by line"
            )
        yield left[1], right[1]


@dataclass(frozen=True)
class Split:
    """Where the pairs of one split come from.

    Attributes:
        name: the set's own name, e.g. ``test_2016_flickr``; ``train`` and ``valid`` are those two
        inputs: paths of all files that are read
        pairs: reads them, from the beginning each time
    """

    name: str
    inputs: tuple[str, ...]
    pairs: Callable[[], Iterator[Pair]]

    @classmethod
    def of_files(
        cls, name: str, files: list[tuple[str, str]], read: Callable[[str], Numbered] = numbered_lines
    ) -> Split:
        """A split that is written in pairs of aligned files, one pair after the other.

        Args:
            name: of the set
            files: paths, source and target
            read: gives the sentences of a file
        """
        inputs = tuple(chain.from_iterable(files))
        return cls(name, inputs, lambda: chain.from_iterable(aligned(*pair, read) for pair in files))
