"""Whole numbers for each sentence of a data set, on disk: sharded while they are found, memory-mapped afterwards.

A store is a folder::

    CONTENT.SPLIT.KEY/
      manifest.json         what was asked for, what came out, checksums; written last: with it the store is whole
      positions.{bin,idx}   fairseq's memory-mapped indexed data set, a row of small integers for each sentence
      lock                  byte K is locked by the process that extracts shard K
      shards/K.npz          finished shards, until all are there

Any number of processes, on machines that share the folder, may fill the same store: each takes shards that nobody
holds, and takes over those of a process that died. Nothing passes between them but these files.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, ClassVar

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDataset

from iel_fairseq.errors import IELError
from iel_fairseq.files import got_lock, whole_file
from iel_fairseq.json_data import write_json
from iel_fairseq.store_files import DAMAGED, FILES, Rows, crc32, open_rows, read_manifest
from iel_fairseq.version import __version__

logger = logging.getLogger(__name__)

SHARD_SENTENCES = 8192
"""What a killed extraction loses at most."""

Extract = Callable[[range], list[np.ndarray]]


def shards_of(count: int, shard_sentences: int = SHARD_SENTENCES) -> list[range]:
    """Split *count* sentences into ranges that are extracted, and held in memory, one at a time."""
    return [range(i, min(i + shard_sentences, count)) for i in range(0, count, shard_sentences)]


class Store:
    """What was asked for of one split, a row of whole numbers for each sentence.

    A store for anything else lies in another folder, named after a hash of what is asked for.
    """

    content: ClassVar[str]
    """What is stored, in words; gives the folder its name."""
    option: ClassVar[str]
    """Where the user says in which folder."""

    def __init__(self, parent: str, split: str, request: dict, shard_sentences: int = SHARD_SENTENCES):
        """
        Args:
            parent: folder in which stores are kept
            split: name of the split
            request: everything that decides what is stored; plain JSON data, ``sentences``, their number, and
                ``dtype`` among it
            shard_sentences: sentences of a shard
        """
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        self.path = os.path.join(parent, f"{self.prefix()}{split}.{key}")
        self.request = request
        self.shards = shards_of(request["sentences"], shard_sentences)

    @classmethod
    def prefix(cls) -> str:
        """What the names of the folders begin with."""
        return cls.content.replace(" ", "_") + "."

    def open(self) -> Rows | None:
        """The rows; None where the store is not whole, or is damaged, which is logged.

        Raises:
            IELError: the store in this place is of something else
        """
        if not os.path.exists(self._file("manifest.json")):
            return None
        try:
            manifest = read_manifest(self.path)
            for name, asked in self.request.items():
                if manifest[name] != asked:
                    raise IELError(
                        f"{self.path}: this store's {name} is {manifest[name]}, not {asked}; remove the folder, "
                        f"and the {self.content} are extracted again"
                    )
            return open_rows(self.path, manifest)
        except DAMAGED:
            logger.warning(f"{self.path}: damaged; the {self.content} are extracted again")
            return None
        except OSError as error:
            raise IELError(f"{self.path}: the store cannot be read ({error.strerror})") from error

    def fill(self, extract: Extract) -> Rows:
        """Extract what is missing, together with whoever else fills the same store, and wait for the whole.

        Args:
            extract: gives the rows of a range of sentences, each int ``(J,)``, in their order

        Raises:
            IELError: the store cannot be written
        """
        found = self._fill(extract, range(len(self.shards)), wait=True)
        assert found is not None
        return found

    def fill_share(self, extract: Extract, num_shards: int, shard_id: int) -> Rows | None:
        """Extract every *num_shards*-th shard from the *shard_id*-th on, and wait for nobody.

        Returns:
            the rows; None as long as others have not finished their shares

        Raises:
            IELError: the store cannot be written
        """
        return self._fill(extract, range(shard_id, len(self.shards), num_shards), wait=False)

    def _fill(self, extract: Extract, share: range, wait: bool) -> Rows | None:
        found = self.open()
        if found is not None:
            self._remove_shards()  # killed at the right moment, a process leaves them
            return found
        with self._storing():
            os.makedirs(self._file("shards"), exist_ok=True)
            lock = open(self._file("lock"), "ab")  # noqa: SIM115  (closed below)
        with lock:
            return self._fill_together(lock, extract, share, wait)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Around what writes, and not what extracts: a data set that cannot be read has its own errors."""
        try:
            yield
        except OSError as error:
            raise IELError(
                f"{self.path}: the {self.content} cannot be stored ({error.strerror}); "
                f"free space there, or give a folder that can be written with {self.option}"
            ) from error

    def _fill_together(self, lock: IO, extract: Extract, share: range, wait: bool) -> Rows | None:
        whole = len(self.shards)  # the number of the lock on the store itself
        told = False
        while True:
            with self._storing(), _locked(lock, whole) as ours:
                if ours and os.path.exists(self._file("manifest.json")) and self.open() is None:
                    os.remove(self._file("manifest.json"))  # it is damaged
            for shard in share:
                with _locked(lock, shard) as ours:
                    # With the manifest there, a shard that is missing has been used, and is not needed again.
                    if ours and not self._finished(shard) and not os.path.exists(self._file("manifest.json")):
                        found = extract(self.shards[shard])
                        with self._storing():
                            self._write_shard(shard, found)
            with self._storing(), _locked(lock, whole) as ours:
                if ours and all(self._finished(shard) for shard in range(whole)):
                    self._assemble()
            rows = self.open()
            if rows is not None:
                return rows
            missing = [shard for shard in range(whole) if not self._finished(shard)]
            if not wait and missing and not set(missing) & set(share):
                logger.info(f"{self.path}: this share is finished; {len(missing)} of {whole} shards are missing")
                return None
            if missing and not told:
                logger.info(f"{self.path}: waiting for other processes that extract {len(missing)} shards")
                told = True
            time.sleep(0.2)

    def _finished(self, shard: int) -> bool:
        return os.path.exists(self._shard_file(shard))

    def _write_shard(self, shard: int, found: list[np.ndarray]) -> None:
        sizes = np.array([len(row) for row in found], dtype=np.int32)
        positions = np.concatenate([np.empty(0, dtype=self.request["dtype"]), *found]).astype(self.request["dtype"])
        with whole_file(self._shard_file(shard), "wb") as file:
            np.savez(file, sizes=sizes, positions=positions)  # a zip file, which holds checksums

    def _read_shard(self, shard: int) -> tuple[np.ndarray, np.ndarray]:
        """Sizes and positions of a finished shard.

        Raises:
            IELError: it is damaged
        """
        path = self._shard_file(shard)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                sizes, positions = stored["sizes"], stored["positions"]
            if (sizes.dtype, positions.dtype) != (np.int32, np.dtype(self.request["dtype"])):
                raise ValueError("numbers of another kind")
            if (sizes.shape, positions.shape) != ((len(self.shards[shard]),), (sizes.sum(),)) or (sizes < 0).any():
                raise ValueError("not the shard of these sentences")
        except Exception as error:  # numpy and zipfile raise many kinds
            raise IELError(f"{path}: damaged") from error
        return sizes, positions

    def _assemble(self) -> None:
        """Join the finished shards; a damaged one is removed instead, to be extracted again."""
        dtype = np.dtype(self.request["dtype"])
        all_sizes = [np.empty(0, dtype=np.int32)]
        with open(self._file("positions.bin.part"), "wb") as file:
            for shard in range(len(self.shards)):
                try:
                    sizes, positions = self._read_shard(shard)
                except IELError as error:
                    logger.warning(f"{error}; its sentences are extracted again")
                    os.remove(self._shard_file(shard))
                    return
                all_sizes.append(sizes)
                file.write(positions.tobytes())
        sizes = np.concatenate(all_sizes)
        with MMapIndexedDataset.Index.writer(self._file("positions.idx.part"), dtype.type) as index:
            index.write(sizes.tolist())  # as Python's integers, for whose sum fairseq has room
        for name in FILES:  # new files: somebody may have mapped the old ones
            os.replace(self._file(f"{name}.part"), self._file(name))
        manifest = {
            **self.request,
            "version": __version__,
            "words": int(sizes.sum()),
            "sentences_without_words": int((sizes == 0).sum()),
            "crc32": {name: crc32(self._file(name)) for name in FILES},
        }
        write_json(self._file("manifest.json"), manifest)
        self._remove_shards()

    def _remove_shards(self) -> None:
        shutil.rmtree(self._file("shards"), ignore_errors=True)

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _shard_file(self, shard: int) -> str:
        return self._file(os.path.join("shards", f"{shard:05}.npz"))


@contextmanager
def _locked(lock: IO, byte: int) -> Iterator[bool]:
    """Whether this process got the lock on *byte*, without waiting."""
    if not got_lock(lock, 1, byte):
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(lock, fcntl.LOCK_UN, 1, byte)
