"""Files that are there whole or not at all, and what is written that is no file."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import threading

import pytest

from iel_fairseq.cli.files import output_file
from iel_fairseq.errors import IELError
from iel_fairseq.files import not_written, whole_file


def fail_after(_written) -> None:
    raise ValueError("half")


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), whole_file(str(path)) as file:
        fail_after(file.write("half"))
    assert path.read_text() == "old"
    with whole_file(str(path)) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def hold(path: str, connection) -> None:
    """Write *path*, and be done when told."""
    with whole_file(path) as file:
        file.write("theirs")
        connection.send("writing")
        connection.recv()
    connection.send("written")


def test_what_another_process_writes_is_left_to_it(tmp_path):
    """Two of a command with one output: a job that was queued again while the first one runs."""
    path = str(tmp_path / "file")
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    other = context.Process(target=hold, args=(path, there))
    other.start()
    assert here.recv() == "writing"
    with pytest.raises(IELError, match=rf"^{path}: another process is writing it; wait for that"), whole_file(path):
        pass
    with pytest.raises(IELError, match="another process is writing it"), output_file(path):
        pass
    here.send("go on")
    assert here.recv() == "written"
    other.join()
    assert (tmp_path / "file").read_text() == "theirs"
    with whole_file(path) as file:
        file.write("ours")
    assert (tmp_path / "file").read_text() == "ours"


def test_what_a_killed_process_left_is_written_anew(tmp_path):
    (tmp_path / "file.part").write_text("much more than what comes now")
    with whole_file(str(tmp_path / "file")) as file:
        file.write("new")
    assert (tmp_path / "file").read_text() == "new"


def test_the_other_process_ends_while_its_file_is_opened(tmp_path, monkeypatch):
    """Between opening and locking: what was opened has its own name by then, and must not be written to."""
    path, lock = tmp_path / "file", fcntl.lockf
    (tmp_path / "file.part").write_text("theirs")

    def lock_late(descriptor, command):
        monkeypatch.setattr(fcntl, "lockf", lock)
        os.replace(f"{path}.part", path)
        lock(descriptor, command)

    monkeypatch.setattr(fcntl, "lockf", lock_late)
    with whole_file(str(path)) as file:
        assert path.read_text() == "theirs"
        file.write("ours")
    assert path.read_text() == "ours"


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    (tmp_path / "file.part").write_text("left by a killed process")
    with whole_file(str(tmp_path / "file")) as file:
        file.write("new")
    assert (tmp_path / "file").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """As devices: replaced by a file, ``/dev/null`` would be gone for the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with output_file(str(pipe)) as file:
        file.write("text")
    reader.join()
    assert read == ["text"]
    assert pipe.is_fifo()


def test_what_the_shell_has_opened_is_written_to(tmp_path):
    """``>(gzip > file)``, and ``/dev/stdout``, which may be a file that others write to."""
    read, write = os.pipe()
    with output_file(f"/dev/fd/{write}") as file:
        file.write("text")
    os.close(write)
    with open(read) as end:
        assert end.read() == "text"
    (tmp_path / "file").write_text("before, ")
    with open(tmp_path / "file", "a") as shells, output_file(f"/dev/fd/{shells.fileno()}") as file:
        file.write("after")
    assert (tmp_path / "file").read_text() == "before, after"


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "folder" / "target"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    with output_file(str(link)) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_folder_is_found_out_before_any_work(tmp_path):
    message = r"cannot be written \(Is a directory\); name another place$"
    with pytest.raises(IELError, match=message), output_file(str(tmp_path)):
        pytest.fail("the work has begun")


def test_what_cannot_be_read_meanwhile_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), output_file(str(tmp_path / "file")):
        (tmp_path / "input").read_text()
    with pytest.raises(BrokenPipeError), output_file(str(tmp_path / "file")):  # nobody reads standard output any more
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        *((number, "free space there, or name") for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)),
        (errno.EACCES, "name"),
    ],
)
def test_the_mend_is_one_that_helps(number, mend):
    error = OSError(number, os.strerror(number))
    assert str(not_written("x", error)) == f"x: cannot be written ({os.strerror(number)}); {mend} another place"
    inside = OSError(number, os.strerror(number), "x/file")
    assert str(not_written("x", inside)).startswith("x/file: cannot be written")


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, whole_file(str(tmp_path / "none" / "file")):
        pass
    assert caught.value.filename == str(tmp_path / "none" / "file")
    with pytest.raises(OSError, match="full") as full, whole_file(str(tmp_path / "file")):
        raise OSError(errno.ENOSPC, "full")
    assert full.value.filename == str(tmp_path / "file")


def test_all_of_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done: list = []
    sync, name = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append(os.fstat(number).st_size), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("named"), name(*paths)))
    with whole_file(str(tmp_path / "file")) as file:
        file.write("text")
    assert done == [4, "named"]


def test_a_file_system_that_cannot_tell_what_is_on_its_disk(tmp_path, monkeypatch):
    def fails(number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", lambda _: fails(errno.EINVAL))
    with whole_file(str(tmp_path / "file")) as file:
        file.write("text")
    assert (tmp_path / "file").read_text() == "text"
    monkeypatch.setattr(os, "fsync", lambda _: fails(errno.EDQUOT))
    with pytest.raises(OSError, match="quota"), whole_file(str(tmp_path / "file")) as file:
        file.write("more")
    assert (tmp_path / "file").read_text() == "text"


def test_others_may_read_a_file(tmp_path):
    before = os.umask(0o022)
    try:
        with whole_file(str(tmp_path / "file")):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN])
def test_a_lock_that_another_process_has_may_be_told_of_in_two_ways(tmp_path, monkeypatch, number):
    def locked(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", locked)
    with pytest.raises(IELError, match="another process is writing it"), whole_file(str(tmp_path / "file")):
        pass


def test_an_error_of_what_is_read_meanwhile_is_not_the_outputs(tmp_path):
    with pytest.raises(OSError, match="Input/output error") as caught, whole_file(str(tmp_path / "file")):
        raise OSError(errno.EIO, "Input/output error")
    assert caught.value.filename is None
