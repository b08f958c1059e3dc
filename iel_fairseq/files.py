"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from iel_fairseq.errors import IELError

logger = logging.getLogger(__name__)

UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading a file, packed or not, can raise."""


@contextmanager
def whole_file(path: str, mode: str = "w") -> Iterator[IO]:
    """A file that is written under a temporary name, and gets its own when it is whole.

    Args:
        path: its name; what is no file, such as a pipe or ``/dev/null``, is written to as it is
        mode: ``w``, text in UTF-8, or ``wb``

    Raises:
        IELError: another process is writing it (threads of one take care of themselves)
        OSError: it cannot be written, and ``filename`` is *path*; or what is done meanwhile raises it
    """
    encoding = None if "b" in mode else "utf-8"
    if is_no_file(path):
        with open(path, mode.replace("w", "a"), encoding=encoding) as file:  # or says that it is a folder
            yield file
        return
    temporary = f"{path}.part"
    try:
        with os.fdopen(_of_this_process(temporary, path), mode, encoding=encoding) as file:
            try:
                yield file
                file.flush()
                _sync(file)
                os.replace(temporary, path)  # while it is locked
            except BaseException:
                with suppress(OSError):
                    os.remove(temporary)  # where the disk is full, its space is wanted
                raise
    except OSError as error:
        if error.filename == temporary or (error.filename is None and no_room(error)):
            error.filename = path
        raise


def _sync(file: IO) -> None:
    """Have all of *file* on its disk: what a network drive has no room for, it says now at the latest."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # a file system that cannot do it
            raise


def _of_this_process(temporary: str, path: str) -> int:
    """Open the file *temporary*, which is to become *path*: empty, and locked as long as it is open.

    Raises:
        IELError: another process has it
        OSError: it cannot be opened
    """
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o666)  # not emptied yet: it may be another's
        with suppress(OSError):  # a file system without locks
            if not got_lock(descriptor):
                os.close(descriptor)
                raise IELError(f"{path}: another process is writing it; wait for that, or name another file")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(temporary), os.fstat(descriptor)):
                os.ftruncate(descriptor, 0)
                return descriptor
        os.close(descriptor)  # the other process has just renamed it, or removed it


def got_lock(file: IO | int, *part: int) -> bool:
    """Whether this process has got the lock on *file*, without waiting. The system lets go of a dead process's locks.

    Args:
        file: open for writing, or its descriptor
        part: length and start of what shall be locked, in bytes; default: all of it
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *part)
    except (BlockingIOError, PermissionError):
        return False
    return True


def behind_links(path: str) -> str:
    """The file that *path* leads to; what is no file stays as it is."""
    return path if is_no_file(path) else os.path.realpath(path)


def is_no_file(path: str) -> bool:
    """Whether what is at *path* is something else, such as a pipe; False where nothing is."""
    # What /dev/stdout leads to may be a file: the shell's, to which others write as well.
    return path.startswith(("/dev/std", "/dev/fd/")) or (os.path.exists(path) and not os.path.isfile(path))


def no_room(error: OSError) -> bool:
    """Whether a disk is full, or may not be written: it is not what is read meanwhile that is to blame."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def not_written(path: str, error: OSError) -> IELError:
    """What a user is told when *path*, or a file that *error* names, cannot be written."""
    name = error.filename or path
    if no_room(error) or error.errno == errno.EFBIG:
        return IELError(f"{name}: cannot be written ({error.strerror}); free space there, or name another place")
    return IELError(f"{name}: cannot be written ({error.strerror}); name another place")


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Within it *path* is written; where it, or a file that the error names, cannot be, that is one line.

    Raises:
        IELError: it cannot be written
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        refused = error if isinstance(error, OSError) else error.__context__  # torch hides it behind one of its own
        if not isinstance(refused, OSError):
            raise
        raise not_written(path, refused) from error


def discard_standard_output() -> None:
    """Let nothing that is still buffered be written when the interpreter ends: nobody reads it, or it has no place."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Work in *folder*, which is made where there is none, when no other process does.

    Raises:
        IELError: nothing can be written there
    """
    path = os.path.join(folder, "lock")
    with ExitStack() as stack:
        with writing(path):
            os.makedirs(folder, exist_ok=True)
            lock = stack.enter_context(open(path, "ab"))
            if not got_lock(lock):
                logger.info(f"{folder}: waiting for another process that works in this folder")
                fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def file_sha256(path: str) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
