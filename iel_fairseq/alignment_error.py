"""How far word alignments are from those that people made: alignment error rate, precision and recall.

Och and Ney, A Systematic Comparison of Various Statistical Alignment Models, Computational Linguistics 29(1), 2003.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from iel_fairseq.errors import IELError
from iel_fairseq.text_files import numbered_lines

Links: TypeAlias = frozenset[tuple[int, int]]
"""Of one sentence pair: pairs of a source and a target word, from 0."""

_LINK = re.compile(r"([0-9]+)([-p?])([0-9]+)")
_NAACL_LINE = re.compile(r"([0-9]+)\s+([0-9]+)\s+([0-9]+)(?:\s+([SP]))?(?:\s+[0-9.]+)?")


@dataclass(frozen=True)
class GoldAlignment:
    """What people linked in one sentence pair.

    Attributes:
        sure: links that must be found
        possible: links that may be found, the sure ones among them
    """

    sure: Links
    possible: Links


@dataclass(frozen=True)
class AlignmentScores:
    """Counts over all sentence pairs, and what follows from them.

    Attributes:
        links: found links
        sure: sure links
        found_sure: found links that are sure
        found_possible: found links that are possible or sure
    """

    links: int
    sure: int
    found_sure: int
    found_possible: int

    @property
    def precision(self) -> float:
        """Share of the found links that are possible, 0 to 1."""
        return self.found_possible / self.links

    @property
    def recall(self) -> float:
        """Share of the sure links that were found, 0 to 1."""
        return self.found_sure / self.sure

    @property
    def error_rate(self) -> float:
        """Alignment error rate, 0 (best) to 1."""
        return 1 - (self.found_sure + self.found_possible) / (self.links + self.sure)


def alignment_scores(gold: Sequence[GoldAlignment], found: Sequence[Links]) -> AlignmentScores:
    """Compare alignments with gold ones of the same sentence pairs.

    Raises:
        ValueError: other numbers of sentence pairs; no sure link in *gold*, or no link in *found*
    """
    pairs = list(zip(gold, found, strict=True))
    scores = AlignmentScores(
        links=sum(len(links) for links in found),
        sure=sum(len(each.sure) for each in gold),
        found_sure=sum(len(links & each.sure) for each, links in pairs),
        found_possible=sum(len(links & each.possible) for each, links in pairs),
    )
    if scores.sure == 0:
        raise ValueError("the gold alignments have no sure link, without which there is no recall")
    if scores.links == 0:
        raise ValueError("the alignments have no link, without which there is no precision")
    return scores


def score_files(gold: str, found: str, one_based: bool = False) -> AlignmentScores:
    """Compare the alignments in two files.

    Args:
        gold: path of gold alignments, as :func:`read_gold` reads them
        found: path of alignments in Pharaoh format, ``i-j``, from 0, one sentence pair per line
        one_based: *gold*, in Pharaoh format, counts words from 1

    Raises:
        IELError: a file cannot be read or is something else, they are not of the same number of sentence pairs, or
            one has no links
    """
    links = read_alignments(found)
    try:
        return alignment_scores(read_gold(gold, found, len(links), one_based), links)
    except ValueError as error:
        raise IELError(f"{gold}, {found}: {error}; give files with links") from error


def read_alignments(path: str) -> list[Links]:
    """Alignments in Pharaoh format: one sentence pair per line, ``i-j`` for a link, words from 0.

    Raises:
        IELError: the file cannot be read, or holds something else
    """
    return [
        frozenset((source, target) for source, _, target in _pharaoh(path, number, line, kinds="-"))
        for number, line in numbered_lines(path)
    ]


def read_gold(path: str, found: str, count: int, one_based: bool = False) -> list[GoldAlignment]:
    """Gold alignments, in Pharaoh format or in that of the NAACL 2003 shared task, which its first line tells.

    Pharaoh: one sentence pair per line, ``i-j`` for a sure and ``ipj`` or ``i?j`` for a possible link. NAACL: a link a
    line, sentence, source word, target word, all from 1, and ``S`` (sure, also when it is missing) or ``P`` (possible);
    a confidence behind them is not used.

    Args:
        path: of the gold alignments
        found: path of the alignments that are compared with them, for messages
        count: of the sentence pairs in it
        one_based: in Pharaoh format, words are counted from 1

    Raises:
        IELError: the file cannot be read, holds something else, or is not of *count* sentence pairs
    """
    lines = list(numbered_lines(path))
    first = next((line.strip() for _, line in lines if line.strip()), "")
    if _NAACL_LINE.fullmatch(first):
        return _naacl(path, lines, found, count)
    if len(lines) != count:
        raise IELError(
            f"{path}: {len(lines):,} lines, but {found} has {count:,}; both must have one line for each sentence pair"
        )
    return [_gold(_pharaoh(path, number, line, "-p?", int(one_based))) for number, line in lines]


def _gold(links: Sequence[tuple[int, str, int]]) -> GoldAlignment:
    return GoldAlignment(
        sure=frozenset((source, target) for source, kind, target in links if kind in "-S"),
        possible=frozenset((source, target) for source, _, target in links),
    )


def _pharaoh(path: str, number: int, line: str, kinds: str, first: int = 0) -> list[tuple[int, str, int]]:
    """Source word, kind and target word of each link in a line; words are counted from *first*."""
    links = []
    for text in line.split():
        match = _LINK.fullmatch(text)
        if match is None or match[2] not in kinds:
            shapes = " or ".join(f"i{kind}j" for kind in kinds)
            raise IELError(f"{path}, line {number}: {text!r} is no link; write {shapes}, i and j numbers of words")
        source, kind, target = int(match[1]) - first, match[2], int(match[3]) - first
        if min(source, target) < 0:
            raise IELError(f"{path}, line {number}: {text!r} has word 0, but words count from 1; leave out --one-based")
        links.append((source, kind, target))
    return links


def _naacl(path: str, lines: Sequence[tuple[int, str]], found: str, count: int) -> list[GoldAlignment]:
    links: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    for number, line in lines:
        if not line.strip():
            continue
        match = _NAACL_LINE.fullmatch(line.strip())
        if match is None:
            raise IELError(
                f"{path}, line {number}: {line.strip()!r} is no link; write SENTENCE SOURCE-WORD TARGET-WORD [S|P]"
            )
        sentence, source, target = int(match[1]), int(match[2]), int(match[3])
        if not 1 <= sentence <= count:
            raise IELError(
                f"{path}, line {number}: sentence {sentence}, but {found} has {count:,} lines; "
                f"sentences are numbered from 1"
            )
        if min(source, target) < 1:
            raise IELError(
                f"{path}, line {number}: {line.strip()!r} has word 0, but words count from 1; "
                f"take the file without links to NULL"
            )
        links[sentence].append((source - 1, match[4] or "S", target - 1))
    return [_gold(links[sentence]) for sentence in range(1, count + 1)]
