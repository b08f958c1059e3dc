"""The extractor M: a trained checkpoint, who it is, and whether it fits the data."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from fairseq import checkpoint_utils, models, quantization_utils
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.models.transformer import TransformerDecoderBase
from fairseq.tasks import FairseqTask

from iel_fairseq.attention_words import check_extractor
from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.data_folder import first_folder, language_pairs
from iel_fairseq.dictionaries import dictionary_fingerprint, first_difference, read_dictionary
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.remembered_extractor import checkpoint_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extractor:
    """A model to read attention from, ready for inference, with its identity.

    Attributes:
        model: in eval mode, on the CPU when loaded
        path: absolute path of the checkpoint
        sha256: of the checkpoint file
        round: the bootstrapping round that made it; 0 for plain fairseq's
    """

    model: FairseqEncoderDecoderModel
    path: str
    sha256: str
    round: int


def load_extractor(
    path: str, task: FairseqTask, layer: int | None = None, heads: Sequence[int] | None = None
) -> Extractor:
    """Load the extractor at *path* for the data of *task*.

    Args:
        path: a checkpoint of one of fairseq's encoder-decoder models
        task: a translation task, for its dictionaries and languages
        layer: the decoder layer that will be read
        heads: the attention heads that will be read

    Raises:
        IELError: missing, damaged or hostile file; other languages or dictionaries than the data's; no such
            layer or head; a model without readable attention
    """
    path = os.path.abspath(path)
    sha256 = checkpoint_sha256(path, "extractor")
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    cfg = state["cfg"]
    with in_one_line(path, "no extractor can be made of its settings and weights"):
        enhancement = _with_data(Enhancement.of_training(state), task)
        _check_languages(path, task, enhancement)
        _check_dictionaries(path, task, state["model"], enhancement)
        with torch.random.fork_rng(devices=[]):  # sampling draws what it draws without an extractor
            model = models.build_model(cfg.model, task, from_checkpoint=True)
            model = quantization_utils.quantize_model_scalar(model, cfg.model)  # as fairseq's tasks do
        model.load_state_dict(state["model"], strict=True, model_cfg=cfg.model)
    check_extractor(model, layer, heads)
    model.eval()
    # As fairseq-generate does. A Transformer computes attention for the layer asked for, others only if told.
    model.make_generation_fast_(need_attn=not isinstance(model.decoder, TransformerDecoderBase))
    return Extractor(model, path, sha256, enhancement.round)


def _check_languages(path: str, task: FairseqTask, enhancement: Enhancement) -> None:
    theirs = (enhancement.source_lang, enhancement.target_lang)
    ours = (task.cfg.source_lang, task.cfg.target_lang)
    if None not in theirs and theirs != ours:
        raise IELError(
            f"{path}: the extractor translates {theirs[0]}-{theirs[1]}, the data are {ours[0]}-{ours[1]}; "
            f"give an extractor of that pair"
        )


def _with_data(enhancement: Enhancement, task: FairseqTask) -> Enhancement:
    """With the languages of its data folder, where fairseq found them there.

    Folder and languages are None where they are not known: a relative path may lead to another folder now, and a folder
    may hold several pairs.
    """
    languages, folder = (enhancement.source_lang, enhancement.target_lang), enhancement.data
    ours = os.path.realpath(first_folder(task.cfg.data))
    if folder is None or not os.path.isdir(folder) or not (os.path.isabs(folder) or os.path.realpath(folder) == ours):
        folder = None
    if None in languages and folder is not None:
        pairs = language_pairs(folder)
        languages = pairs.pop() if len(pairs) == 1 else (None, None)
    return replace(enhancement, data=folder, source_lang=languages[0], target_lang=languages[1])


def _check_dictionaries(path: str, task: FairseqTask, weights: dict[str, Any], enhancement: Enhancement) -> None:
    """Compare what the checkpoint lets us know of its dictionaries with the data's.

    It holds none: sizes are in the weights, entries in its own data folder, when that is still there, and a
    fingerprint in checkpoints that were trained with this package's ``--user-dir``.
    """
    for side, half in (("source", "encoder"), ("target", "decoder")):
        ours: Dictionary = getattr(task, f"{side}_dictionary")
        theirs = _dictionary_in(enhancement.data, getattr(enhancement, f"{side}_lang"))
        difference = None if theirs is None else first_difference(theirs, ours)
        embedding = weights.get(f"{half}.embed_tokens.weight")
        fingerprint = getattr(enhancement, f"{side}_dictionary")
        if embedding is not None and embedding.size(0) != len(ours):
            difference = f"{embedding.size(0)} entries, the data's has {len(ours)}" + (
                f"; {difference}" if difference else ""
            )
        elif fingerprint is not None and fingerprint == dictionary_fingerprint(ours):
            difference = None  # whatever has become of its data folder since
        elif fingerprint is not None:
            difference = difference or "their fingerprints differ"
        elif theirs is None:
            logger.warning(
                f"{path}: whether its {side} dictionary is the data's, its size alone says: it does not remember its "
                f"dictionaries, and its data folder has none, or is not known"
            )
        if difference:
            raise IELError(
                f"{path}: the extractor's {side} dictionary is not the data's: {difference}; "
                f"binarise the data with the extractor's dictionaries (fairseq-preprocess --srcdict --tgtdict)"
            )


def _dictionary_in(folder: str | None, language: str | None) -> Dictionary | None:
    file = os.path.join(folder or "", f"dict.{language}.txt")
    return read_dictionary(file) if folder is not None and os.path.isfile(file) else None
