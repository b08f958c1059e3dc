"""GLUE's tasks and the official layout of their files (Wang et al., 2019)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from iel_fairseq.classification.words import SEPARATOR
from iel_fairseq.errors import IELError
from iel_fairseq.text_files import numbered_lines, text_file

logger = logging.getLogger(__name__)

FILES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
"""fairseq's names of the splits, and GLUE's."""


@dataclass(frozen=True)
class GlueTask:
    """One task of GLUE.

    Attributes:
        name: as GLUE writes it, also the name of its folder and of its submission file
        labels: names of the classes, by number; empty: a score is to be predicted
        metrics: by which GLUE measures it, the first one before all
        sentences: columns of the sentences, by name
        label: column of the label
        header: columns of ``train.tsv`` and ``dev.tsv``
        has_header: whether the first line names the columns; ``test.tsv`` always has one
        has_broken_lines: the published file itself has some, which everybody skips
    """

    name: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    sentences: tuple[str, ...]
    label: str
    header: tuple[str, ...]
    has_header: bool = True
    has_broken_lines: bool = False

    @property
    def regression(self) -> bool:
        return not self.labels

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for a text."""
        return len(self.labels) or 1


_TASKS = (
    GlueTask(
        name="CoLA",
        labels=("0", "1"),
        metrics=("matthews",),
        sentences=("sentence",),
        label="label",
        header=("source", "label", "mark", "sentence"),
        has_header=False,
    ),
    GlueTask(
        name="SST-2",
        labels=("0", "1"),
        metrics=("accuracy",),
        sentences=("sentence",),
        label="label",
        header=("sentence", "label"),
    ),
    GlueTask(
        name="MRPC",
        labels=("0", "1"),
        metrics=("f1", "accuracy"),
        sentences=("#1 String", "#2 String"),
        label="Quality",
        header=("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    ),
    GlueTask(
        name="STS-B",
        labels=(),
        metrics=("spearman", "pearson"),
        sentences=("sentence1", "sentence2"),
        label="score",
        header=(
            *("index", "genre", "filename", "year", "old_index"),
            *("source1", "source2", "sentence1", "sentence2", "score"),
        ),
    ),
    GlueTask(
        name="QQP",
        labels=("0", "1"),
        metrics=("accuracy", "f1"),
        sentences=("question1", "question2"),
        label="is_duplicate",
        header=("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
        has_broken_lines=True,
    ),
    GlueTask(
        name="RTE",
        labels=("entailment", "not_entailment"),
        metrics=("accuracy",),
        sentences=("sentence1", "sentence2"),
        label="label",
        header=("index", "sentence1", "sentence2", "label"),
    ),
)
GLUE_TASKS = {task.name: task for task in _TASKS}


@dataclass(frozen=True)
class Example:
    """A text and what it is.

    Attributes:
        text: the sentence, or both with :data:`~iel_fairseq.classification.words.SEPARATOR` between them
        label: number of the class, or the score; None in a test set
    """

    text: str
    label: float | None


def read_glue(data: str, task: GlueTask, split: str) -> list[Example]:
    """The examples of a split, from files or through the library ``datasets``.

    Args:
        data: folder that holds the folder of the task, ``TASK/{train,dev,test}.tsv`` or ``.tsv.gz``; or, where there
            is no such folder, the name of GLUE on the hub, e.g. ``nyu-mll/glue``
        task: one of :data:`GLUE_TASKS`
        split: ``train``, ``valid`` or ``test``

    Raises:
        IELError: there is no such file; a line that is not as GLUE has it, which is named with what was expected
    """
    if split not in FILES:
        raise IELError(f"{split}: no split of GLUE; it is one of {', '.join(FILES)}")
    if not os.path.isdir(data):
        return _read_by_name(data, task, split)
    wanted = os.path.join(data, task.name, FILES[split])
    path = text_file(wanted)
    if path is None:
        raise IELError(f"{wanted}[.gz]: no such file; DATA is the folder that holds {task.name}/")
    examples = list(_parse(path, task, split))
    if not examples:
        raise IELError(f"{path}: holds no sentences")
    return examples


def _parse(path: str, task: GlueTask, split: str) -> Iterator[Example]:
    lines = ((number, line.split("\t")) for number, line in numbered_lines(path))
    header = list(task.header)
    if task.has_header or split == "test":
        _, header = next(lines, (1, []))
        wanted = [*task.sentences, *([task.label] if split != "test" else [])]
        if missing := [name for name in wanted if name not in header]:
            raise IELError(f"{path}, line 1: expected a header with the column {missing[0]!r}, found {header}")
    broken = []
    for number, fields in lines:
        if len(fields) != len(header):
            if task.has_broken_lines and split != "test":  # whose predictions are counted by its lines
                broken.append(number)
                continue
            raise IELError(
                f"{path}, line {number}: expected {len(header)} fields, tab-separated ({', '.join(header)}), "
                f"found {len(fields)}"
            )
        row = dict(zip(header, fields, strict=True))
        label = None if split == "test" else _label(f"{path}, line {number}", row[task.label], task)
        yield Example(SEPARATOR.join(row[column] for column in task.sentences), label)
    if broken:
        places = ", ".join(map(str, broken[:5])) + (", ..." if len(broken) > 5 else "")
        logger.warning(f"{path}: {len(broken)} lines have not {len(header)} fields and are skipped (lines {places})")


def _label(where: str, text: str, task: GlueTask) -> float:
    if task.labels:
        if text not in task.labels:
            raise IELError(f"{where}: expected a label of {', '.join(task.labels)}, found {text!r}")
        return task.labels.index(text)
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not 0 <= score <= 5:
        raise IELError(f"{where}: expected a score from 0 to 5, found {text!r}")
    return score


def _read_by_name(data: str, task: GlueTask, split: str) -> list[Example]:
    if importlib.util.find_spec("datasets") is None:
        raise IELError(f"{data}: not there; to read GLUE by its name on the hub, pip install datasets")
    datasets = importlib.import_module("datasets")
    part = {"valid": "validation"}.get(split, split)
    try:
        rows = datasets.load_dataset(data, task.name.lower().replace("-", ""), split=part)
    except Exception as error:  # the library raises many kinds
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise IELError(f"{data}: neither a folder nor a data set that can be had by this name ({line})") from error
    columns = [
        name for name in ("sentence", "sentence1", "sentence2", "question1", "question2") if name in rows.features
    ]
    return [
        Example(
            SEPARATOR.join(row[column].replace(SEPARATOR, " ") for column in columns),
            None if split == "test" else row["label"],
        )
        for row in rows
    ]


def submission_value(task: GlueTask, prediction: float) -> str:
    """What stands for *prediction* in GLUE's submission file."""
    return task.labels[int(prediction)] if task.labels else f"{min(max(prediction, 0.0), 5.0):.3f}"
