"""The loop of a training."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Any

logger = logging.getLogger(__name__)


def tell_tasks_that_a_round_begins() -> None:
    """Call a task's ``begin_round(trainer)``, where it has one, at the beginning of each epoch.

    A round of bootstrapping goes on from the best checkpoint, as a restart does. That is the trainer's work, which
    knows its task but is not known to it.
    """
    from fairseq.trainer import Trainer

    begin = Trainer.begin_epoch

    @functools.wraps(begin)
    def begin_epoch(trainer, epoch):
        if hasattr(trainer.task, "begin_round"):
            trainer.task.begin_round(trainer)
        begin(trainer, epoch)

    Trainer.begin_epoch = begin_epoch


def let_a_restart_make_the_same_batches() -> None:
    """Make the batches of a training that goes on those of one that nobody interrupted.

    fairseq makes them once, from a seed with the epoch in it, and keeps them for all epochs: those of the first epoch,
    but in a training that was started again in epoch 5 those of the fifth, with other sentences together.
    """
    from fairseq.tasks import FairseqTask

    get = FairseqTask.get_batch_iterator

    @functools.wraps(get)
    def get_batch_iterator(task, dataset, *args, epoch=1, **kwargs):
        anew = kwargs.get("disable_iterator_cache") or kwargs.get("update_epoch_batch_itr")
        if anew or not task.can_reuse_epoch_itr(dataset):
            return get(task, dataset, *args, epoch=epoch, **kwargs)
        kept = dataset in task.dataset_to_epoch_iter
        iterator = get(task, dataset, *args, epoch=1, **kwargs)
        if not kept:
            iterator.epoch = epoch
            dataset.set_epoch(epoch)
        return iterator

    FairseqTask.get_batch_iterator = get_batch_iterator


def let_bf16_do_without_a_tpu() -> None:
    """Let ``--bf16`` train on a GPU or a CPU.

    fairseq takes it for ``--tpu`` as well, which ends with an ``AttributeError`` where torch_xla is not installed.
    """
    from fairseq import options, utils

    parse = options.parse_args_and_arch

    @functools.wraps(parse)
    def parse_args_and_arch(*args, **kwargs):
        parsed = parse(*args, **kwargs)
        namespace = parsed[0] if isinstance(parsed, tuple) else parsed
        if getattr(namespace, "bf16", False) and utils.xm is None:  # some commands parse only what was given
            namespace.tpu = False
        return parsed

    options.parse_args_and_arch = parse_args_and_arch


def look_for_more_validation_sets_in_folders_only() -> None:
    """fairseq lists the data folder, which may be missing, as the task says by itself, or be a name on the hub."""
    from fairseq.data import data_utils

    find = data_utils._find_extra_valid_paths
    data_utils._find_extra_valid_paths = lambda path: find(path) if os.path.isdir(path.split(":")[0]) else set()


def join_sets_as_they_are() -> None:
    """Let a translation task read ``train`` with ``train1``, and, where asked, ``valid`` with ``valid1``.

    fairseq's default for ``--upsample-primary``, how often it reads the first one, is -1, with which it can read none.
    """
    from fairseq.tasks import translation

    load = translation.load_langpair_dataset

    @functools.wraps(load)
    def load_langpair_dataset(*args, upsample_primary=1, **kwargs):
        return load(*args, upsample_primary=1 if upsample_primary == -1 else upsample_primary, **kwargs)

    translation.load_langpair_dataset = load_langpair_dataset


def training_command() -> Any:
    """The module of ``fairseq-train``, where it has been imported, else None."""
    running = sys.modules["__main__"]  # where it was started with python -m
    is_it = running.__spec__ is not None and running.__spec__.name == "fairseq_cli.train"
    return running if is_it else sys.modules.get("fairseq_cli.train")


def end_where_the_last_update_was() -> None:
    """Let a training that has come to ``--max-update`` end at once when it is started again.

    fairseq looks after each update only: one more, and other checkpoints than those of which others may have been
    fine-tuned.
    """
    command = training_command()
    if command is None:
        return
    train = command.train

    @functools.wraps(train)
    def train_if_not_finished(cfg, trainer, task, epoch_itr):
        limit, done = cfg.optimization.max_update, trainer.get_num_updates()
        if 0 < limit <= done:
            logger.info(f"--max-update {limit}: {done} updates are done; nothing is left to do")
            return [None], True
        return train(cfg, trainer, task, epoch_itr)

    command.train = train_if_not_finished
