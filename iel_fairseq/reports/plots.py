"""Pictures of results."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iel_fairseq.bootstrapping_record import Record
from iel_fairseq.reports.runs import Curve

REFERENCES = {"baseline": ("0.45", ":"), "control": ("C1", "--")}
"""Systems that are drawn as horizontal lines: colour and style."""


@dataclass(frozen=True)
class NoiseRecord:
    """What one system scored on one set.

    Attributes:
        model: its architecture
        set: name of the set
        system: ``baseline``, ``control`` or ``noise-PERCENT-SEED``; others are not drawn
        bleu: its score
    """

    model: str
    set: str
    system: str
    bleu: float


def noise_figure(records: Sequence[NoiseRecord]) -> Figure:
    """BLEU against the share of random attention words (paper, section 6, figure 3).

    One panel a model and test set: the mean over seeds as a line, each seed as a dot, from the lowest to the highest as
    a band; baseline and control as horizontal lines.

    Args:
        records: of each system and set

    Raises:
        ValueError: there is no noisy system, or a BLEU that is no number
    """
    models = list(dict.fromkeys(record.model for record in records))
    sets = list(dict.fromkeys(record.set for record in records))
    if not any(_percent(record) is not None for record in records):
        raise ValueError("no system is called noise-PERCENT-SEED")
    if not all(math.isfinite(record.bleu) for record in records):
        raise ValueError("a BLEU that is no number")
    figure = Figure(figsize=(4.2 * len(sets), 3.2 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), len(sets), squeeze=False)
    for row, model in enumerate(models):
        for column, name in enumerate(sets):
            panel = panels[row, column]
            _draw_noise(panel, [record for record in records if (record.model, record.set) == (model, name)])
            panel.set_title(f"{model}, {name}", fontsize=10)
    for panel in panels[-1]:
        panel.set_xlabel("random attention words, %")
    for panel in panels[:, 0]:
        panel.set_ylabel("BLEU")
    panels[0, 0].legend(fontsize=8)
    return figure


def _percent(record: NoiseRecord) -> float | None:
    match = re.fullmatch(r"noise-(\d+\.?\d*|\.\d+)-\d+", record.system)
    return float(match[1]) if match else None


def _draw_noise(panel: Axes, records: Sequence[NoiseRecord]) -> None:
    by_percent: dict[float, list[float]] = defaultdict(list)
    for record in records:
        percent = _percent(record)
        if percent is not None:
            by_percent[percent].append(record.bleu)
        elif record.system in REFERENCES:
            color, style = REFERENCES[record.system]
            panel.axhline(record.bleu, color=color, linestyle=style, label=record.system)
    percents = sorted(by_percent)
    scores = [by_percent[percent] for percent in percents]
    panel.plot(percents, [np.mean(seeds) for seeds in scores], color="C0", label="attention words, mean")
    panel.fill_between(percents, [min(seeds) for seeds in scores], [max(seeds) for seeds in scores], alpha=0.2)
    dots = [(percent, bleu) for percent, seeds in zip(percents, scores, strict=True) for bleu in seeds]
    panel.scatter([percent for percent, _ in dots], [bleu for _, bleu in dots], color="C0", s=10, label="one seed")
    panel.grid(alpha=0.3)


def bootstrapping_figure(record: Record, references: Mapping[str, float | None]) -> Figure:
    """The validation score over the rounds of bootstrapping (paper, section 4.3), the share of new words below.

    Args:
        record: of the training; rounds without a score are not drawn
        references: validation scores of ``baseline`` and ``control``, drawn as horizontal lines where they are known
    """
    rounds = [each for each in record.rounds if each.scores]
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    numbers = [each.number for each in rounds]
    above.plot(numbers, [record.better(each.scores.values()) for each in rounds], "o-", label="best epoch of the round")
    epochs = [(each.number, score) for each in rounds for score in each.scores.values()]
    above.scatter([number for number, _ in epochs], [score for _, score in epochs], color="C0", s=8, alpha=0.5)
    for system, score in references.items():
        if score is not None:
            color, style = REFERENCES[system]
            above.axhline(score, color=color, linestyle=style, label=system)
    above.set_ylabel(f"validation {record.metric}")
    above.legend(fontsize=8)
    above.grid(alpha=0.3)
    changed = [each for each in rounds if each.changed is not None]
    below.bar([each.number for each in changed], [100 * (each.changed or 0) for each in changed], color="0.6")
    below.set_ylabel("new words, %")
    below.set_xlabel("round")
    below.xaxis.get_major_locator().set_params(integer=True)
    return figure


def training_figure(curves: Mapping[str, Curve], title: str) -> Figure:
    """Validation loss over the updates of training, those of the baseline included.

    Args:
        curves: of each system, by its name; on the left all of them, on the right those that go on from the baseline
        title: of the figure
    """
    further = {name: curve for name, curve in curves.items() if name != "baseline"}
    panels = [curves, further] if further and further != curves else [curves]
    figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
    for panel, drawn in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, curve in drawn.items():
            line = ([updates for updates, _ in curve], [loss for _, loss in curve])
            panel.plot(*line, ".-", color=f"C{list(curves).index(name)}", label=name)
        panel.set_xlabel("updates")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.axes[0].set_ylabel("validation loss")
    figure.suptitle(title, fontsize=10)
    return figure
