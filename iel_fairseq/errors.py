"""The one exception that tells a user what is wrong with the input, and how to fix it; errors of other ranks."""

from __future__ import annotations

import copyreg
import re

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

_OF_ANOTHER_RANK = re.compile(r"torch\.distributed\.Dist\w*Error: |RuntimeError: .*/gloo/")


class IELError(Exception):
    """Bad input: one line that names the file, the value and the fix.

    Uncaught in one of fairseq's commands it is printed as that line alone, without a traceback, and the exit
    status is 1 (see :mod:`iel_fairseq.compat`).
    """

    def __init__(self, message: str):
        super().__init__(" ".join(line.strip() for line in message.splitlines()))  # it may quote a library, or a file

    def __reduce__(self) -> tuple:
        """From one process to another, also where a subclass makes its message of something else."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


def of_another_rank(error: BaseException) -> bool:
    """Whether *error* is what a rank meets when another one has ended, or cannot be reached: NCCL's, or gloo's.

    It may be of a process that fairseq has started itself, for one of several GPUs.
    """
    if isinstance(error, ProcessRaisedException):
        return _OF_ANOTHER_RANK.match(last_line(error)) is not None
    of_gloo = isinstance(error, RuntimeError) and "/gloo/" in str(error)
    return of_gloo or isinstance(error, (torch.distributed.DistError, ProcessExitedException))


def last_line(error: BaseException) -> str:
    """What *error* says in the end; where it quotes the traceback of a process, that one's error."""
    return str(error).rstrip().rpartition("\n")[2]
