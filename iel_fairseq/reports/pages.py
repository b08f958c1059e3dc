"""A report as Markdown and as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from iel_fairseq.html_page import html_page


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        title: above it
        header: of the columns
        rows: cells of each row
        note: below it, plain text
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        align = "|" + "".join("---:|" if _numeric(column) else "---|" for column in self._columns)
        lines = [f"### {self.title}", "", _row(self.header), align, *map(_row, self.rows)]
        return "\n".join([*lines, "", self.note] if self.note else lines)

    def html(self) -> str:
        kinds = [' class="number"' if _numeric(column) else "" for column in self._columns]
        head = "".join(f"<th{kind}>{html.escape(cell)}</th>" for kind, cell in zip(kinds, self.header, strict=True))
        body = "\n".join(
            "<tr>"
            + "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
            + "</tr>"
            for row in self.rows
        )
        note = f"\n<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<h3>{html.escape(self.title)}</h3>\n<table>\n<tr>{head}</tr>\n{body}\n</table>{note}"

    @property
    def _columns(self) -> list[tuple[str, ...]]:
        return list(zip(*self.rows, strict=True))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _numeric(column: Sequence[str]) -> bool:
    return all(cell[:1].isdigit() or cell in ("", "-") for cell in column)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        title: what it shows
        file: name of the file beside the report
        png: its contents
    """

    title: str
    file: str
    png: bytes

    def markdown(self) -> str:
        return f"![{self.title}]({quote(self.file)})"

    def html(self) -> str:
        data = base64.b64encode(self.png).decode()
        title = html.escape(self.title)
        return (
            f'<figure><img alt="{title}" src="data:image/png;base64,{data}"><figcaption>{title}</figcaption></figure>'
        )


@dataclass(frozen=True)
class Sentences:
    """Sentences with what was made of them.

    Attributes:
        title: above them
        items: for each sentence its lines, name and text
    """

    title: str
    items: Sequence[Sequence[tuple[str, str]]]

    def markdown(self) -> str:
        # As code: the text is nobody's Markdown.
        blocks = ["\n".join(f"    {name}: {text}" for name, text in item) for item in self.items]
        return "\n\n".join([f"### {self.title}", *(f"{n}.\n\n{block}" for n, block in enumerate(blocks, start=1))])

    def html(self) -> str:
        items = [
            "<li><dl>" + "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in item)
            for item in self.items
        ]
        return (
            f"<h3>{html.escape(self.title)}</h3>\n<ol>\n" + "\n".join(f"{item}</dl></li>" for item in items) + "\n</ol>"
        )


Part: TypeAlias = Table | Picture | Sentences

STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2em 0.7em; text-align: left; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em; margin: 0.5em 0; }
dd { margin: 0; }
dt { color: #666; }
"""


def markdown_page(sections: Sequence[tuple[str, Sequence[Part]]]) -> str:
    """All sections, title and parts, as Markdown."""
    blocks = [block for title, parts in sections for block in (f"## {title}", *(part.markdown() for part in parts))]
    return "\n\n".join(blocks) + "\n"


def report_page(sections: Sequence[tuple[str, Sequence[Part]]]) -> str:
    """All sections, title and parts, as one HTML page that needs no other file."""
    blocks = [
        block
        for title, parts in sections
        for block in (f"<h2>{html.escape(title)}</h2>", *(part.html() for part in parts))
    ]
    return html_page(", ".join(title for title, _ in sections), STYLE, "\n".join(blocks))
