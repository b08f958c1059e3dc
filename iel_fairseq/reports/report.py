"""The paper's tables of finished runs: scores against the control (table 3), what training took (table 4)."""

from __future__ import annotations

import io
import logging
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from iel_fairseq.bootstrapping_record import Record
from iel_fairseq.errors import IELError
from iel_fairseq.reports.differences import attention_words, most_different
from iel_fairseq.reports.pages import Part, Picture, Sentences, Table
from iel_fairseq.reports.runs import Run, System, control_of, control_score, place
from iel_fairseq.reports.scores import Score, compare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

METRICS = ("BLEU", "chrF", "TER")
SHOWN = ("attention-positions", "attention-words", "bootstrap")
"""Systems whose sentences are shown, the first of these that there is."""


@dataclass(frozen=True)
class Result:
    """One system of one run, and what it scored.

    Attributes:
        run: it belongs to
        model: its architecture
        system: itself
        control: name of the system that it is compared with; None: it is compared with none
        scores: by the set's own name, by metric
    """

    run: Run
    model: str
    system: System
    control: str | None
    scores: dict[str, dict[str, Score]]


def score_run(
    run: Run, models: Sequence[str] | None = None, systems: Sequence[str] | None = None, control: str | None = None
) -> list[Result]:
    """Score the finished systems of a run.

    Args:
        run: the run
        models: architectures; None: all
        systems: names; None: all
        control: that all systems are compared with; None: that of each, as
            :func:`~iel_fairseq.reports.runs.control_of` has it

    Raises:
        IELError: there is no such architecture or system, or a set's translations do not fit its references
    """
    found: list[Result] = []
    architectures = run.architectures()
    if absent := [model for model in models or () if model not in architectures]:
        there = ", ".join(architectures) or "none"
        raise IELError(f"--models {absent[0]}: {run.folder} has no finished one of that name; there are {there}")
    for model, finished in architectures.items():
        if models is not None and model not in models:
            continue
        names_there = [system.name for system in finished]
        wanted = [*(names_there if systems is None else systems), *([control] if control else [])]
        if absent := [name for name in wanted if name not in names_there]:
            raise IELError(f"{run.folder / model}: no finished system {absent[0]}; there are {', '.join(names_there)}")
        chosen = [system for system in finished if system.name in wanted]
        names = [system.name for system in chosen]
        controls = {system.name: control or control_of(system.name, names) for system in chosen}
        own: list[Result] = []
        for against in dict.fromkeys(controls.values()):
            compared = [system for system in chosen if controls[system.name] == against]
            own += _compared(run, model, against, compared)
            if against is None:
                missing = ", ".join(system.name for system in compared)
                logger.warning(f"{run.folder / model}: no control for {missing}: without it no gain means anything")
        found += sorted(own, key=lambda result: place(result.system.name))
    if not found:
        raise IELError(f"{run.folder}: no system is finished; run the recipe to its end")
    return found


def _compared(run: Run, model: str, control: str | None, systems: list[System]) -> list[Result]:
    scores: dict[str, dict[str, dict[str, Score]]] = {system.name: {} for system in systems}
    for split, name in run.sets.items():
        references = run.raw(split, run.target)
        translations = {system.name: system.translations(split, run.target) for system in systems}
        for system in systems:
            count = len(translations[system.name])
            if count != len(references):
                raise IELError(
                    f"{system.folder / f'{split}.{run.target}'}: {count:,} translations of {len(references):,} "
                    f"sentences; remove the file, and run the recipe again"
                )
        for system_name, by_metric in compare(control, translations, references, run.target).items():
            scores[system_name][name] = by_metric
    return [Result(run, model, system, control, scores[system.name]) for system in systems]


def records(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The results as flat data, one record for each system and set; times in seconds."""
    return [
        {
            "run": str(result.run.folder),
            "seed": result.system.seed,
            "model": result.model,
            "system": result.system.name,
            "control": result.control,
            "set": name,
            "bleu": scores["BLEU"].score,
            "ci": scores["BLEU"].ci,
            "p": scores["BLEU"].p,
            **{
                f"{metric.lower()}{ending}": getattr(scores[metric], attribute)
                for metric in ("chrF", "TER")
                for ending, attribute in (("", "score"), ("_ci", "ci"), ("_p", "p"))
            },
            "updates": result.system.updates,
            "parameters": result.system.parameters,
            "training_seconds": result.system.training_seconds,
            "extraction_seconds": result.system.extraction_seconds,
            "signature": scores["BLEU"].signature,
        }
        for result in results
        for name, scores in result.scores.items()
    ]


def sections(results: Sequence[Result], name: str) -> list[tuple[str, list[Part]]]:
    """Title and parts of each experiment: runs that differ in the seed alone are one.

    Args:
        results: of all runs
        name: of the report, with which the names of its pictures begin

    Raises:
        IELError: two runs of an experiment have the same seed
    """
    found: dict[str, list[Part]] = {}
    experiments: dict[tuple[str, str, str, tuple[str, ...]], list[Result]] = {}
    for result in results:
        run = result.run
        experiments.setdefault((run.label, run.source, run.target, tuple(run.sets.values())), []).append(result)
    for (label, source, target, sets), members in experiments.items():
        title = label if f"{source}-{target}" in label else f"{label}, {source}-{target}"
        if title in found:
            title += f", {', '.join(sets)}"
        tables: list[Part] = [_score_table(metric, members) for metric in METRICS]
        first = members[0].run
        own = [result for result in members if result.run == first]
        shown = [*_pictures(own, f"{name}.{re.sub(', +', '.', title)}"), *_sentences(own)]
        if len(own) < len(members):
            shown = [replace(part, title=f"{part.title} ({first.name})") for part in shown]
        found[title] = [*tables, _training_table(members), *shown]
    return [*found.items()]


def _rows(members: Sequence[Result]) -> list[tuple[str, str, list[Result]]]:
    """Model, system, and its results, one a seed."""
    rows: dict[tuple[str, str], list[Result]] = {}
    for result in members:
        same = rows.setdefault((result.model, result.system.name), [])
        if any(other.system.seeds == result.system.seeds for other in same):
            raise IELError(
                f"{same[-1].run.folder} and {result.run.folder}: both have seed {result.system.seed} of "
                f"{result.model}, {result.system.name}; give folders of other experiments other names"
            )
        same.append(result)
    return [(model, name, sorted(same, key=lambda one: one.system.seeds)) for (model, name), same in rows.items()]


def _score_table(metric: str, members: Sequence[Result]) -> Table:
    sets = list(members[0].scores)
    rows = [
        [model, name, _mean([one.system.updates for one in same], "{:,.0f}"), str(len(same))]
        + [_cell([one.scores[name_of_set][metric] for one in same]) for name_of_set in sets]
        for model, name, same in _rows(members)
    ]
    signature = members[0].scores[sets[0]][metric].signature
    less = " Less is better." if metric == "TER" else ""
    controls = " or ".join(dict.fromkeys(result.control for result in members if result.control))
    against = f"in brackets p of paired randomization against {controls}" if controls else "nothing to compare with"
    several = any(len(same) > 1 for _, _, same in _rows(members))
    spread = "With several seeds: mean, standard deviation, and p of each seed. " if several else ""
    note = f"± is the 95% confidence interval, {against}.{less} {spread}sacreBLEU {signature}"
    return Table(f"Table 3: {metric}", ["model", "system", "updates", "seeds", *sets], rows, note)


def _cell(scores: Sequence[Score]) -> str:
    p = " ".join("<0.001" if score.p < 0.001 else f"{score.p:.3f}" for score in scores if score.p is not None)
    if len(scores) == 1:
        text = f"{scores[0].score:.1f} ± {scores[0].ci:.1f}"
    else:
        values = [score.score for score in scores]
        text = f"{statistics.mean(values):.1f}, sd {statistics.stdev(values):.2f}"
    return f"{text} ({p})" if p else text


def _training_table(members: Sequence[Result]) -> Table:
    rows = []
    for model, name, same in _rows(members):
        systems = [one.system for one in same]
        rows.append(
            [
                *(model, name, "-" if systems[0].parameters is None else f"{systems[0].parameters:,}"),
                _mean([system.updates for system in systems], "{:,.0f}"),
                _mean([system.training_seconds for system in systems], "{:,.0f}"),
                _mean([system.extraction_seconds for system in systems], "{:,.1f}"),
            ]
        )
    note = (
        "Updates are those behind the best checkpoint, training seconds those until it was written, the baseline's "
        "included; mean over seeds. Extraction is that of training and validation data, in all rounds, 0 where a "
        "system with the same extractor had done it."
    )
    header = ["model", "system", "parameters", "updates", "training, s", "extraction, s"]
    return Table("Table 4: what training took", header, rows, note)


def _mean(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(statistics.mean(known)) if known else "-"


def _pictures(members: Sequence[Result], prefix: str) -> list[Part]:
    """Of one run: training curves; the ablation and bootstrapping where they are part of it.

    Args:
        members: results of the run
        prefix: of the names of the files
    """
    from iel_fairseq.reports.plots import (  # this imports matplotlib
        NoiseRecord,
        bootstrapping_figure,
        noise_figure,
        training_figure,
    )

    found: list[Part] = []
    for model, own in groupby(members, lambda result: result.model):
        systems = [result.system for result in own]
        curves = {
            each.name: each.curve()
            for each in systems
            if each.updates is not None and not each.name.startswith("noise-")
        }
        if any(curves.values()):
            figure = training_figure({name: curve for name, curve in curves.items() if curve}, model)
            found.append(_picture(f"{model}: validation loss", f"{prefix}.{model}.curves.png", figure))
        for system in systems:
            path = system.folder / "bootstrapping.json"
            if path.exists():
                record = Record.read(str(path))
                control = system.folder.parent / "bootstrap-control"
                score = control_score(str(control), record.metric) if (control / "finished").exists() else None
                title = f"{model}: {system.name}, validation {record.metric} over rounds"
                figure = bootstrapping_figure(record, {"control": score})
                found.append(_picture(title, f"{prefix}.{model}.{system.name}.png", figure))
    if any(result.system.name.startswith("noise-") for result in members):
        title = "BLEU against the share of random attention words"
        drawn = [
            NoiseRecord(result.model, name, result.system.name, scores["BLEU"].score)
            for result in members
            for name, scores in result.scores.items()
        ]
        found.append(_picture(title, f"{prefix}.noise.png", noise_figure(drawn)))
    return found


def _picture(title: str, file: str, figure: Figure) -> Picture:
    png = io.BytesIO()
    figure.savefig(png, dpi=110, format="png")
    return Picture(title, file, png.getvalue())


def _sentences(members: Sequence[Result]) -> list[Part]:
    """Of one run: where, for each model, an enhanced system and its control differ most, on the first test set."""
    of_models = [_sentences_of(model, list(own)) for model, own in groupby(members, lambda result: result.model)]
    return [part for part in of_models if part is not None]


def _sentences_of(model: str, members: Sequence[Result]) -> Sentences | None:
    run, systems = members[0].run, {result.system.name: result for result in members}
    name = next((name for name in SHOWN if name in systems), None)
    if name is None or (control := systems[name].control) is None:
        return None
    split = next((split for split in run.sets if split != "valid"), "valid")
    system, references = systems[name].system, run.raw(split, run.target)
    ours, theirs = (each.translations(split, run.target) for each in (system, systems[control].system))
    chosen = most_different(ours, theirs, references)
    words = attention_words(run, system, split, [index for index, _, _ in chosen])
    sources = run.raw(split, run.source)
    items = [
        [
            (f"source {index + 1}", sources[index]),
            *([("attention words", words[index])] if index in words else []),
            ("reference", references[index]),
            (f"{name}, chrF {our_score:.0f}", ours[index]),
            (f"{control}, chrF {their_score:.0f}", theirs[index]),
        ]
        for index, our_score, their_score in chosen
    ]
    title = f"{run.sets[split]}, {model}: where {name} and {control} differ most"
    return Sentences(title, items) if items else None
