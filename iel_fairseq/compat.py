"""fairseq 0.12 on today's torch: every patch with its reason.

Nothing here changes what fairseq computes, but where it computes wrongly: ``--diverse-beam-groups``, and the batches of
a training that was started again.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from omegaconf import AnyNode, DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata

from iel_fairseq.checkpoint_safety import (
    check_parts,
    check_sums,
    first_that_is_not_finite,
    in_one_line,
    value_of,
    what_is_wrong,
)
from iel_fairseq.errors import IELError, of_another_rank
from iel_fairseq.files import discard_standard_output, no_room, not_written, whole_file
from iel_fairseq.remembered_extractor import look_beside


def hide_broken_torchaudio() -> None:
    """Make a torchaudio that cannot be imported look as if it were not installed.

    fairseq depends on torchaudio, whose wheels are linked against CUDA. Beside a CPU build of torch they raise
    ``OSError`` on import, and transformers, which looks for an installed torchaudio and imports it, fails with
    it. Translation and text classification need no torchaudio.
    """
    try:
        importlib.import_module("torchaudio")
    except ImportError:
        pass  # absent: nothing to hide
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio"] = None  # type: ignore[assignment]  # what import reads as "not found"


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

    load = checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(load)
    def load_checkpoint_to_cpu(path, *args, **kwargs):
        if not os.path.isfile(path):
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
                f"{path}: {broken} holds numbers that are not finite (NaN or infinity): its training went astray; "
                f"take an earlier checkpoint"
            )
        # Of old fairseq's files, which have none, fairseq tells no task: they would go unchecked into an ensemble.
        state["task_state"] = state.get("task_state") or {}
        for memory in state["task_state"].values():
            look_beside(path, memory)
        return state

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


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
        with _written(filename), whole_file(filename, "wb") as file:
            torch.save(obj, file)

    @functools.wraps(copy)
    def whole_copy(src_path, dst_path, overwrite=False):
        if not PathManager.supports_rename(dst_path):
            return copy(src_path, dst_path, overwrite)
        with open(src_path, "rb") as source, _written(dst_path), whole_file(dst_path, "wb") as file:
            shutil.copyfileobj(source, file)
        return dst_path

    @functools.wraps(verify)
    def verify_checkpoint_directory(save_dir):
        with _written(save_dir):
            verify(save_dir)

    checkpoint_utils.torch_persistent_save = torch_persistent_save
    PathManager.copy = staticmethod(whole_copy)
    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory


@contextmanager
def _written(path: str) -> Iterator[None]:
    """Turn what is raised where *path* cannot be written into one line; torch hides it behind an error of its own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        refused = error if isinstance(error, OSError) else error.__context__
        if not isinstance(refused, OSError):
            raise
        raise not_written(path, refused) from error


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
        with in_one_line(filename, "the training cannot go on from it; its model must be that of the options"):
            return go_on(trainer, filename, *args, **kwargs)

    checkpoint_utils.load_model_ensemble_and_task = load_model_ensemble_and_task
    Trainer.load_checkpoint = load_checkpoint


def run_no_settings() -> None:
    """Read settings such as ``[(512, 3)] * 9`` without ``eval``, which fairseq calls on those of checkpoints as well.

    The layers of a ConvS2S in a file from somewhere could be any program.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("fairseq."):
            vars(module)["eval"] = value_of


def let_ranks_share_a_checkpoint() -> None:
    """Let the safe loader take what one rank of a distributed training sends to the others.

    fairseq's first rank reads a checkpoint and broadcasts it, its settings by now turned into omegaconf's types.
    Those are named to the safe loader for the broadcast only: no file may hold them.
    """
    from fairseq.distributed import utils as distributed_utils

    sent = [DictConfig, ListConfig, AnyNode, ContainerMetadata, Metadata, Any, defaultdict, dict, list, int]
    sent += [distributed_utils._TensorPlaceholder]
    broadcast = distributed_utils._broadcast_object_slow

    @functools.wraps(broadcast)
    def broadcast_object(*args, **kwargs):
        with torch.serialization.safe_globals(sent):
            return broadcast(*args, **kwargs)

    distributed_utils._broadcast_object_slow = broadcast_object


def let_ranks_connect_when_they_begin() -> None:
    """Let a rank notice within a second that another one has ended.

    It does when it waits for one that it is connected to. fairseq's group is connected when the validation data are
    loaded, with all that extraction may take: one that is gone by then was waited for, for half an hour.
    """
    from fairseq.distributed import utils as distributed_utils

    init = distributed_utils.distributed_init

    @functools.wraps(init)
    def distributed_init(cfg):
        rank = init(cfg)
        if torch.distributed.is_initialized():
            distributed_utils.get_data_parallel_group()
        return rank

    distributed_utils.distributed_init = distributed_init


def let_ranks_without_gpu_gather() -> None:
    """Let ranks on the CPU gather what cannot be summed, such as the predictions behind a rank correlation.

    fairseq makes the buffers for it on the GPU, also where there is none.
    """
    from fairseq.distributed import utils as distributed_utils

    gather = distributed_utils.all_gather_list

    @functools.wraps(gather)
    def all_gather_list(data, group=None, max_size=16384):
        if not torch.cuda.is_available():
            ranks = distributed_utils.get_world_size(group or distributed_utils.get_global_group())
            all_gather_list._buffer = torch.empty(max_size * ranks, dtype=torch.uint8)
            all_gather_list._cpu_buffer = torch.empty(max_size, dtype=torch.uint8)
        return gather(data, group=group, max_size=max_size)

    distributed_utils.all_gather_list = all_gather_list


def look_for_more_validation_sets_in_folders_only() -> None:
    """fairseq lists the data folder, which may be missing, as the task says by itself, or be a name on the hub."""
    from fairseq.data import data_utils

    find = data_utils._find_extra_valid_paths
    data_utils._find_extra_valid_paths = lambda path: find(path) if os.path.isdir(path.split(":")[0]) else set()


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


def let_diverse_beams_decode_any_batch() -> None:
    """Let ``--diverse-beam-groups`` find the sentences of a batch by their rows.

    fairseq looks up what a sentence's groups have in common in a tensor with a row for each sentence of the batch, by
    the number that the sentence has in the data set: an ``IndexError``, or the row of another sentence.
    """
    from fairseq.search import DiverseBeamSearch

    search = DiverseBeamSearch.step

    @functools.wraps(search)
    def step(self, time, lprobs, scores, prev_output_tokens=None, original_batch_idxs=None):
        if time == 0:
            self.sentences = original_batch_idxs  # all of the batch; later without those that have ended
        rows = original_batch_idxs.unsqueeze(1).eq(self.sentences).int().argmax(dim=1)
        return search(self, time, lprobs, scores, prev_output_tokens, rows)

    DiverseBeamSearch.step = step


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


def print_our_errors_as_one_line() -> None:
    """Print an uncaught :class:`IELError` as its line alone: a traceback into fairseq helps no user.

    Likewise what a rank of a distributed training meets when another one has ended, which is no fault of its own, and
    a full disk wherever fairseq meets it.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if of_another_rank(error):
            error = IELError(
                f"another rank has ended, or cannot be reached; its log says why; start all ranks again, and they go "
                f"on from the last checkpoint ({str(error).partition(chr(10))[0]})"
            )
        if isinstance(error, OSError) and no_room(error):
            if error.filename is None:
                discard_standard_output()  # it would raise again when the interpreter closes it, perhaps
            error = not_written("the output", error)
        if isinstance(error, IELError):
            print(f"iel_fairseq: error: {error}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


def apply() -> None:
    hide_broken_torchaudio()
    let_safe_loader_read_fairseq()
    explain_unreadable_checkpoints()
    explain_unusable_checkpoints()
    run_no_settings()
    write_checkpoints_whole()
    let_ranks_share_a_checkpoint()
    let_ranks_connect_when_they_begin()
    let_ranks_without_gpu_gather()
    tell_tasks_that_a_round_begins()
    let_a_restart_make_the_same_batches()
    let_diverse_beams_decode_any_batch()
    let_bf16_do_without_a_tpu()
    look_for_more_validation_sets_in_folders_only()
    print_our_errors_as_one_line()
