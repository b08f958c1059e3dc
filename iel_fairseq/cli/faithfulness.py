"""Measure how faithful explanations are: comprehensiveness and sufficiency of each explainer.

    iel faithfulness GLUE-DIR --path baseline.pt --gen-subset valid

Comprehensiveness is what a prediction loses without its most important words: the more, the better. Sufficiency is
what it loses without all others: the less, the better (DeYoung et al., ERASER, ACL 2020). Both are means over texts and
over the most important 1, 5, 10, 20 and 50% of their words. Random words are the yardstick. What the explainers find is
stored, as training stores it: what is there already is not found again.
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext

from iel_fairseq.classification.faithfulness import faithfulness
from iel_fairseq.cli.explained_texts import add_explained_texts, explained_by, explained_texts
from iel_fairseq.cli.files import check_outputs, output_file
from iel_fairseq.cli.texts import files_of, stores_of, texts_name
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = add_explained_texts(parser, list(EXPLAINERS), stored=True)
    read.add_argument("--first", type=int, help="measure on the first so many texts only; default: all")
    written = parser.add_argument_group("output")
    written.add_argument("--json", help="file for the same figures as data")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: any problem of the data, the checkpoint or the store
    """
    if arguments.first is not None and arguments.first < 1:
        raise IELError(f"--first {arguments.first}: it is at least 1")
    check_outputs(files_of(arguments), {"--json": arguments.json})
    classifier, texts = explained_texts(arguments)
    first = texts[: arguments.first]
    stores = stores_of(arguments)
    records = []
    with nullcontext() if arguments.json is None else output_file(arguments.json) as file:
        print("| explainer | comprehensiveness | sufficiency |\n|---|---:|---:|", flush=True)
        for name in arguments.importance:
            extraction = explained_by(name, arguments, classifier, texts)
            if stores is None or extraction.store(stores).open() is None:  # the whole split
                extraction = explained_by(name, arguments, classifier, first)
            explanations = list(extraction.found(stores))[: len(first)]
            try:
                found = faithfulness(classifier, explanations)
            except ValueError as error:
                raise IELError(f"{texts_name(arguments)}: {error}") from error
            print(f"| {name} | {found.comprehensiveness:.4f} | {found.sufficiency:.4f} |", flush=True)
            records.append({"importance": name, **vars(found)})
        if file is not None:
            json.dump(records, file, indent=1)
