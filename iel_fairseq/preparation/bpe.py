"""Byte pair encoding (paper, section 5.1), by subword-nmt: learned from counts, applied to sentences."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr

from iel_fairseq.errors import IELError
from iel_fairseq.files import whole_file

CACHED_WORDS = 200_000
"""Words whose pieces are remembered: enough for nearly all of a text, few enough for any machine."""


def write_vocabulary(counts: Counter[str], path: str) -> None:
    """Write words with their counts, the most frequent first."""
    with whole_file(path) as file:
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            file.write(f"{word} {count}\n")


def learn_codes(vocabularies: Sequence[str], merges: int, path: str) -> None:
    """Learn the merge operations of words and their counts.

    Args:
        vocabularies: files of words with their counts, which are added up
        merges: number of operations; fewer where no pair of pieces occurs twice
        path: of the file of codes

    Raises:
        IELError: there is nothing to merge
    """
    from subword_nmt.learn_bpe import learn_bpe

    counts: Counter[str] = Counter()
    for vocabulary in vocabularies:
        with open(vocabulary, encoding="utf-8", newline="\n") as file:
            for line in file:
                word, count = line.split(" ")
                counts[word] += int(count)
    if not any(len(word) > 1 for word in counts):
        names = " and ".join(vocabularies)
        raise IELError(f"{names}: every word is a single character, and there is nothing to merge; give text in words")
    with whole_file(path) as file:
        learn_bpe((f"{word} {count}" for word, count in counts.items()), file, merges, is_dict=True)


def apply_codes(path: str) -> Callable[[str], str]:
    """The function that splits the words of a tokenised sentence into pieces, with the codes in *path*.

    Raises:
        IELError: they cannot be read
    """
    from subword_nmt.apply_bpe import BPE

    said = io.StringIO()
    try:
        with open(path, encoding="utf-8") as codes, redirect_stderr(said):
            bpe = BPE(codes)
    except (OSError, ValueError, IndexError, SystemExit) as error:  # of a wrong line it says so, and ends the process
        reason = next(iter(said.getvalue().splitlines()), error)
        raise IELError(f"{path}: not readable BPE codes ({reason}); run iel prepare again") from error

    def split(sentence: str) -> str:
        if len(bpe.cache) > CACHED_WORDS:
            bpe.cache.clear()
        return bpe.process_line(sentence)

    return split
