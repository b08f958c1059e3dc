"""Write a classifier's checkpoint as a folder of the transformers library.

    iel export-hf --path finetuned.pt --output FOLDER

``AutoModelForSequenceClassification.from_pretrained(FOLDER)`` and ``AutoTokenizer`` load it. A model that was
fine-tuned on enhanced texts wants their important word at the end there, too.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from typing import Any

import torch

from iel_fairseq.classification.classifier import load_classifier
from iel_fairseq.errors import IELError
from iel_fairseq.files import writing

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("--path", required=True, help="checkpoint of the classifier")
    written = parser.add_argument_group("output")
    written.add_argument("--output", required=True, help="folder to write, which must not be there yet")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: any problem of the checkpoint, or the folder is there or cannot be written
    """
    folder = arguments.output.rstrip("/")
    if os.path.exists(folder):
        raise IELError(f"{folder}: is there already; remove it, or give another folder")
    classifier = load_classifier(arguments.path, torch.device("cpu"))
    model = classifier.model
    part = f"{folder}.part"
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        hf: Any = model.hf
        hf.save_pretrained(part)
        model.tokenizer.save_pretrained(part)
        os.replace(part, folder)
    logger.info(f"{folder}: written")
    if classifier.importance is not None:
        logger.warning(
            f"{folder}: this model reads texts with their important word at the end, which {classifier.importance} "
            f"found in training; of plain texts it may say something else"
        )
