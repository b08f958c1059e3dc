"""Work shared among threads."""

from __future__ import annotations

import threading

import pytest
import torch

from iel_fairseq.threads import shared_out


def squares(items):
    for item in items:
        yield item * item


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_every_item_is_taken_once(threads, count):
    assert sorted(shared_out(squares, range(count), threads)) == [i * i for i in range(count)]


def test_all_threads_work_at_once_on_one_core_each():
    all_there = threading.Barrier(3, timeout=10)

    def work(items):
        for _ in items:
            all_there.wait()  # breaks, unless three come
            yield torch.get_num_threads()

    assert list(shared_out(work, range(3), 3)) == [1, 1, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_ends_all_and_is_raised(threads):
    before = threading.active_count()

    def work(items):
        for item in items:
            if item == 3:
                raise ValueError("item 3")
            yield item

    with pytest.raises(ValueError, match="item 3"):
        list(shared_out(work, range(10**9), threads))
    assert threading.active_count() == before


def test_an_error_of_the_items_is_raised():
    def items():
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(shared_out(squares, items(), 2))


def test_whoever_wants_no_more_ends_the_threads():
    before = threading.active_count()
    results = shared_out(squares, range(10**9), 2)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(shared_out(squares, range(3), 2))
        assert torch.get_num_threads() == 2
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)


def test_an_error_ends_threads_that_give_nothing_as_well():
    over = threading.Event()

    def items():
        yield from range(4)
        while not over.wait(0.001):  # without end, unless nobody stops the threads
            yield 4

    def work(items):
        for item in items:
            if item == 3:
                raise ValueError("item 3")
        yield 0

    watch = threading.Timer(60, over.set)
    watch.start()
    with pytest.raises(ValueError, match="item 3"):
        list(shared_out(work, items(), 2))
    assert not over.is_set()
    watch.cancel()
