"""Work shared among processes, its results in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from iel_fairseq.errors import IELError

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS does not say which are this process's


IN_HAND = 4
"""Pieces of work for each process that are read ahead: enough that none waits, few enough to hold in memory."""


def in_order(
    make: Callable[[], Callable[[Piece], Result]], pieces: Iterable[Piece], processes: int
) -> Iterator[Result]:
    """``map(make(), pieces)`` by several processes, which holds a bounded number of pieces at any time.

    Args:
        make: gives the function; called once in each process, and pickled, as what it returns is not
        pieces: read one at a time as work gets done
        processes: how many; 1: this one does the work

    Raises:
        IELError: a process was killed, or *make* raises it
    """
    if processes == 1:
        yield from map(make(), pieces)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(make,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(_work, piece))
                if len(waiting) >= IN_HAND * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise IELError(
                "a process was killed, perhaps for want of memory; run the same command with fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


_function: Callable[[Any], Any]


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    try:
        _function = make()
    except IELError as error:  # which would break the pool, as a process that was killed
        _function = partial(_refuse, error)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the command interrupts its parent
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _refuse(error: IELError, _piece: Any) -> None:
    raise error


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(piece: Any) -> Any:
    return _function(piece)


def in_pieces(items: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """*items* in lists of *size*, the last one perhaps shorter."""
    items = iter(items)
    while piece := list(islice(items, size)):
        yield piece
