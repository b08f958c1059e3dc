"""A training: its loop, its options, and the sets that it reads."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from contextlib import suppress
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


def keep_trainings_apart() -> None:
    """Refuse a training into the ``--save-dir`` of another one that runs: both would write the same checkpoints.

    It is refused before the training set is read. The rank that writes has the lock as long as it has its trainer.
    """
    from fairseq.distributed.utils import is_master
    from fairseq.trainer import Trainer

    from iel_fairseq.errors import IELError
    from iel_fairseq.files import got_lock

    make = Trainer.__init__

    @functools.wraps(make)
    def make_alone(trainer, *args, **kwargs):
        make(trainer, *args, **kwargs)
        options = trainer.cfg.checkpoint
        if options.no_save or not is_master(trainer.cfg.distributed_training):
            return
        with suppress(OSError):  # a file system without locks
            lock = open(os.path.join(options.save_dir, "training.lock"), "ab")  # noqa: SIM115  (the trainer's)
            trainer.save_dir_lock = lock
            if not got_lock(lock):
                raise IELError(
                    f"{options.save_dir}: another training writes into it; wait for that, or give another --save-dir"
                )

    Trainer.__init__ = make_alone


def let_a_restart_make_the_same_batches() -> None:
    """Make the batches of a training that goes on those of one that nobody interrupted.

    fairseq makes them once, from a seed with the epoch in it, and keeps them for all epochs: those of the first epoch,
    but in a training that was started again in epoch 5 those of the fifth, with other sentences together.
    """
    from fairseq.tasks import FairseqTask

    get = FairseqTask.get_batch_iterator
    signature = inspect.signature(get)

    @functools.wraps(get)
    def get_batch_iterator(task, dataset, *args, **kwargs):
        given = signature.bind(task, dataset, *args, **kwargs)
        given.apply_defaults()
        options = given.arguments
        anew = options["disable_iterator_cache"] or options["update_epoch_batch_itr"]
        if anew or not task.can_reuse_epoch_itr(dataset):
            return get(task, dataset, *args, **kwargs)
        kept = dataset in task.dataset_to_epoch_iter
        epoch, options["epoch"] = options["epoch"], 1
        iterator = get(*given.args, **given.kwargs)
        if not kept:
            iterator.epoch = epoch
            dataset.set_epoch(epoch)
        return iterator

    FairseqTask.get_batch_iterator = get_batch_iterator


def let_curricula_end() -> None:
    """Shuffle in the epochs behind those of ``--curriculum``.

    fairseq keeps its sampler for all epochs, and that does what it was told for the first one; in a training that was
    started again, the first since then.
    """
    from fairseq.data.iterators import EpochBatchIterator

    get = EpochBatchIterator._get_iterator_for_epoch

    @functools.wraps(get)
    def _get_iterator_for_epoch(iterator, epoch, shuffle, *args, **kwargs):
        if hasattr(iterator, "epoch_batch_sampler"):
            iterator.epoch_batch_sampler.shuffle = shuffle
        return get(iterator, epoch, shuffle, *args, **kwargs)

    EpochBatchIterator._get_iterator_for_epoch = _get_iterator_for_epoch


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
    signature = inspect.signature(load)

    @functools.wraps(load)
    def load_langpair_dataset(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        if given.arguments["upsample_primary"] == -1:
            given.arguments["upsample_primary"] = 1
        return load(*given.args, **given.kwargs)

    translation.load_langpair_dataset = load_langpair_dataset


def look_at_sets_before_they_are_read() -> None:
    """Say in one line what is wrong with the files of a set, which fairseq believes until it comes to what is missing.

    For the task ``translation``, and those that load their sets as it does.
    """
    from fairseq.tasks import translation

    from iel_fairseq.binarised_set import check_split

    load = translation.load_langpair_dataset

    @functools.wraps(load)
    def look_and_load(data_path, split, src, src_dict, tgt, tgt_dict, combine, dataset_impl, *args, **kwargs):
        check_split(data_path, split, (src, tgt), (src_dict, tgt_dict), combine, dataset_impl)
        return load(data_path, split, src, src_dict, tgt, tgt_dict, combine, dataset_impl, *args, **kwargs)

    translation.load_langpair_dataset = look_and_load


def training_command() -> Any:
    """The module of ``fairseq-train``, where it has been imported, else None."""
    running = sys.modules["__main__"]  # where it was started with python -m
    is_it = running.__spec__ is not None and running.__spec__.name == "fairseq_cli.train"
    return running if is_it else sys.modules.get("fairseq_cli.train")


def remember_patience() -> None:
    """Let a training that was started again have as much of its ``--patience`` left as it had.

    fairseq counts validations that have brought nothing, but does not write their number into checkpoints. It, and the
    best score, fairseq keeps for the next training of the same process, as the jobs of a hydra multirun are.
    """
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    from iel_fairseq.training_start import resumed_checkpoint

    command = training_command()
    if command is None:
        return
    spent = command.should_stop_early  # fairseq keeps the best score, and the number, as this function's attributes
    save, load = Trainer.save_checkpoint, checkpoint_utils.load_checkpoint

    @functools.wraps(save)
    def save_checkpoint(trainer, filename, extra_state):
        if hasattr(spent, "num_runs"):
            extra_state = {**extra_state, "patience": {"best": float(spent.best), "num_runs": spent.num_runs}}
        return save(trainer, filename, extra_state)

    @functools.wraps(load)
    def load_checkpoint(cfg, trainer, **options):
        goes_on = resumed_checkpoint(cfg) is not None and not (cfg.reset_optimizer or cfg.reset_meters)
        for function in (checkpoint_utils.save_checkpoint, spent):  # what another training has left
            for name in ("best", "num_runs"):
                vars(function).pop(name, None)
        extra_state, epoch_itr = load(cfg, trainer, **options)
        if goes_on:
            vars(spent).update((extra_state or {}).get("patience", {}))
        return extra_state, epoch_itr

    Trainer.save_checkpoint = save_checkpoint
    checkpoint_utils.load_checkpoint = load_checkpoint


def end_where_a_training_has_ended() -> None:
    """Let a training that has come to ``--max-update``, or whose ``--patience`` is spent, end at once when it is
    started again.

    fairseq looks after each update, and each validation, only: one more, and other checkpoints than those of which
    others may have been fine-tuned.
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
        patience, in_vain = cfg.checkpoint.patience, getattr(command.should_stop_early, "num_runs", 0)
        if 0 < patience <= in_vain:
            logger.info(f"--patience {patience}: {in_vain} validations have brought nothing; nothing is left to do")
            return [None], True
        return train(cfg, trainer, task, epoch_itr)

    command.train = train_if_not_finished
