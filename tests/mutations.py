"""Damage done to files: at random, but the same each time."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iel_fairseq.errors import IELError

COUNTS = [12, pytest.param(500, marks=pytest.mark.slow)]
"""Mutants of a file, by default and in a slow run."""

SECONDS = 10
"""That the reading of a small file, however damaged, may take."""

ODD_FILES = [
    b"", b"\n", b"\0" * 200, bytes(range(256)), "\ufeff".encode(), b"\xff\xfe", b"null", b"[]", b"{}", b"0", b'""',
    b"NaN", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"{" + b" " * 1000, b'"\\ud800"', b"- - -",
    b"\r\n\r\n\t\t \x85",
]  # fmt: skip
"""What may lie in the place of a file."""

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 10**9, 2**70, 0.5, float("nan"), float("inf"), "", "x", "../../x", "/dev/zero", "١٢", "\ud800",
    [], [[]], [0], {}, {"x": 1}, [None] * 3,
]  # fmt: skip
"""What may lie in the place of a value."""


def damaged(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """:data:`ODD_FILES`, and *count* damaged copies of *content*: cut, with flipped bits, chunks lost, doubled, put in.

    None of these is *content* itself.
    """
    yield from ODD_FILES
    rng = random.Random(seed)
    made = 0
    while made < count:
        mutant = bytearray(content)
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            rng.choice(_WAYS)(mutant, rng)
        if bytes(mutant) != content:
            made += 1
            yield bytes(mutant)


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 3, 20])):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _zero(content: bytearray, rng: random.Random) -> None:
    start, end = _chunk(content, rng)
    content[start:end] = bytes(end - start)


def _drop(content: bytearray, rng: random.Random) -> None:
    start, end = _chunk(content, rng)
    del content[start:end]


def _double(content: bytearray, rng: random.Random) -> None:
    start, end = _chunk(content, rng)
    content[end:end] = content[start:end]


def _insert(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.choice([rng.randbytes(rng.randint(1, 40)), b"\n", b"\t", b"\0", b"\xe9", b" ", b"9" * 30])


_WAYS: list[Callable[[bytearray, random.Random], None]] = [_cut, _flip, _flip, _zero, _drop, _double, _insert]


def _chunk(content: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice([1, 4, 16, 200]))


def damaged_values(values: Any, odd: list[Any] | None = None) -> Iterator[tuple[str, Any]]:
    """Copies of plain data with one thing wrong each: a value in it replaced, or taken out; and where that is."""
    for path in _paths(values):
        for value in ODD_VALUES if odd is None else odd:
            mutant = copy.deepcopy(values)
            if not path:
                yield "all", value
                continue
            _parent(mutant, path)[path[-1]] = value
            yield f"{path} = {value!r}", mutant
        if path:
            mutant = copy.deepcopy(values)
            del _parent(mutant, path)[path[-1]]
            yield f"no {path}", mutant


def _paths(values: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _parent(values: Any, path: tuple) -> Any:
    for key in path[:-1]:
        values = values[key]
    return values


def damaged_json(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """At most *count* :func:`damaged_values` of what a JSON file holds, as JSON; none of them means what it does."""
    values = json.loads(content)
    mutants = [mutant for _, mutant in damaged_values(values) if mutant != values]
    for mutant in random.Random(seed).sample(mutants, min(count, len(mutants))):
        yield json.dumps(mutant).encode()


def read_damaged(
    path: Path, mutants: Iterable[bytes], read: Callable[[], Any], names: str | None = None
) -> tuple[int, list[tuple[bytes, Any]]]:
    """Put each of *mutants* in the place of a file, and read it.

    Args:
        path: of the file, which is as it was afterwards
        mutants: what it holds instead
        read: reads it; must answer within :data:`SECONDS`, with a value, or an ``IELError`` that is one line and names
            the file
        names: what the error names, instead of the file

    Returns:
        how many there were; those that were read, and what as
    """
    whole = path.read_bytes()
    tried, accepted = 0, []
    for mutant in mutants:
        path.write_bytes(mutant)
        tried += 1
        started = time.process_time()
        refusal = None
        try:
            accepted.append((mutant, read()))
        except IELError as error:
            refusal = str(error)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} for {mutant[:500]!r}") from error
        if refusal is not None:
            assert len(refusal.splitlines()) == 1, refusal
            assert (path.name if names is None else names) in refusal, refusal
        assert time.process_time() - started < SECONDS, mutant[:500]
    path.write_bytes(whole)
    return tried, accepted
