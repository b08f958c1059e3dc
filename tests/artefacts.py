"""What a command leaves in a folder, in a form in which two runs of it can be compared."""

from __future__ import annotations

import hashlib
import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

LOGS = ("preprocess.log", "lock")
"""Files that tell the time, or, the store's lock, nothing."""
OF_A_START = ("metrics", "previous_training_time", "distributed_init_method", "extractor_sha256")
"""What differs in a checkpoint from start to start: the time, the speeds among fairseq's metrics, the port at which
ranks meet, the SHA-256 of a round's extractor, which tells the time.

Its ``optimizer_history`` has a new entry for each start; the last one counts.
"""
OF_AN_EXTRACTOR = re.compile(r"(?<=\.)[0-9a-f]{16}(?=/)|\"extractor_sha256\": \"\w+\"")
"""In the name of a store and in its manifest: of a round's extractor, hence of a file that tells the time."""


def artefacts(folder: Path) -> set[tuple[str, str]]:
    """The name of each file below *folder*, and the SHA-256 of what is in it, byte for byte.

    Of a checkpoint everything but :data:`OF_A_START`, one by one; of what fairseq-generate has written the lines of
    sentences, without its log. What is temporary counts like all other files.
    """
    found = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in LOGS):
        name = OF_AN_EXTRACTOR.sub("KEY", str(path.relative_to(folder)))
        if path.suffix == ".pt":
            found.update((f"{name}{key}", value) for key, value in _values(torch.load(path)))
        else:
            found.add((name, hashlib.sha256(_content(path)).hexdigest()))
    return found


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "manifest.json":
        return OF_AN_EXTRACTOR.sub("", content.decode()).encode()
    if path.name.startswith("generate-"):
        return b"".join(line for line in content.splitlines(keepends=True) if re.match(rb"[A-Z]-\d", line))
    return content


def _values(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All that is in *value*, of a checkpoint, by its place; of a tensor its shape, its type and a SHA-256."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "optimizer_history":
                item = item[-1:]
            if name not in OF_A_START:
                yield from _values(item, f"{key}/{name}")
    elif isinstance(value, torch.Tensor):
        numbers = hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        yield key, f"{value.dtype} {list(value.shape)} {numbers}"
    else:
        yield key, repr(value)
