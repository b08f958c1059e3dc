"""Every error line that docs/troubleshooting.md quotes is one that the source can print."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from documents import REPOSITORY, Line, blocks
from fairseq import utils

OURS = "iel_fairseq: error: "
FILLED_IN = "\0"


def quoted(document: Path) -> Iterator[Line]:
    """The lines in fences; what is indented goes on in the same line."""
    for block in blocks(document):
        text = re.sub(r"\n +", " ", block.text)
        yield from (Line(document, block.lines[0].number, line) for line in text.splitlines())


LINES = list(quoted(REPOSITORY / "docs/troubleshooting.md"))


def texts_of(source: str) -> set[str]:
    """The texts in some source, :data:`FILLED_IN` where a value goes."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else FILLED_IN for part in node.values]
            found.add(re.sub(f"{FILLED_IN}+", FILLED_IN, "".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(re.sub(r"\{\}|%\(\w+\)s|%s", FILLED_IN, node.value))
    return found


def library_texts(module: ModuleType) -> set[str]:
    return texts_of(inspect.getsource(module))


PACKAGE = set().union(
    *(texts_of(path.read_text(encoding="utf-8")) for path in (REPOSITORY / "iel_fairseq").rglob("*.py"))
)
LIBRARIES = library_texts(utils) | library_texts(argparse)


def can_be_printed(text: str, texts: set[str]) -> bool:
    """Whether *text*, with <...> where a value goes, is one of *texts*, or one of them with another one filled in."""
    text = re.sub(r"<[^>]+>", FILLED_IN, text)
    if text in texts:
        return True
    if text.startswith(file_is := f"{FILLED_IN}: "):  # and perhaps why in brackets, as checkpoint_safety has it
        text_alone = text.removeprefix(file_is)
        if text_alone in texts or text_alone.removesuffix(f" ({FILLED_IN})") in texts:
            return True
    around = [each.partition(FILLED_IN) for each in texts if FILLED_IN in each]
    return any(
        text.startswith(before) and text.endswith(after) and text[len(before) : len(text) - len(after)] in texts
        for before, _, after in around
        if before or after
    )


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"line {line.number}")
def test_a_quoted_line_is_in_the_source(line: Line):
    if line.text.startswith(OURS):
        assert can_be_printed(line.text.removeprefix(OURS), PACKAGE)
    else:
        assert can_be_printed(line.text, PACKAGE | LIBRARIES)


def test_lines_that_nothing_prints_are_found():
    assert can_be_printed("<file>: no such checkpoint file", PACKAGE)
    assert not can_be_printed("<file>: no such checkpoint", PACKAGE)
    assert not can_be_printed("<file>: there is no such checkpoint file", PACKAGE)
