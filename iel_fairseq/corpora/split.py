"""A split of a data set, before anything is read of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from iel_fairseq.preparation.parallel_text import Pair, aligned
from iel_fairseq.text_files import Numbered, numbered_lines


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
