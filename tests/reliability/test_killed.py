"""Killed anywhere, again and again, and started once more, a command leaves what it leaves when nobody disturbs it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from artefacts import artefacts
from commands import BIN, CPU
from disturbed_commands import COMMANDS, Command
from documented_commands import write_corpus

SEED = 1
KILLS = 15
"""Of each command."""
IN_A_ROW = 5
"""Kills before it is left alone."""


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_again_and_again_it_ends_as_if_undisturbed(name, names, tmp_path, capsys):
    phases, seconds = kill_at_random(COMMANDS[name], names, tmp_path, random.Random(f"{SEED} {name}"), KILLS)
    with capsys.disabled():
        print(f"\n{name}: {phases.total()} kills within {seconds:.1f} s: {dict(sorted(phases.items()))}")


def test_preparation_killed_twice_ends_as_if_undisturbed(tmp_path):
    """The quickest of them, for the suite that is always run."""
    write_corpus(tmp_path / "corpus")
    kill_at_random(COMMANDS["iel prepare"], {"translation": str(tmp_path)}, tmp_path, random.Random(SEED), kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iel prepare", "iel extract", "fine-tuning"])
def test_killed_as_a_process_of_its_own(name, names, tmp_path):
    """Not forked: with its imports, and with the signal to a session as a terminal or a queue has it."""
    command, draw = COMMANDS[name], random.Random(SEED)
    folder = tmp_path / "work"
    folder.mkdir()
    words = [BIN / command.program, *command.arguments(names)]
    started = time.perf_counter()
    subprocess.run(words, cwd=folder, env=CPU, capture_output=True, check=True)
    seconds = time.perf_counter() - started
    expected = artefacts(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    killed = 0
    while killed < 3:
        process = subprocess.Popen(
            words, cwd=folder, env=CPU, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(draw.uniform(seconds / 3, seconds))
        os.killpg(process.pid, signal.SIGKILL)  # a process that has ended keeps its number until it is waited for
        status = process.wait()
        assert status in (0, -signal.SIGKILL)
        if status == 0:  # it had ended before
            shutil.rmtree(folder)
            folder.mkdir()
        killed += status != 0
    subprocess.run(words, cwd=folder, env=CPU, capture_output=True, check=True)
    assert artefacts(folder) == expected


def kill_at_random(
    command: Command, names: dict[str, str], place: Path, draw: random.Random, kills: int
) -> tuple[Counter[str], float]:
    """Kill *command* at moments that *draw* spreads evenly over its duration, until that is done.

    Returns:
        how often it was at what when it was killed; the seconds that it takes undisturbed
    """
    folder = place / "work"  # the same for all runs: some artefacts hold its name
    folder.mkdir()
    started = time.perf_counter()
    command.finish(names, folder)
    seconds = time.perf_counter() - started
    expected = artefacts(folder)
    assert expected
    phases: Counter[str] = Counter()
    while phases.total() < kills:
        shutil.rmtree(folder)
        folder.mkdir()
        for _ in range(min(IN_A_ROW, kills - phases.total())):
            phases.update(kill(command, names, folder, draw.uniform(0, seconds)))
        command.finish(names, folder)
        found = artefacts(folder)
        assert found == expected, sorted(found ^ expected)[:20]
    return phases, seconds


def kill(command: Command, names: dict[str, str], folder: Path, seconds: float) -> list[str]:
    """Start *command*, and kill it after *seconds*: what it was at, or nothing when it had ended before."""
    running = command.start(names, folder)
    running.wait(seconds)
    running.kill()
    status = running.wait(60)
    log = running.output + running.error
    assert status in (0, -signal.SIGKILL), log[-3000:]
    if command.says_in and (folder / command.says_in).exists():
        log += (folder / command.says_in).read_text()
    return [command.phase(log)] if status else []
