"""On a full disk, and where nothing may be written, a command ends with one line; with space again it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from artefacts import artefacts
from disturbed_commands import COMMANDS, Command
from documented_commands import write_corpus
from forked import ForkedCommand

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Of what a command writes in all: the space that it finds."""
ENOUGH = 1 << 30
PAGE = 4096


class Disk:
    """A file system in memory, of any size."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._other = folder / "other"
        folder.mkdir()

    def mount(self, size: int) -> None:
        """Make it anew, with *size* bytes of space, which may be none."""
        self.unmount()
        _mount("-t", "tmpfs", "-o", f"size={size // PAGE * PAGE + PAGE}", "tmpfs", self.folder)
        self._other.write_bytes(b"x")

    def free(self) -> None:
        """Make space, and let it be written."""
        _mount("-o", f"remount,rw,size={ENOUGH}", self.folder)
        self._other.unlink()

    def make_read_only(self) -> None:
        _mount("-o", "remount,ro", self.folder)

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
    said = fill_up_and_go_on(COMMANDS[name], names, disk, SHARES)
    with capsys.disabled():
        print(f"\n{name}:", *(f"  {share:.0%}: {line}" for share, line in zip(SHARES, said, strict=True)), sep="\n")


def test_preparation_on_a_full_disk_says_so_and_goes_on_with_more_space(tmp_path, disk):
    """The quickest of them, for the suite that is always run."""
    write_corpus(tmp_path / "corpus")
    fill_up_and_go_on(COMMANDS["iel prepare"], {"translation": str(tmp_path)}, disk, SHARES[1:2])


def test_standard_output_on_a_full_disk_is_one_line(tmp_path):
    (tmp_path / "gold.txt").write_text("0-0\n")
    program = """
import os
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
from iel_fairseq.cli import main
main(["score-aer", "gold.txt", "gold.txt"])
"""
    line = error_line(ForkedCommand("python", ["-c", program], tmp_path))
    assert "the output: cannot be written (No space left on device); free space there, or" in line


def fill_up_and_go_on(command: Command, names: dict[str, str], disk: Disk, shares: Sequence[float]) -> list[str]:
    """Run *command* with too little space, and then with enough; what it says, for each of *shares*."""
    disk.free()
    command.finish(names, disk.folder)
    expected, used = artefacts(disk.folder), disk.used
    said = []
    for share in shares:
        disk.mount(int(used * share))
        said.append(error_line(command.start(names, disk.folder)))
        assert "(No space left on device); free space there, or " in said[-1]
        disk.free()
        command.finish(names, disk.folder)
        found = artefacts(disk.folder)
        assert found == expected, sorted(found ^ expected)[:20]
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_where_nothing_may_be_written_it_says_so(name, names, disk):
    disk.make_read_only()
    assert "(Read-only file system); free space there, or " in error_line(COMMANDS[name].start(names, disk.folder))
    disk.free()
    COMMANDS[name].finish(names, disk.folder)


def error_line(running: ForkedCommand) -> str:
    """What a command says last that fails as it should: one line."""
    status = running.wait(300)
    log = running.output + running.error
    assert status == 1, log[-3000:]
    assert "Traceback" not in log, log[-5000:]
    line = log.splitlines()[-1]
    assert line.startswith("iel_fairseq: error: "), log[-3000:]
    return line
