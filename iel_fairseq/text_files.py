"""Text files of anybody's: in UTF-8, perhaps packed, read a line at a time."""

from __future__ import annotations

import codecs
import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import IO, TypeAlias

from iel_fairseq.errors import IELError
from iel_fairseq.files import UNREADABLE

Numbered: TypeAlias = Iterator[tuple[int, str]]
"""Lines that count as sentences, each with its number in the file, from 1."""


def numbered_lines(path: str) -> Numbered:
    """The lines of a text file in UTF-8; ``.gz`` and ``.xz`` are unpacked on the way.

    Only ``\\n`` and ``\\r\\n`` end a line, as for the tools that aligned the files: other characters that Unicode
    counts as line ends are part of the sentence.

    Raises:
        IELError: the file cannot be read, or a line is not UTF-8
    """
    return lines_of(path, partial(_opened, path))


def lines_of(name: str, opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> Numbered:
    """Likewise of what *opened* opens; *name* is for messages."""
    number = 0
    try:
        with opened() as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)  # some editors' mark; it would be part of the first word
                yield number, line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise IELError(
            f"{name}, line {number}: not UTF-8 (byte {error.start + 1} is 0x{error.object[error.start]:02x}); "
            f"convert the file, e.g. with iconv -f latin1 -t utf-8"
        ) from error
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        where = f" after line {number}" if number else ""
        raise IELError(f"{name}: cannot be read{where} ({reason})") from error


def text_file(path: str) -> str | None:
    """*path*, or where it lies packed: ``.gz`` or ``.xz``; None where there is neither."""
    return next((path + ending for ending in ("", ".gz", ".xz") if os.path.isfile(path + ending)), None)


def _opened(path: str) -> IO[bytes]:
    if path.endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    if path.endswith(".xz"):
        return lzma.open(path)  # type: ignore[return-value]
    return open(path, "rb")
