"""fairseq 0.12 on today's torch: every patch with its reason.

Nothing here changes what fairseq computes, but for ``--diverse-beam-groups``, which it computes wrongly.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import pickle
import re
import sys
from collections import defaultdict
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from omegaconf import AnyNode, DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata

from iel_fairseq.errors import IELError


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
    inside, one of which advises to turn the safe loader off. With weights that are not finite fairseq decodes all the
    same, and prints what comes out.
    """
    from fairseq import checkpoint_utils

    load = checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(load)
    def load_checkpoint_to_cpu(path, *args, **kwargs):
        if not os.path.isfile(path):
            raise IELError(f"{path}: no such checkpoint file")
        try:
            state = load(path, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
            raise IELError(f"{path}: {_what_is_wrong_with_the_file(error)}") from error
        if not isinstance(state, dict) or "model" not in state:
            raise IELError(f"{path}: not a fairseq checkpoint (it holds no model)")
        if broken := _first_that_is_not_finite(state["model"]):
            raise IELError(
                f"{path}: {broken} holds numbers that are not finite (NaN or infinity): its training went astray; "
                f"take an earlier checkpoint"
            )
        return state

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def _first_that_is_not_finite(weights: dict[str, Any]) -> str | None:
    """The name of the first of *weights* that holds NaN or infinity; None: all are finite."""
    tensors = ((name, weight) for name, weight in weights.items() if torch.is_tensor(weight))
    return next((name for name, weight in tensors if not weight.isfinite().all()), None)


def _what_is_wrong_with_the_file(error: Exception) -> str:
    if carried := re.search(r"GLOBAL ([\w.]+)|but got <class '([\w.]+)'>", str(error)):
        return f"refused: it carries {carried[1] or carried[2]}, which is no weight or setting; nothing in it was run"
    return f"not a readable fairseq checkpoint, perhaps cut short ({type(error).__name__})"


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
        if namespace.bf16 and utils.xm is None:
            namespace.tpu = False
        return parsed

    options.parse_args_and_arch = parse_args_and_arch


def print_our_errors_as_one_line() -> None:
    """Print an uncaught :class:`IELError` as its line alone: a traceback into fairseq helps no user."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, IELError):
            print(f"iel_fairseq: error: {error}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


def apply() -> None:
    hide_broken_torchaudio()
    let_safe_loader_read_fairseq()
    explain_unreadable_checkpoints()
    let_ranks_share_a_checkpoint()
    let_ranks_without_gpu_gather()
    tell_tasks_that_a_round_begins()
    let_diverse_beams_decode_any_batch()
    let_bf16_do_without_a_tpu()
    print_our_errors_as_one_line()
