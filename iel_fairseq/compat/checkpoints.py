"""Checkpoints: what is read of them, and how they are written."""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import sys
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from omegaconf import DictConfig

from iel_fairseq.checkpoint_safety import (
    check_parts,
    check_sums,
    first_that_is_not_finite,
    in_one_line,
    value_of,
    what_is_wrong,
)
from iel_fairseq.errors import IELError
from iel_fairseq.files import whole_file, writing
from iel_fairseq.remembered_extractor import look_beside


def let_safe_loader_read_fairseq() -> None:
    """Name to torch's safe loader the few harmless types that plain fairseq writes into checkpoints.

    Since torch 2.6 ``torch.load`` reads data only and refuses every type that it was not told of.
    fairseq writes ``argparse.Namespace`` (options) and numpy numbers and arrays (the BLEU counts of
    ``--eval-bleu``). Constructing these runs no code of the file's choosing. The safe loader stays on.
    """
    numbers = [type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64")]
    harmless: list[Any] = [argparse.Namespace, np.ndarray, np.dtype, *numbers]
    for function in (multiarray._reconstruct, multiarray.scalar):
        # files written with numpy 1 name the same functions by their old module
        harmless += [function, (function, f"numpy.core.multiarray.{function.__name__}")]
    torch.serialization.add_safe_globals(harmless)


def explain_unreadable_checkpoints() -> None:
    """Turn a checkpoint that cannot be read, carries more than data, or whose weights are no numbers, into one line.

    ``torch.load`` answers a truncated file, a text file and a hostile pickle with different exceptions from deep
    inside, one of which advises to turn the safe loader off; flipped bits in the weights it does not see at all. With
    weights that are not finite fairseq decodes all the same, and prints what comes out.
    """
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    load = checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(load)
    def load_checkpoint_to_cpu(path, *args, **kwargs):
        if os.path.isdir(path):
            raise IELError(f"{path}: a folder; give a checkpoint file")
        if not PathManager.isfile(path):
            raise IELError(f"{path}: no such checkpoint file")
        try:
            check_sums(path)
            state = load(path, *args, **kwargs)
        except Exception as error:  # a damaged pickle can raise anything
            raise IELError(f"{path}: {what_is_wrong(error)}") from error
        try:
            check_parts(state)
        except ValueError as error:
            raise IELError(f"{path}: not a fairseq checkpoint ({error})") from error
        if broken := first_that_is_not_finite(state["model"]):
            raise IELError(
                f"{path}: {broken} holds numbers that are not finite (NaN or infinity): its training diverged; "
                f"take an earlier checkpoint"
            )
        # Of old fairseq's files, which have none, fairseq tells no task: they would go unchecked into an ensemble.
        state["task_state"] = state.get("task_state") or {}
        for memory in state["task_state"].values():
            look_beside(path, memory)
        return state

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def let_options_of_a_training_ask_for_no_extractor() -> None:
    """Leave out of a checkpoint's options, with which fairseq-validate and the hub decode, what extractor was given,
    and where the importance of words was kept.

    It made the words of the first round only, and may have been named in another folder. The checkpoint remembers what
    made the words of its model. What is left in the options is what was asked for now.
    """
    from fairseq import checkpoint_utils

    load = checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(load)
    def load_checkpoint_to_cpu(path, arg_overrides=None, *args, **kwargs):
        state = load(path, arg_overrides, *args, **kwargs)
        options, asked = state["cfg"].get("task"), arg_overrides or {}
        if isinstance(options, DictConfig):
            for option in ("attn_model", "importance_model", "importance_store"):
                if option in options and option not in asked and option not in (asked.get("task") or {}):
                    options[option] = None
        return state

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def explain_unusable_checkpoints() -> None:
    """Turn a checkpoint whose parts do not fit each other, or the training, into one line.

    fairseq builds a model of a checkpoint's settings and finds out only then what they are; why weights do not fit a
    training it hides.
    """
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    load_model, go_on = checkpoint_utils.load_model_ensemble_and_task, Trainer.load_checkpoint

    @functools.wraps(load_model)
    def load_model_ensemble_and_task(filenames, *args, **kwargs):
        with in_one_line(", ".join(filenames), "no model can be made of its settings and weights"):
            try:
                return load_model(filenames, *args, **kwargs)
            except OSError as error:
                if missing := re.fullmatch(r"Model file not found: (.*)", str(error)):
                    raise IELError(f"{missing[1]}: no such checkpoint file") from error
                raise

    @functools.wraps(go_on)
    def load_checkpoint(trainer, filename, *args, **kwargs):
        with in_one_line(filename, "the training cannot go on from it with these options"):
            try:
                return go_on(trainer, filename, *args, **kwargs)
            except KeyError as error:
                if trainer.cfg.ema.store_ema and error.args == ("model",):  # which fairseq has deleted by then
                    raise IELError(
                        f"{filename}: was trained without --store-ema, and fairseq cannot begin with that later; "
                        f"leave it out"
                    ) from error
                raise

    checkpoint_utils.load_model_ensemble_and_task = load_model_ensemble_and_task
    Trainer.load_checkpoint = load_checkpoint


def run_no_settings() -> None:
    """Read settings such as ``[(512, 3)] * 9`` without ``eval``, which fairseq calls on those of checkpoints as well.

    The layers of a ConvS2S in a file from somewhere could be any program.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("fairseq."):
            vars(module)["eval"] = value_of


def write_checkpoints_whole() -> None:
    """Write a checkpoint under a temporary name first, and answer a full disk with one line.

    fairseq copies a checkpoint into ``checkpoint_last.pt``, over the one that is there: killed meanwhile, or on a full
    disk, it leaves half a file, from which no training goes on. What cannot be saved it appends twice more to what it
    has written of it, and ends with a traceback.
    """
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    save, copy, verify = (
        checkpoint_utils.torch_persistent_save,
        PathManager.copy,
        checkpoint_utils.verify_checkpoint_directory,
    )

    @functools.wraps(save)
    def torch_persistent_save(obj, filename, async_write=False):
        if async_write or not PathManager.supports_rename(filename):
            save(obj, filename, async_write)
            return
        with writing(filename), whole_file(filename, "wb") as file:
            torch.save(obj, file)

    @functools.wraps(copy)
    def whole_copy(src_path, dst_path, overwrite=False):
        if not PathManager.supports_rename(dst_path):
            return copy(src_path, dst_path, overwrite)
        with open(src_path, "rb") as source, writing(dst_path), whole_file(dst_path, "wb") as file:
            shutil.copyfileobj(source, file)
        return dst_path

    @functools.wraps(verify)
    def verify_checkpoint_directory(save_dir):
        with writing(save_dir):
            verify(save_dir)

    checkpoint_utils.torch_persistent_save = torch_persistent_save
    PathManager.copy = staticmethod(whole_copy)
    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory


def remember_the_data_of_plain_trainings() -> None:
    """Let checkpoints of the task ``translation`` remember languages, dictionaries and data folder as ours do.

    fairseq's hold the options alone: no languages where it found them in the data folder, and a path to that which may
    be relative. Whether such a model fits other data, as an extractor, its size says at most.
    """
    from fairseq.tasks.translation import TranslationTask

    from iel_fairseq.enhancement import Enhancement

    init = TranslationTask.__init__

    @functools.wraps(init)
    def init_and_remember(task, cfg, src_dict, tgt_dict):
        init(task, cfg, src_dict, tgt_dict)
        if type(task) is TranslationTask and cfg.data and src_dict is not None and tgt_dict is not None:
            task.state.merge_state_dict(Enhancement.of_data(cfg, src_dict, tgt_dict).to_task_state())

    TranslationTask.__init__ = init_and_remember
