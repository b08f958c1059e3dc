"""The ranks of a distributed training."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import AnyNode, DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata

from iel_fairseq.compat.training import training_command
from iel_fairseq.errors import IELError


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

    Where fairseq starts a process for each GPU, this is also what makes those import this package, and its patches,
    before they begin.
    """
    from fairseq.distributed import utils as distributed_utils

    call = distributed_utils.call_main

    @functools.wraps(call)
    def call_main(cfg, main, **kwargs):
        ranks = cfg.distributed_training
        if ranks.distributed_init_method is None:
            if main is getattr(training_command(), "main", None):
                _take_the_ranks_of_torchrun(ranks)
            distributed_utils.infer_init_method(ranks)
        if ranks.distributed_init_method is not None:
            kwargs["after_distributed_init_fn"] = _Connected(kwargs.get("after_distributed_init_fn"))
        return call(cfg, main, **kwargs)

    distributed_utils.call_main = call_main


@dataclass(frozen=True)
class _Connected:
    """Connects a rank, which may be a process that fairseq starts, and does what *then* was to be done."""

    then: Callable | None

    def __call__(self, cfg):
        from fairseq.distributed import utils as distributed_utils

        distributed_utils.get_data_parallel_group()
        return cfg if self.then is None else self.then(cfg)


def _take_the_ranks_of_torchrun(cfg):
    """Where a machine has one GPU fairseq takes ``torchrun``'s ranks for so many trainings, each of the same folder."""
    by_torchrun = {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"} <= os.environ.keys()  # as fairseq knows it
    ranks = int(os.environ["WORLD_SIZE"]) if by_torchrun else 1
    if ranks == 1:
        return
    if not torch.cuda.is_available():
        raise IELError(
            "torchrun: fairseq takes its ranks on GPUs only; on CPUs start each one by itself, with "
            "--distributed-world-size, --distributed-rank and --distributed-no-spawn"
        )
    cfg.distributed_world_size = ranks


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
