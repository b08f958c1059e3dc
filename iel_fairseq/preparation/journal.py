"""Work in steps that can be interrupted: what is done is noted, with checksums, and not done again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from iel_fairseq.errors import IELError
from iel_fairseq.files import file_sha256, not_written
from iel_fairseq.json_data import read_json, write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        made_from: SHA-256 over the checksums of the files that it read
        sha256: of each file that it made; None: it made none of this name
        result: plain JSON data
    """

    made_from: str
    sha256: dict[str, str | None]
    result: dict[str, Any]


@dataclass(frozen=True)
class _Contents:
    """What a journal's file holds; *sha256* is over all else."""

    request: dict[str, Any]
    steps: dict[str, Step]
    sha256: str | None = None

    def sum(self) -> str:
        steps = {name: asdict(step) for name, step in self.steps.items()}
        return hashlib.sha256(json.dumps([self.request, steps], sort_keys=True).encode()).hexdigest()


class Journal:
    """The steps that are done in a folder, and what they made; kept in one JSON file there."""

    def __init__(self, folder: str, name: str, request: dict[str, Any]):
        """
        Args:
            folder: in which everything is made
            name: of the journal's file in it
            request: everything that decides what is made; plain JSON data

        Raises:
            IELError: the folder was made for another request, or the journal is damaged or cannot be written
        """
        self._folder = folder
        self._path = os.path.join(folder, name)
        self._steps: dict[str, Step] = {}
        self._request = request
        try:
            os.makedirs(folder, exist_ok=True)
            if os.path.exists(self._path):
                stored = read_json(self._path, _Contents)
                if stored.sha256 not in (None, stored.sum()):  # None: in journals of before
                    raise ValueError("checksum")
                self._check(stored.request)
                self._steps = stored.steps
            else:
                self._write()
        except ValueError as error:
            raise IELError(f"{self._path}: damaged; remove it, and everything in {folder} is made again") from error
        except OSError as error:
            raise not_written(self._path, error) from error

    def _check(self, stored: dict[str, Any]) -> None:
        before, asked = _flat(stored), _flat(self._request)
        for name in [*asked, *before]:
            if before.get(name) != asked.get(name):
                raise IELError(
                    f"{self._folder}: made with {name} {_shown(before.get(name))}, not {_shown(asked.get(name))}; "
                    f"name another folder, or remove this one"
                )

    def step(
        self, name: str, files: Sequence[str], make: Callable[[], dict[str, Any]], needs: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Do a step, unless it is done, and what it made is still as it was.

        Args:
            name: of the step
            files: that it makes, paths below the folder
            make: does it; returns plain JSON data that is kept
            needs: earlier steps whose files it reads: it is done again when they have changed

        Returns:
            what *make* returned, now or when the step was done
        """
        made_from = hashlib.sha256(
            json.dumps([self._steps[step].sha256 for step in needs], sort_keys=True).encode()
        ).hexdigest()
        done = self._steps.get(name)
        if done is not None and done.made_from == made_from:
            changed = [file for file in files if self._sha256(file) != done.sha256.get(file)]
            if not changed:
                return done.result
            logger.warning(f"{os.path.join(self._folder, changed[0])}: missing or damaged; made again")
        result = make()
        sums = {file: self._sha256(file) for file in files}
        self._steps[name] = Step(made_from, sums, result)
        self._write()
        return result

    def _sha256(self, file: str) -> str | None:
        try:
            return file_sha256(os.path.join(self._folder, file))
        except OSError:
            return None

    def _write(self) -> None:
        contents = _Contents(self._request, self._steps)
        write_json(self._path, asdict(replace(contents, sha256=contents.sum())))


def _flat(request: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in request.items():
        flat |= {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:16]}..."
