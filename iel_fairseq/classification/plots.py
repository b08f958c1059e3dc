"""Texts with the importance of their words as colour, explainers side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from iel_fairseq.classification.words import SEPARATOR
from iel_fairseq.explainers import Explanation
from iel_fairseq.fonts import columns_of, fonts_for
from iel_fairseq.html_page import html_page

COLOURS = colormaps["RdBu_r"]
WIDTH = 84
"""Columns of a line in a picture."""

Piece = tuple[str, str | None, bool]
"""A part of a text, its colour (None between words), and whether it is the important word."""


def pieces(explanation: Explanation) -> list[Piece]:
    """Its text in words and what is between them. Red speaks for the prediction, blue against it.

    Colours are relative to the highest score in the text.
    """
    found: list[Piece] = []
    text, done = explanation.text, 0
    highest = max((abs(float(score)) for score in explanation.scores), default=0.0) or 1.0
    best = int(explanation.scores.argmax()) if explanation.words else None
    for number, (word, score) in enumerate(zip(explanation.words, explanation.scores, strict=True)):
        found.append((text[done : word.start], None, False))
        # the darkest colours of the map would hide the letters
        found.append((word.text, to_hex(COLOURS(0.5 + 0.35 * float(score) / highest)), number == best))
        done = word.end
    return [piece for piece in [*found, (text[done:], None, False)] if piece[0]]


def importance_html(explained: Mapping[str, Sequence[Explanation]], labels: Sequence[str]) -> str:
    """A page with a row for each text and a column for each explainer.

    Args:
        explained: for each explainer's name its explanations, all of the same texts
        labels: what was predicted for each text, in words
    """
    rows = []
    for label, *of_text in zip(labels, *explained.values(), strict=True):
        cells = "".join(f"<td>{_html_of(pieces(found))}</td>" for found in of_text)
        rows.append(f"<tr><th>{html.escape(label)}</th>{cells}</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in explained)
    style = (
        "td{padding:.6em;vertical-align:top;line-height:1.7}th{text-align:left;padding:.6em}b{border-bottom:2px solid}"
    )
    table = "\n".join([f"<tr><th>prediction</th>{head}</tr>", *rows])
    hint = "Red words speak for the prediction, blue ones against it; the most important one is underlined."
    return html_page("Importance of words", style, f"<table>{table}\n</table>\n<p>{hint}</p>")


def _html_of(parts: Sequence[Piece]) -> str:
    marked = []
    for part, colour, important in parts:
        text = html.escape(part).replace(SEPARATOR, "<br>")
        if important:
            text = f"<b>{text}</b>"
        marked.append(f'<span style="background:{colour}">{text}</span>' if colour else text)
    return "".join(marked)


def importance_figure(explained: Mapping[str, Sequence[Explanation]], labels: Sequence[str]) -> Figure:
    """The same as a picture: a panel for each text, a paragraph in it for each explainer."""
    paragraphs = [
        [(name, _lines(pieces(found))) for name, found in zip(explained, of_text, strict=True)]
        for of_text in zip(*explained.values(), strict=True)
    ]
    texts = [found.text for found in next(iter(explained.values()))]
    fonts = fonts_for("".join([*texts, *labels]))
    fixed = fonts_for("".join(texts), "DejaVu Sans Mono")
    heights = [sum(len(lines) + 0.6 for _, lines in panel) + 1 for panel in paragraphs]
    figure = Figure(figsize=(10, 0.26 * sum(heights)))
    figure.subplots_adjust(left=0.01, right=0.99, top=0.99, bottom=0.01)
    panels = figure.subplots(len(texts), 1, squeeze=False, gridspec_kw={"height_ratios": heights, "hspace": 0.05})
    for axes, panel, label, height in zip(panels[:, 0], paragraphs, labels, heights, strict=True):
        axes.set(xlim=(-14, WIDTH + 2), ylim=(height, 0))
        axes.axis("off")
        write = partial(axes.text, size=9, family=fonts, parse_math=False)  # $10 is no formula
        write(-14, 0.6, label, weight="bold")
        line = 1.6
        for name, lines in panel:
            write(-14, line, name)
            for parts in lines:
                column = 0
                for part, colour, important in parts:
                    box = {"facecolor": colour, "edgecolor": "black" if important else "none", "pad": 1.5}
                    write(column, line, part, family=fixed, bbox=box if colour else None)
                    column += columns_of(part)
                line += 1
            line += 0.6
    return figure


def _lines(parts: Sequence[Piece]) -> list[list[Piece]]:
    """*parts* in lines of at most :data:`WIDTH` columns; the second sentence begins a new one."""
    lines: list[list[Piece]] = [[]]
    column = 0
    for part, colour, important in parts:
        head, separator, tail = part.partition(SEPARATOR)
        if column + columns_of(head) > WIDTH and column:
            lines.append([])
            column, head = 0, head.lstrip()
        lines[-1].append((head, colour, important))
        column += columns_of(head)
        if separator:
            lines.append([(tail, colour, important)])
            column = columns_of(tail)
    return lines
