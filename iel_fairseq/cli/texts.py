"""The texts that a subcommand gives a classifier: a split of GLUE, or one's own, one per line."""

from __future__ import annotations

import argparse
import glob
import os

from iel_fairseq.classification.glue import FILES, Example, GlueTask, read_glue
from iel_fairseq.classification.importance import store_folder
from iel_fairseq.classification.words import SEPARATOR
from iel_fairseq.cli.files import input_lines, input_name
from iel_fairseq.errors import IELError

OWN_TEXTS = "texts"
"""What stands for a split's name, where they are one's own."""


def add_texts(parser: argparse.ArgumentParser, subset: str) -> argparse._ArgumentGroup:
    """Add the arguments that say which texts, by default those of the split *subset*, and which classifier.

    Returns:
        their group
    """
    read = parser.add_argument_group("input")
    read.add_argument(
        "data",
        metavar="GLUE-DIR",
        help="folder that holds the tasks' folders, or GLUE's name on the hub; or a file of texts, one per line, the "
        "two of a pair with a tab between them; '-': standard input",
    )
    read.add_argument("--path", required=True, help="checkpoint of the classifier")
    read.add_argument("--gen-subset", default=subset, help="split of GLUE-DIR: train, valid or test")
    return read


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where what is found in them is kept."""
    store = parser.add_argument_group("store")
    store.add_argument(
        "--importance-store",
        help="folder in which the importance of words is kept; default: GLUE-DIR, and none for a file of texts",
    )


def read_texts(arguments: argparse.Namespace, glue: GlueTask) -> list[Example]:
    """The texts as they are written, with labels where they have any.

    Raises:
        IELError: there are none, or one is not as *glue* has it
    """
    if are_own(arguments.data):
        return [Example(text, None) for text in _own_texts(arguments.data, glue)]
    return read_glue(arguments.data, glue, arguments.gen_subset)


def files_of(arguments: argparse.Namespace) -> list[str]:
    """The checkpoint, and the files that the texts may come from, packed or not, there or not: no output may have their
    names."""
    if are_own(arguments.data):
        return [arguments.path, arguments.data]
    folders = glob.glob(os.path.join(glob.escape(arguments.data), "*", ""))
    endings = [f"{name}{packed}" for name in FILES.values() for packed in ("", ".gz", ".xz")]
    return [arguments.path, *(f"{folder}{ending}" for folder in folders for ending in endings)]


def are_own(data: str) -> bool:
    """Whether *data* is a file of texts, or standard input."""
    return data == "-" or (os.path.exists(data) and not os.path.isdir(data))  # also one that is a pipe


def _own_texts(data: str, glue: GlueTask) -> list[str]:
    texts = list(input_lines(data))
    name, sentences = input_name(data), len(glue.sentences)
    if not texts:
        raise IELError(f"{name}: holds no texts")
    for number, text in enumerate(texts, start=1):
        if text.count(SEPARATOR) != sentences - 1:
            wanted = "two sentences with a tab between them" if sentences == 2 else "a sentence without tabs"
            raise IELError(f"{name}, line {number:,}: expected {wanted}, which is what {glue.name} has")
    return texts


def split_of(arguments: argparse.Namespace) -> str:
    """What stores, and their log lines, call the texts."""
    return OWN_TEXTS if are_own(arguments.data) else arguments.gen_subset


def texts_name(arguments: argparse.Namespace) -> str:
    """What messages call the texts."""
    data = arguments.data
    return input_name(data) if are_own(data) else f"{data}, {arguments.gen_subset}"


def stores_of(arguments: argparse.Namespace, remembered: str | None = None) -> str | None:
    """The folder in which the importance of words is kept, *remembered* by the checkpoint or not; None: it is not."""
    if are_own(arguments.data):
        return arguments.importance_store
    beside = os.path.dirname(os.path.abspath(arguments.path))
    return store_folder(arguments.importance_store, remembered, arguments.data, otherwise=beside)
