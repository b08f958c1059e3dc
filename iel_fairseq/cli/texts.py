"""The texts that a subcommand gives a classifier: a split of GLUE, or one's own, one a line."""

from __future__ import annotations

import os

from iel_fairseq.classification.glue import GlueTask
from iel_fairseq.classification.words import SEPARATOR
from iel_fairseq.cli.files import input_lines, input_name
from iel_fairseq.errors import IELError

OWN_TEXTS = "texts"
"""What stands for a split's name, where they are one's own."""

DATA_HELP = (
    "folder that holds the tasks' folders, or GLUE's name on the hub; or a file of texts, one a line, the two of a "
    "pair with a tab between them; '-': standard input"
)


def are_own(data: str) -> bool:
    """Whether *data* is a file of texts, or standard input."""
    return data == "-" or (os.path.exists(data) and not os.path.isdir(data))  # also one that is a pipe


def own_texts(data: str, glue: GlueTask) -> list[str]:
    """The texts of a file, or of standard input.

    Raises:
        IELError: there are none, or one is not a sentence, or a pair, as *glue* has it
    """
    texts = list(input_lines(data))
    name, sentences = input_name(data), len(glue.sentences)
    if not texts:
        raise IELError(f"{name}: holds no texts")
    for number, text in enumerate(texts, start=1):
        if text.count(SEPARATOR) != sentences - 1:
            wanted = "two sentences with a tab between them" if sentences == 2 else "a sentence without tabs"
            raise IELError(f"{name}, line {number:,}: expected {wanted}, which is what {glue.name} has")
    return texts


def split_of(data: str, subset: str) -> str:
    """What stores, and their log lines, call the texts."""
    return OWN_TEXTS if are_own(data) else subset


def texts_name(data: str, subset: str) -> str:
    """What messages call the texts."""
    return input_name(data) if are_own(data) else f"{data}, {subset}"


def stores_of(given: str | None, data: str, path: str) -> str | None:
    """The folder in which the importance of words is kept; None: it is not.

    Args:
        given: ``--importance-store``
        data: where the texts are
        path: the classifier's checkpoint
    """
    if given is not None or are_own(data):
        return given
    # Data that are known by a name on the hub have no folder.
    return data if os.path.isdir(data) else os.path.dirname(os.path.abspath(path))
