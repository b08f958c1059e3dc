"""JSON that may be damaged, or anybody's, as values of known types.

A type is a dataclass, or one such as ``list[int]``. Nothing is converted: ``"1"`` is no number, ``1.0`` no whole one,
``true`` neither.
"""

from __future__ import annotations

import json
import os
import reprlib
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from iel_fairseq.files import whole_file

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Kind = TypeVar("Kind")

UnknownKeys = Literal["forbid", "ignore"]
"""What becomes of keys that a dataclass does not know."""


def read_json(path: str | os.PathLike[str], kind: type[Kind], unknown: UnknownKeys = "forbid") -> Kind:
    """What the file at *path* holds.

    Raises:
        OSError: it cannot be read
        ValueError: it is no JSON in UTF-8, or no *kind*; one line that names the first place that is wrong
    """
    with open(path, "rb") as file:
        return parse_json(file.read(), kind, unknown)


def parse_json(text: str | bytes, kind: type[Kind], unknown: UnknownKeys = "forbid") -> Kind:
    """What *text* holds.

    Raises:
        ValueError: as :func:`read_json`
    """
    from pydantic import ValidationError  # slow to import

    try:
        adapter = _adapter(kind)  # type: ignore[arg-type]  # a type can be hashed
        return adapter.validate_json(text, strict=True, extra=unknown)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        if wrong["type"] == "unexpected_keyword_argument":
            raise ValueError(f"{place}: a key that this version of iel_fairseq does not know") from error
        found = "" if wrong["type"] in ("json_invalid", "missing") else f", not {reprlib.repr(wrong['input'])}"
        raise ValueError(f"{place}: {wrong['msg']}{found}" if place else f"{wrong['msg']}{found}") from error


def write_json(path: str | os.PathLike[str], values: Any) -> None:
    """Let the file at *path* hold *values*, whole or not at all.

    Raises:
        OSError: it cannot be written
    """
    with whole_file(os.fspath(path)) as file:
        json.dump(values, file, indent=1, ensure_ascii=False)


def checked(values: Any, kind: type[Kind]) -> Kind:
    """Plain data, such as a checkpoint has, in the same way.

    Raises:
        ValueError: as :func:`read_json`
    """
    try:
        text = json.dumps(values)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no plain data ({error})") from error
    return parse_json(text, kind)


@cache
def _adapter(kind: Any) -> TypeAdapter:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
