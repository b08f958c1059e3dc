"""What the subcommands that explain a classifier's predictions have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from iel_fairseq.classification.classifier import Classifier, load_classifier
from iel_fairseq.classification.glue import read_glue
from iel_fairseq.classification.importance import ImportanceExtraction, check_samples
from iel_fairseq.classification.words import SEPARATOR
from iel_fairseq.cli.files import input_lines, input_name
from iel_fairseq.device import chosen_device
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS, Explanation


def add_explained_texts(
    parser: argparse.ArgumentParser, importance: list[str], *, stored: bool
) -> argparse._ArgumentGroup:
    """Add the arguments that say what is explained, by which explainers, by default those of *importance*, and, where
    what is found is *stored*, in which folder.

    Returns:
        the group of the former
    """
    read = parser.add_argument_group("input")
    read.add_argument(
        "data",
        metavar="GLUE-DIR",
        help="folder that holds the tasks' folders, or GLUE's name on the hub; or a file of texts, one a line, the two "
        "of a pair with a tab between them; '-': standard input",
    )
    read.add_argument("--path", required=True, help="checkpoint of the classifier")
    read.add_argument("--gen-subset", default="valid", help="split of GLUE-DIR: train, valid or test")
    explainers = parser.add_argument_group("explainers")
    explainers.add_argument(
        "--importance", nargs="+", choices=list(EXPLAINERS), default=importance, help="measures of importance"
    )
    explainers.add_argument("--importance-samples", type=int, help="perturbations of a text; default: each package's")
    explainers.add_argument("--seed", type=int, default=1, help="of the explainers")
    if stored:
        store = parser.add_argument_group("store")
        store.add_argument(
            "--importance-store",
            help="folder in which the importance of words is kept; default: GLUE-DIR, and none for a file of texts",
        )
    computation = parser.add_argument_group("computation")
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")
    return read


def explained_texts(arguments: argparse.Namespace) -> tuple[Classifier, list[str]]:
    """The classifier, and the texts of the split.

    Raises:
        IELError: any problem of the checkpoint or the data; the checkpoint reads enhanced texts; there are no texts
    """
    check_samples(arguments.importance_samples)
    classifier = load_classifier(arguments.path, chosen_device(arguments.cpu))
    classifier.check_plain("explain its extractor, which reads them as they are")
    if not _is_text(arguments.data):
        examples = read_glue(arguments.data, classifier.glue, arguments.gen_subset)
        return classifier, [example.text for example in examples]
    texts = list(input_lines(arguments.data))
    name, sentences = input_name(arguments.data), len(classifier.glue.sentences)
    if not texts:
        raise IELError(f"{name}: holds no texts")
    for number, text in enumerate(texts, start=1):
        if text.count(SEPARATOR) != sentences - 1:
            wanted = "two sentences with a tab between them" if sentences == 2 else "a sentence without tabs"
            raise IELError(f"{name}, line {number:,}: expected {wanted}, which is what {classifier.glue.name} has")
    return classifier, texts


def split_name(arguments: argparse.Namespace) -> str:
    """What messages call the texts."""
    return input_name(arguments.data) if _is_text(arguments.data) else arguments.gen_subset


def _is_text(data: str) -> bool:
    """Whether *data* is a file of texts, or standard input."""
    return data == "-" or os.path.isfile(data)


def explained_by(
    importance: str, arguments: argparse.Namespace, classifier: Classifier, texts: Sequence[str]
) -> ImportanceExtraction:
    """What the explainer called *importance* finds in *texts*."""
    name = f"{classifier.glue.name}.{'texts' if _is_text(arguments.data) else arguments.gen_subset}"
    return ImportanceExtraction(texts, name, classifier, importance, arguments.importance_samples, arguments.seed)


def stores_of(arguments: argparse.Namespace, classifier: Classifier) -> str | None:
    """The folder in which the importance of words is kept; None: it is not."""
    if arguments.importance_store is not None or _is_text(arguments.data):
        return arguments.importance_store
    # Data that are known by a name on the hub have no folder.
    return arguments.data if os.path.isdir(arguments.data) else os.path.dirname(classifier.path)


def found_by(extraction: ImportanceExtraction, arguments: argparse.Namespace) -> list[Explanation]:
    """What *extraction* finds, from the store where there is one."""
    stores = stores_of(arguments, extraction.classifier)
    return extraction.explanations() if stores is None else extraction.stored_explanations(stores)
