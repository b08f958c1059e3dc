"""What a model looked at, to be seen: heat maps, x' with its positions, and a page for many sentences."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from iel_fairseq.fonts import columns_of, fonts_for
from iel_fairseq.html_page import html_page
from iel_fairseq.readings import Reading

EOS = "</s>"
LINE = 80
"""Characters of x' in a line of a figure."""


def attention_figure(reading: Reading) -> Figure:
    """A heat map of source against hypothesis, attention words framed (paper, figure 1); x' below it (figure 2)."""
    source, hypothesis = [*reading.source, EOS], reading.hypothesis
    fonts = fonts_for("".join([*source, *hypothesis]))
    lines = _lines(reading)
    sides = 0.34 * len(source) + 2.2, max(0.3 * len(hypothesis), 0.6) + 1.4
    below = 0.55 * len(lines) + 0.5
    figure = Figure(figsize=(max(sides[0], 7.5), sides[1] + below), layout="constrained")
    above, under = figure.subplots(2, 1, height_ratios=[sides[1], below])
    _draw_heat_map(above, reading, source, fonts)
    _draw_enhanced_source(under, lines, fonts)
    return figure


def _draw_heat_map(panel: Axes, reading: Reading, source: Sequence[str], fonts: list[str]) -> None:
    weights = np.zeros((max(1, len(reading.hypothesis)), len(source)))
    if reading.attention is not None:
        weights[: len(reading.attention)] = reading.attention
    image = panel.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    if reading.attention is not None:
        panel.figure.colorbar(image, ax=panel, label="attention", fraction=0.025, pad=0.01)
    for row, positions in enumerate(reading.positions):
        for position in positions:
            panel.add_patch(Rectangle((position - 1.5, row - 0.5), 1, 1, fill=False, edgecolor="C1", linewidth=1.8))
    panel.set_xticks(range(len(source)), source, rotation=60, ha="left", rotation_mode="anchor", family=fonts)
    panel.set_yticks(range(len(reading.hypothesis)), reading.hypothesis, family=fonts)
    panel.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    for label in [*panel.get_xticklabels(), *panel.get_yticklabels()]:
        label.set_parse_math(False)  # $10 is no formula


def _draw_enhanced_source(panel: Axes, lines: Sequence[Sequence[tuple[str, int, bool]]], fonts: list[str]) -> None:
    panel.axis("off")
    panel.set(xlim=(-4, LINE), ylim=(len(lines) - 0.2, -0.7))
    for number, line in enumerate(lines):
        column = 0.0
        for word, position, is_attention_word in line:
            width = _width(word, position)
            colour = "C1" if is_attention_word else "black"
            write = partial(panel.text, column + width / 2, ha="center", color=colour, parse_math=False)
            write(number, word, va="bottom", size=8, family=fonts)
            write(number + 0.04, str(position), va="top", size=7)
            column += width
    panel.text(-4, 0, "x'", size=9, va="bottom", style="italic")
    panel.text(-4, 0.04, "p'", size=9, va="top", style="italic")


def _lines(reading: Reading) -> list[list[tuple[str, int, bool]]]:
    """x' in lines: words, their positions, and whether they are attention words."""
    lines: list[list[tuple[str, int, bool]]] = [[]]
    used = 0.0
    for word, position, is_attention_word in reading.marked:
        width = _width(word, position)
        if used + width > LINE and used:
            lines.append([])
            used = 0.0
        lines[-1].append((word, position, is_attention_word))
        used += width
    return lines


def _width(word: str, position: int) -> float:
    """Columns that a word and its position take."""
    return max(columns_of(word), len(str(position))) + 1.5


# --- many sentences as a page ------------------------------------------------------------------------------------

STYLE = """
body { font: 16px/1.9 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
section { border-top: 1px solid #ccc; padding: 0.6em 0; }
p { margin: 0.2em 0; }
b { font-weight: normal; color: #888; font-size: 0.8em; margin-inline-end: 0.8em; }
span { padding: 0.1em 0.2em; border-radius: 0.2em; }
.target span { cursor: default; }
.target span:hover, .target span:focus { outline: 2px solid #e67e22; }
.looked-at { outline: 2px solid #e67e22; }
.word { color: #c05a00; }
rt { color: #888; }
"""
SCRIPT = """
for (const section of document.querySelectorAll("section")) {
  const source = section.querySelectorAll(".source span");
  const clear = () => source.forEach(word => { word.style.background = ""; word.classList.remove("looked-at"); });
  for (const target of section.querySelectorAll(".target span")) {
    const show = () => {
      clear();
      JSON.parse(target.dataset.weights).forEach((weight, column) => {
        source[column].style.background = `rgba(33, 113, 181, ${weight})`;
      });
      JSON.parse(target.dataset.positions).forEach(at => source[at - 1].classList.add("looked-at"));
    };
    target.addEventListener("mouseenter", show);
    target.addEventListener("focus", show);
    target.addEventListener("mouseleave", clear);
    target.addEventListener("blur", clear);
  }
}
"""


def attention_page(readings: Iterable[Reading]) -> str:
    """A self-contained HTML page: a word of a hypothesis that is pointed at lights up what was looked at for it."""
    sections = "\n".join(_section(number, reading) for number, reading in enumerate(readings, start=1))
    title = "Attention words"
    hint = "Point at a word of a translation: its attention word is framed, attention is blue."
    return html_page(title, STYLE, f"<h1>{title}</h1>\n<p>{hint}</p>\n{sections}\n<script>{SCRIPT}</script>")


def _section(number: int, reading: Reading) -> str:
    source = " ".join(f"<span>{html.escape(word)}</span>" for word in [*reading.source, EOS])
    target = []
    for row, (word, positions) in enumerate(zip(reading.hypothesis, reading.positions, strict=True)):
        weights = [] if reading.attention is None else [round(float(weight), 3) for weight in reading.attention[row]]
        data = f'data-positions="{json.dumps(list(positions))}" data-weights="{json.dumps(weights)}"'
        target.append(f'<span tabindex="0" {data}>{html.escape(word)}</span>')
    enhanced = []
    for word, position, is_attention_word in reading.marked:
        kind = ' class="word"' if is_attention_word else ""
        enhanced.append(f"<ruby{kind}>{html.escape(word)}<rt>{position}</rt></ruby>")
    return (
        f'<section>\n<p class="source" dir="auto"><b>{number}</b>{source}</p>\n'
        f'<p class="target" dir="auto"><b>translation</b>{" ".join(target)}</p>\n'
        f'<p dir="auto"><b>x\'</b>{" ".join(enhanced)}</p>\n</section>'
    )
