"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def whole_file(path: str, mode: str = "w") -> Iterator[IO]:
    """A file that is written under a temporary name, and gets its own when it is whole.

    Args:
        path: its name
        mode: ``w``, text in UTF-8, or ``wb``

    Raises:
        OSError: it cannot be written
    """
    temporary = f"{path}.part"
    with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
    os.replace(temporary, path)
