"""Work shared among threads, each of which computes on one core."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_out(
    work: Callable[[Iterator[Item]], Iterator[Result]], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Do *work* on all of *items* in several threads, each of which takes the next item when it wants one.

    An exception in any of them ends all, and is raised here.

    Args:
        work: from an iterator over items to one over results
        items: taken by one thread at a time
        threads: 1: no other than the caller's

    Yields:
        results, in the order in which they come
    """
    if threads == 1:
        yield from work(iter(items))
        return
    waiting, taking, enough = iter(items), threading.Lock(), threading.Event()
    results: queue.SimpleQueue[list[Result] | BaseException | None] = queue.SimpleQueue()

    def taken() -> Iterator[Item]:
        while not enough.is_set():
            with taking:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            yield item

    def run() -> None:
        torch.set_num_threads(1)
        try:
            for result in work(taken()):
                results.put([result])
                if enough.is_set():
                    break
            results.put(None)
        except BaseException as error:
            results.put(error)

    with _own_number_of_threads():
        workers = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        running = threads
        try:
            while running:
                came = results.get()
                if isinstance(came, BaseException):
                    raise came
                if came is None:
                    running -= 1
                else:
                    yield from came
        finally:
            enough.set()
            for worker in workers:
                worker.join()


@contextmanager
def _own_number_of_threads() -> Iterator[None]:
    """What a thread sets for itself, PyTorch also takes as the default for threads to come: put it back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
