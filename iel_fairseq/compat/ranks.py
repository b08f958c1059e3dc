"""The ranks of a distributed training."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import Any

import torch
from omegaconf import AnyNode, DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata


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
