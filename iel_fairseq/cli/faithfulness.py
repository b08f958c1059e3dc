"""Measure how faithful explanations are: comprehensiveness and sufficiency of each explainer.

    iel faithfulness GLUE-DIR --path baseline.pt --gen-subset valid

Comprehensiveness is what a prediction loses without its most important words: the more, the better. Sufficiency is what
it loses without all others: the less, the better. Random words are the yardstick.
"""

from __future__ import annotations

import argparse
import json

from iel_fairseq.classification.faithfulness import faithfulness
from iel_fairseq.cli.explained_texts import add_explained_texts, explain, explained_texts
from iel_fairseq.cli.files import output_file
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = add_explained_texts(parser, list(EXPLAINERS))
    read.add_argument("--first", type=int, help="measure on the first so many texts only; default: all")
    written = parser.add_argument_group("output")
    written.add_argument("--json", help="file for the same figures as data")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: any problem of the data or the checkpoint
    """
    classifier, texts = explained_texts(arguments)
    texts = texts[: arguments.first]
    records = []
    for name in arguments.importance:
        explanations = explain(arguments, classifier, texts, name)
        try:
            found = faithfulness(classifier, texts, explanations)
        except ValueError as error:
            raise IELError(f"{arguments.data}, {arguments.gen_subset}: {error}") from error
        records.append({"importance": name, **vars(found)})
    print("| explainer | comprehensiveness | sufficiency |\n|---|---:|---:|")
    for record in records:
        print(f"| {record['importance']} | {record['comprehensiveness']:.4f} | {record['sufficiency']:.4f} |")
    if arguments.json is not None:
        with output_file(arguments.json) as file:
            json.dump(records, file, indent=1)
