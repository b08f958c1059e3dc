"""The one exception that tells a user what is wrong with the input, and how to mend it."""

from __future__ import annotations

import torch


class IELError(Exception):
    """Bad input: one line that names the file, the value and the mend.

    Uncaught in one of fairseq's commands it is printed as that line alone, without a traceback, and the exit
    status is 1 (see :mod:`iel_fairseq.compat`).
    """

    def __init__(self, message: str):
        super().__init__(" ".join(line.strip() for line in message.splitlines()))  # it may quote a library, or a file


def of_another_rank(error: BaseException) -> bool:
    """Whether *error* is what a rank meets when another one has ended, or cannot be reached: NCCL's, or gloo's."""
    of_gloo = isinstance(error, RuntimeError) and "/gloo/" in str(error)
    return of_gloo or isinstance(error, torch.distributed.DistError)
