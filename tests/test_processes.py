"""Work shared among processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iel_fairseq.errors import IELError
from iel_fairseq.processes import IN_HAND, cores, in_order, in_pieces


def squares():
    return lambda number: (number**2, os.getpid())


def fatal():
    return lambda number: os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_the_order_of_the_work_from_several_processes():
    results = list(in_order(squares, range(50), 2))
    assert [square for square, _ in results] == [number**2 for number in range(50)]
    assert os.getpid() not in {process for _, process in results}
    assert list(in_order(squares, range(2), 1)) == [(0, os.getpid()), (1, os.getpid())]


def test_no_more_is_read_than_is_worked_on():
    read = 0

    def pieces():
        nonlocal read
        for number in range(1, 1000):
            read = number
            yield number

    results = in_order(squares, pieces(), 2)
    for _ in range(10):
        next(results)
    assert read <= 10 + 2 * IN_HAND
    results.close()


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(IELError, match=r"a process was killed, perhaps for want of memory; .* fewer --workers"):
        list(in_order(fatal, range(5), 2))


def without_a_model():
    raise IELError("codes: not readable")


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_process_lacks_at_its_start_is_said(processes):
    with pytest.raises(IELError, match=r"^codes: not readable$"):
        list(in_order(without_a_model, range(5), processes))


def test_processes_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import os, pathlib, sys, time; from iel_fairseq.processes import in_order\n"
        "def make(): return lambda n: (pathlib.Path(sys.argv[1], str(os.getpid())).touch(), time.sleep(0.05))\n"
        "list(in_order(make, range(10000), 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    children = [Path("/proc", path.name, "cmdline") for path in tmp_path.iterdir()]
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(child.exists() and child.read_bytes() for child in children))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_pieces_are_lists_of_one_size_but_the_last():
    assert list(in_pieces(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_pieces([], 2)) == []


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5})
    assert cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cores() == 3
