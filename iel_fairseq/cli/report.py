"""Write the tables of finished runs, each number beside its control's.

    iel report runs/multi30k.fr-en
    iel report runs/multi30k.fr-en runs/multi30k.fr-en.seed2 runs/multi30k.fr-en.seed3 --output docs/multi30k

RUN is the folder that a recipe has made (its WORK). Runs whose names differ in a last .seedN alone are one experiment,
of which mean and spread are shown. Writes PREFIX.md, .html, .csv and .json, and pictures beside them; prints the
Markdown.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
from typing import Any

from iel_fairseq.files import whole_file, writing
from iel_fairseq.json_data import write_json
from iel_fairseq.reports.pages import Picture, markdown_page, report_page
from iel_fairseq.reports.report import records, score_run, sections
from iel_fairseq.reports.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("runs", metavar="RUN", nargs="+", help="folder of a finished recipe")
    read.add_argument("--models", nargs="+", help="architectures; default: all that are finished")
    read.add_argument("--systems", nargs="+", help="systems; default: all that are finished")
    read.add_argument(
        "--control",
        help="system that the others are compared with; default: control, and bootstrap-control for bootstrap",
    )
    written = parser.add_argument_group("output")
    written.add_argument(
        "--output", metavar="PREFIX", help="where to write; in a folder: results there; default: in the first RUN"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: a folder is no finished run, or a result cannot be written
    """
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)  # it reports every step
    results = [
        result
        for folder in arguments.runs
        for result in score_run(Run.read(folder), arguments.models, arguments.systems, arguments.control)
    ]
    prefix = arguments.output or arguments.runs[0]
    if os.path.isdir(prefix) or prefix.endswith("/"):
        prefix = os.path.join(prefix, "results")
    found = sections(results, os.path.basename(prefix))
    data = records(results)
    markdown = markdown_page(found)
    with writing(prefix):
        os.makedirs(os.path.dirname(os.path.abspath(prefix)), exist_ok=True)
        for picture in (part for _, parts in found for part in parts if isinstance(part, Picture)):
            with whole_file(os.path.join(os.path.dirname(prefix), picture.file), "wb") as file:
                file.write(picture.png)
        _write_csv(f"{prefix}.csv", data)
        write_json(f"{prefix}.json", data)
        for ending, text in (("md", markdown), ("html", report_page(found))):
            with whole_file(f"{prefix}.{ending}") as file:
                file.write(text)
    print(markdown, end="")


def _write_csv(path: str, data: list[dict[str, Any]]) -> None:
    with whole_file(path) as file:
        writer = csv.DictWriter(file, list(data[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(data)
