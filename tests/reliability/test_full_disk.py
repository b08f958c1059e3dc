"""On a full disk, and where nothing may be written, a command ends with one line; with space again it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from artefacts import artefacts
from disturbed_commands import COMMANDS
from documented_commands import write_corpus
from forked import ForkedCommand

SHARES = (0.03, 0.2, 0.4, 0.6, 0.8, 0.97)
"""Of what a command writes in all: the sizes of the disks."""
ENOUGH = 1 << 30


class Disk:
    """A file system in memory, of any size."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()

    def mount(self, size: int) -> None:
        """Make it anew, and empty."""
        self.unmount()
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.folder)

    def change(self, options: str) -> None:
        _mount("-o", f"remount,{options}", self.folder)

    def unmount(self) -> None:
        if os.path.ismount(self.folder):
            subprocess.run(["umount", self.folder], check=True)

    @property
    def used(self) -> int:
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, stderr=subprocess.PIPE)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    try:
        disk.mount(ENOUGH)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here ({error})")
    yield disk
    disk.unmount()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_full_at_any_time_it_says_so_and_goes_on_with_more_space(name, names, disk, capsys):
    fills_up_and_goes_on(COMMANDS[name], names, disk, SHARES, capsys)


def test_preparation_on_a_full_disk_says_so_and_goes_on_with_more_space(tmp_path, disk, capsys):
    """The quickest of them, for the suite that is always run."""
    write_corpus(tmp_path / "corpus")
    fills_up_and_goes_on(COMMANDS["iel prepare"], {"translation": str(tmp_path)}, disk, SHARES[1:2], capsys)


def fills_up_and_goes_on(command, names, disk, shares, capsys) -> None:
    command.finish(names, disk.folder)
    expected, used = artefacts(disk.folder), disk.used
    told = []
    for share in shares:
        disk.mount(int(used * share))
        told.append((share, last_line(command.start(names, disk.folder), disk.folder)))
        disk.change(f"size={ENOUGH}")
        command.finish(names, disk.folder)
        found = artefacts(disk.folder)
        assert found == expected, sorted(found ^ expected)[:20]
    with capsys.disabled():
        print("", f"{command.program} {command.words[:20]} writes {used:,} bytes", *told, sep="\n")
    for share, line in told:
        assert "No space left on device" in line or line == "ended", (share, line)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_where_nothing_may_be_written_it_says_so(name, names, disk):
    disk.change("ro")
    line = last_line(COMMANDS[name].start(names, disk.folder), disk.folder)
    assert "(Read-only file system); " in line
    disk.change("rw")
    COMMANDS[name].finish(names, disk.folder)


def last_line(running: ForkedCommand, folder: Path) -> str:
    """What a command says last that fails as it should: the only line about it, which names what is in *folder*."""
    status = running.wait(300)
    log = running.output + running.error
    if status == 0:  # what it wrote in between was gone by then
        return "ended"
    assert status == 1, log[-3000:]
    assert "Traceback" not in log, log[-5000:]
    line = log.splitlines()[-1]
    assert line.startswith("iel_fairseq: error: "), log[-3000:]
    return line
