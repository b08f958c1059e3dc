"""What the subcommands that explain a classifier's predictions have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from iel_fairseq.classification.checkpoint import load_classifier
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.importance import ImportanceExtraction, check_samples
from iel_fairseq.cli.texts import add_store, add_texts, read_texts, split_of
from iel_fairseq.device import chosen_device
from iel_fairseq.explainers import EXPLAINERS


def add_explained_texts(
    parser: argparse.ArgumentParser, importance: list[str], *, stored: bool
) -> argparse._ArgumentGroup:
    """Add the arguments that say what is explained, by which explainers, by default those of *importance*, and, where
    what is found is *stored*, in which folder.

    Returns:
        the group of the former
    """
    read = add_texts(parser, "valid")
    explainers = parser.add_argument_group("explainers")
    explainers.add_argument(
        "--importance", nargs="+", choices=list(EXPLAINERS), default=importance, help="measures of importance"
    )
    explainers.add_argument("--importance-samples", type=int, help="perturbations of a text; default: each package's")
    explainers.add_argument("--seed", type=int, default=1, help="of the explainers")
    if stored:
        add_store(parser)
    computation = parser.add_argument_group("computation")
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")
    return read


def explained_texts(arguments: argparse.Namespace) -> tuple[Classifier, list[str]]:
    """The classifier, and the texts of the split as they are written.

    Raises:
        IELError: any problem of the checkpoint or the data; the checkpoint reads enhanced texts; there are no texts
    """
    check_samples(arguments.importance_samples)
    classifier = load_classifier(arguments.path, chosen_device(arguments.cpu))
    classifier.check_plain("explain its extractor, which reads them as they are")
    return classifier, [example.text for example in read_texts(arguments, classifier.glue)]


def explained_by(
    importance: str, arguments: argparse.Namespace, classifier: Classifier, texts: Sequence[str]
) -> ImportanceExtraction:
    """What the explainer called *importance* finds in *texts*."""
    name = f"{classifier.glue.name}.{split_of(arguments)}"
    return ImportanceExtraction(texts, name, classifier, importance, arguments.importance_samples, arguments.seed)
