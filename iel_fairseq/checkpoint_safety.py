"""What must hold of a checkpoint, which may be damaged or anybody's, before fairseq works with it.

torch's safe loader sees to it that reading one runs nothing. It does not see flipped bits, nor what fairseq does with
the settings afterwards.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from iel_fairseq.errors import IELError, of_another_rank

DOES_NOT_FIT = ("size mismatch", "Missing key(s)", "Unexpected key(s)")
"""How torch's lines about weights begin."""
OF_THE_MACHINE = (MemoryError, torch.OutOfMemoryError, getattr(torch, "AcceleratorError", MemoryError))
"""Errors that are no fault of a file; the last one is not in older torch."""
COMPUTED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights are, other than quantized ones."""
LONGEST_LINE = 200
"""Characters of what a library says."""
LONGEST = 1000
"""Items of a list, or characters, in a setting; a convolution has one item for each layer."""


class UnsafeSettingError(IELError):
    """A setting that would be run as a program."""


def check_sums(path: str) -> None:
    """Compare each record of a checkpoint with its CRC-32, which torch writes, and does not look at.

    Files of torch before 1.6 have none.

    Raises:
        ValueError: they differ
        zipfile.BadZipFile: it is no whole file
        OSError: it cannot be read
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as records:
        if damaged := records.testzip():
            raise ValueError(f"{damaged} is not what was written")


def check_parts(state: Any) -> None:
    """
    Raises:
        ValueError: *state* has not the parts of one of fairseq's checkpoints, or a part is something else
    """
    if not isinstance(state, dict) or "model" not in state:
        raise ValueError("it holds no model")
    weights = state["model"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise ValueError("its model is not a tensor for each name")
    if not isinstance(state.get("cfg"), DictConfig):
        raise ValueError("it holds no settings")
    for part in ("task_state", "extra_state"):
        if not isinstance(state.get(part) or {}, dict):
            raise ValueError(f"its {part} is a {type(state[part]).__name__}")


def task_state_of(path: str) -> dict[str, Any]:
    """What a checkpoint holds of its task; its weights, which may be large, stay in the file.

    Raises:
        IELError: the file cannot be read, or is no checkpoint
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        check_parts({**state, "cfg": DictConfig({})})  # fairseq makes it of what is there
    except Exception as error:
        raise IELError(f"{path}: {what_is_wrong(error)}") from error
    return state.get("task_state") or {}


def first_that_is_not_finite(weights: dict[str, Tensor]) -> str | None:
    """The name of the first of *weights* that holds NaN or infinity; None: all are finite.

    Minus infinity alone may be a mask, and what is computed in no such type is left to who computes with it.
    """
    numbers = {name: weight for name, weight in weights.items() if weight.dtype in COMPUTED}
    broken = (name for name, weight in numbers.items() if not weight.isfinite().all() and not _is_mask(weight))
    return next(broken, None)


def _is_mask(weight: Tensor) -> bool:
    return bool((weight.eq(0) | weight.eq(-torch.inf)).all())


def what_is_wrong(error: Exception) -> str:
    """What reading a checkpoint has raised, in words."""
    if carried := re.search(r"GLOBAL ([\w.]+)|but got <class '([\w.]+)'>", str(error)):
        return f"refused: it carries {carried[1] or carried[2]}, which is no weight or setting; nothing in it was run"
    what = f"it lacks {error}" if isinstance(error, KeyError) else type(error).__name__
    return f"not a readable fairseq checkpoint, perhaps cut short ({what})"


@contextmanager
def in_one_line(path: str, what: str) -> Iterator[None]:
    """Whatever a library raises while it works with the checkpoint at *path*, as one line: the file is to blame, unless
    a library is missing.

    Args:
        path: of the checkpoint, or several; or a model's name
        what: cannot be done with it, in words
    """
    try:
        yield
    except UnsafeSettingError as error:
        raise IELError(f"{path}: {error}") from error
    except IELError:
        raise
    except Exception as error:  # a setting that is something else can raise anything anywhere
        # fairseq hides why weights do not fit, and what befalls a rank meanwhile, behind an Exception
        cause = error.__context__ if type(error) is Exception and error.__context__ else error
        if of_another_rank(cause) or isinstance(cause, OF_THE_MACHINE):
            raise cause from None  # no fault of the file
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        # torch names what does not fit under its headline.
        line = next((line for line in lines if line.startswith(DOES_NOT_FIT)), lines[0] if lines else "")
        line = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."
        said = f"({type(cause).__name__}: {line})"
        if isinstance(cause, ImportError):
            raise IELError(f"{path}: a library that it takes is missing {said}; install it; see iel doctor") from error
        raise IELError(f"{path}: {what} {said}") from error


def value_of(text: Any) -> Any:
    """The value of a setting that fairseq would run as Python, such as ``[(512, 3)] * 9``; nothing is run.

    Args:
        text: numbers, texts, tuples, lists, dictionaries; sums and products of these

    Raises:
        TypeError: not a text, which fairseq relies on
        UnsafeSettingError: it is something else
    """
    if not isinstance(text, str):
        raise TypeError(f"eval() arg 1 must be a string, not {type(text).__name__}")
    try:
        if len(text) > LONGEST:
            raise ValueError
        return _value_of(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UnsafeSettingError(
            f"{text[:80]!r}: refused; a setting is numbers, lists, or sums and products of these, and is not run"
        ) from error


def _value_of(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=items):
            return tuple(map(_value_of, items))
        case ast.List(elts=items):
            return list(map(_value_of, items))
        case ast.Dict(keys=keys, values=values):
            return {_value_of(key): _value_of(value) for key, value in zip(keys, values, strict=True)}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value_of(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value_of(left) + _value_of(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            factors = _value_of(left), _value_of(right)
            for items, times in (factors, factors[::-1]):
                if isinstance(items, list | tuple | str) and isinstance(times, int) and len(items) * times > LONGEST:
                    raise ValueError
            return factors[0] * factors[1]
    raise ValueError
