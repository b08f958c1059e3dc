"""The documents of this repository, as tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "examples").rglob("*.md")),
]


@dataclass(frozen=True)
class Line:
    """A line of a document and its place."""

    document: Path
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(REPOSITORY)}:{self.number}"


@dataclass(frozen=True)
class Block:
    """Preformatted lines that stand together; *language* is that of a fence, None where they are indented."""

    language: str | None
    lines: list[Line]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def blocks(document: Path) -> list[Block]:
    """The preformatted blocks of *document*, in their order; indented lines without their indentation."""
    found: list[Block] = []
    fence: Block | None = None
    indented = False
    for number, text in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if text.startswith("```"):
            if fence is None:
                fence = Block(text[3:], [])
                found.append(fence)
            else:
                fence = None
        elif fence is not None:
            fence.lines.append(Line(document, number, text))
        elif text.startswith("    "):
            if not indented:
                found.append(Block(None, []))
            found[-1].lines.append(Line(document, number, text[4:]))
        indented = fence is None and text.startswith("    ")
    return found


def commands(document: Path) -> Iterator[Line]:
    """The command lines of *document*: what is indented, continued lines joined, comments left out."""
    for block in blocks(document):
        if block.language is not None:
            continue
        start: Line | None = None
        words = ""
        for line in block.lines:
            start = start or line
            words += re.sub(r"(^|\s)#.*", "", line.text)
            if words.endswith("\\"):
                words = words[:-1]
                continue
            if words.strip():
                yield Line(document, start.number, " ".join(words.split()))
            start, words = None, ""


def tables(document: Path) -> dict[str, list[list[str]]]:
    """The rows of all tables below each heading of *document*, without the tables' own headings; cells as text."""
    found: dict[str, list[list[str]]] = {}
    heading, rows_before = "", 0
    for text in document.read_text(encoding="utf-8").splitlines():
        if text.startswith("#"):
            heading, rows_before = text.lstrip("# "), 0
        elif text.startswith("|"):
            rows_before += 1
            if rows_before > 2:
                found.setdefault(heading, []).append([cell.strip() for cell in text.strip("| ").split(" | ")])
        else:
            rows_before = 0
    return found


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
