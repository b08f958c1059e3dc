"""The extractor that a checkpoint remembers: that it is there, and is the one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from iel_fairseq.errors import IELError
from iel_fairseq.files import file_sha256

logger = logging.getLogger(__name__)

Extractor = TypeVar("Extractor")


@dataclass(frozen=True)
class RememberedExtractor:
    """What a checkpoint knows of the extractor of its training.

    Attributes:
        path: absolute path of its checkpoint; None: there was none
        sha256: of that file
        option: by which the user can name another one
    """

    path: str | None
    sha256: str | None
    option: str

    def load(self, path: str, load: Callable[[str], Extractor], *, asked_for: bool = False) -> Extractor:
        """Load the extractor at *path*.

        Args:
            path: of the extractor
            load: loads one, whose ``sha256`` is that of its file
            asked_for: the option names it: it may be another than the one that is remembered

        Raises:
            IELError: the one that is remembered is missing, or another one now; or as *load*
        """
        if path == self.path and not os.path.isfile(path):
            raise IELError(
                f"{path}: the extractor that the checkpoint remembers is missing; "
                f"say with {self.option} where it is now (SHA-256 {self.sha256})"
            )
        extractor = load(path)
        if self.sha256 not in (None, extractor.sha256):  # type: ignore[attr-defined]
            other = f"{path}: not the extractor that the checkpoint remembers (SHA-256 {self.sha256})"
            if not asked_for:
                raise IELError(f"{other}; restore that file, or name another one with {self.option}")
            logger.warning(f"{other}; used because {self.option} asks for it")
        return extractor


def look_beside(path: str, memory: Any) -> None:
    """Where the extractor that a checkpoint remembers is gone, or another one now, take the file of its name beside the
    checkpoint.

    The save directory of a training, with the extractors of its rounds of bootstrapping in it, may have been moved, or
    copied, and another training may be in its place.

    Args:
        path: of the checkpoint
        memory: what it remembers, an entry of its task state, which is changed
    """
    remembered = memory.get("extractor") if isinstance(memory, dict) else None
    if not isinstance(remembered, str):
        return
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), os.path.basename(remembered))
    if not os.path.isfile(beside) or os.path.realpath(beside) == os.path.realpath(remembered):
        return
    sha256 = memory.get("extractor_sha256")
    with suppress(OSError):  # one of them cannot be read
        there = os.path.isfile(remembered) and file_sha256(remembered) == sha256
        if not there and file_sha256(beside) == sha256:
            logger.info(f"{remembered}: the extractor is not there; {beside} is the same file")
            memory["extractor"] = beside


def checkpoint_sha256(path: str, what: str) -> str:
    """SHA-256 of a checkpoint, in hexadecimal.

    Args:
        path: of the checkpoint
        what: it is, in words

    Raises:
        IELError: it cannot be read
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise IELError(f"{path}: the {what} cannot be read ({error.strerror})") from error
