"""Where a subcommand's output goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from iel_fairseq.errors import IELError
from iel_fairseq.files import whole_file


@contextmanager
def output_file(path: str | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears when it is whole.

    Raises:
        IELError: it cannot be written
    """
    if path is None:
        yield sys.stdout
        return
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise IELError(f"{path}: cannot be written ({error.strerror})") from error
