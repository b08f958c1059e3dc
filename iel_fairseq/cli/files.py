"""Where a subcommand's text comes from, and where its output goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import IO

from iel_fairseq.attention_words import NotFiniteError
from iel_fairseq.errors import IELError
from iel_fairseq.files import behind_links, is_no_file, not_written, whole_file
from iel_fairseq.source_tokens import TooLongError
from iel_fairseq.text_files import lines_of, numbered_lines


def input_lines(path: str) -> Iterator[str]:
    """The lines of a text file, which may be packed, or of standard input for ``-``; without their ends.

    Raises:
        IELError: as :func:`~iel_fairseq.text_files.numbered_lines`; standard input is closed
    """
    if path == "-" and sys.stdin is None:
        raise IELError("standard input is closed; name a file")
    numbered = (
        lines_of(input_name(path), lambda: nullcontext(sys.stdin.buffer)) if path == "-" else numbered_lines(path)
    )
    return (line for _, line in numbered)


def input_name(path: str) -> str:
    """What messages call it."""
    return "standard input" if path == "-" else path


def check_outputs(inputs: Sequence[str | None], outputs: Mapping[str, str | None]) -> None:
    """Before anything is written.

    Args:
        inputs: files that are read, or may be; ``-``: standard input; None: there is none
        outputs: for each option the file to write; None: there is none

    Raises:
        IELError: one of them is read as well, or written twice
    """
    taken = {os.path.realpath(path): "it is read" for path in inputs if path not in (None, "-")}
    for option, path in outputs.items():
        if path is None or is_no_file(path):
            continue
        file = os.path.realpath(path)
        if file in taken:
            raise IELError(f"{option} {path}: {taken[file]}; name another file")
        taken[file] = f"{option} writes it"


@contextmanager
def lines_of_text(name: str, before: int = 0) -> Iterator[None]:
    """Within it lines of the text *name*, after *before* others, are read by a model; one that it cannot read is named.

    Raises:
        IELError: a line is too long, or the model's numbers for it are not finite
    """
    try:
        yield
    except TooLongError as error:
        raise IELError(f"{name}, line {before + error.index + 1:,}: {error}") from error
    except NotFiniteError as error:
        line = f"{name}, line {before + error.batch[error.row] + 1:,}"
        raise NotFiniteError(error.batch, error.row, line, error.model) from error


@contextmanager
def output_file(path: str | None, mode: str = "w") -> Iterator[IO]:
    """Standard output, or a file that appears when it is whole; where *path* is a link, what it leads to.

    Args:
        path: its name; None: standard output
        mode: as :func:`~iel_fairseq.files.whole_file` has it

    Raises:
        IELError: it cannot be written
    """
    if path is None:
        if sys.stdout is None:
            raise IELError("standard output is closed; name a file with --output")
        yield sys.stdout
        return
    path = behind_links(path)
    try:
        with whole_file(path, mode) as file:
            yield file
    except OSError as error:
        elsewhere = isinstance(error, BrokenPipeError) and not is_no_file(path)  # of standard output
        if elsewhere or error.filename not in (None, path):
            raise  # of what is read meanwhile
        raise not_written(path, error) from error
