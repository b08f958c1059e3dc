"""Write a classifier's checkpoint as a folder of Hugging Face Transformers.

    iel export-hf --path finetuned.pt --output FOLDER

``AutoModelForSequenceClassification.from_pretrained(FOLDER)`` and ``AutoTokenizer`` load it. A model that was
fine-tuned on enhanced texts needs their important word at the end there, too.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from iel_fairseq.classification.checkpoint import load_classifier
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
    if os.path.lexists(part):
        raise IELError(f"{part}: is there already, perhaps of an export that was killed; remove it")
    hf: Any = model.hf
    try:
        with writing(folder):
            os.makedirs(part)
            hf.save_pretrained(part)
            model.tokenizer.save_pretrained(part)
            for weights in Path(part).glob("*.safetensors"):  # which would be for their owner alone
                shutil.copymode(os.path.join(part, "config.json"), weights)
            os.replace(part, folder)
    except SafetensorError as error:
        raise IELError(f"{folder}: cannot be written ({error}); free space there, or name another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)  # where the disk is full, its space is wanted
    logger.info(f"{folder}: written")
    if classifier.importance is not None:
        logger.warning(
            f"{folder}: this model reads texts with their important word at the end, which {classifier.importance} "
            f"found in training; of plain texts it may say something else"
        )
