"""Stores that are damaged or made up: found again as they were, extracted anew, or one line."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mutations import COUNTS, damaged, damaged_json, read_damaged
from test_compat import Writes

from iel_fairseq.attention_store import AttentionStore, read_attention_positions
from iel_fairseq.classification.importance import ImportanceStore
from iel_fairseq.errors import IELError
from iel_fairseq.store_files import FILES, crc32

SENTENCES = 10
FOUND = [list(range(1, number % 4 + 1)) for number in range(SENTENCES)]
REQUEST = {
    **{"format": 3, "extractor_sha256": "e" * 64, "source_sha256": "5" * 64, "sentences": SENTENCES, "dtype": "uint16"},
    **{"layer": None, "heads": [0, 1], "max_len": [1.2, 10], "precision": "float32"},
}


def extract(sentences: range) -> list[np.ndarray]:
    return [np.array(FOUND[number]) for number in sentences]


def as_lists(positions) -> list[list[int]] | None:
    """The positions themselves: the file that they are mapped from will be another."""
    return None if positions is None else [positions[number].tolist() for number in range(len(positions))]


@pytest.fixture(params=[AttentionStore, pytest.param(ImportanceStore, marks=pytest.mark.slow)])
def store(request, tmp_path) -> AttentionStore:
    return request.param(str(tmp_path), "train", REQUEST, shard_sentences=4)


@pytest.fixture
def whole(store) -> Path:
    store.fill(extract)
    return Path(store.path)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_damaged_file(store, whole, record_property, name, count):
    """Training finds it damaged, or as it was; a reader as well, which says so; and it is mended."""
    content = (whole / name).read_bytes()
    mutants = list(damaged(content, 1, count))
    if name == "manifest.json":
        mutants += damaged_json(content, 1, count)
    tried, accepted = read_damaged(whole / name, mutants, lambda: as_lists(store.open()), names=str(whole))
    assert all(found in (None, FOUND) for _, found in accepted)

    def read() -> list[list[int]]:
        found = read_attention_positions(whole)
        assert isinstance(found.extractor_sha256, str)
        assert found.heads is None or all(type(head) is int for head in found.heads)
        return as_lists(found)

    tried_to_read, accepted = read_damaged(whole / name, mutants, read, names=str(whole))
    assert all(found == FOUND for _, found in accepted)
    mended, accepted = read_damaged(whole / name, mutants[:40], lambda: as_lists(store.fill(extract)), names=str(whole))
    assert all(found == FOUND for _, found in accepted)
    record_property("inputs", tried + tried_to_read + mended)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_made_up_with_its_checksum(whole, record_property, name, count):
    """No file is mapped of which a part would be read that is not there."""
    manifest = json.loads((whole / "manifest.json").read_text())

    def read() -> list[list[int]]:
        manifest["crc32"] = {file: crc32(str(whole / file)) for file in FILES}
        (whole / "manifest.json").write_text(json.dumps(manifest))
        return as_lists(read_attention_positions(whole))

    tried, accepted = read_damaged(whole / name, damaged((whole / name).read_bytes(), 2, count), read, names=str(whole))
    record_property("inputs", tried)
    for _, found in accepted:
        assert [len(positions) for positions in found] == [len(positions) for positions in FOUND]


def shard_mutants(content: bytes, count: int, sign: Path) -> Iterator[bytes]:
    yield from damaged(content, 3, count)
    yield pickle.dumps(Writes(sign))
    for sizes, positions in (
        ([1, 1, 0, 1], np.array([1, 2, 3], dtype=np.int64)),
        ([1, 1, -1, 2], np.array([1, 2, 3], dtype=np.uint16)),
        ([1, 1, 0, 1], np.array([[1], [2], [3]], dtype=np.uint16)),
        ([1, 1, 0, 1], np.array([Writes(sign)] * 3, dtype=object)),
    ):
        made_up = sign.with_name("made_up.npz")
        np.savez(made_up, sizes=np.array(sizes, dtype=np.int32), positions=positions)
        yield made_up.read_bytes()


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_shard_is_extracted_again_and_nothing_in_it_runs(
    store, tmp_path, monkeypatch, record_property, count
):
    monkeypatch.setattr("iel_fairseq.store.time.sleep", lambda seconds: None)  # nobody else fills it
    sign = tmp_path / "executed"
    store.fill_share(extract, 2, 0)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(store.path, unfinished)
    shard = unfinished / "shards" / "00000.npz"
    tried = 0
    for mutant in shard_mutants(shard.read_bytes(), min(count, 300), sign):
        shutil.rmtree(store.path)
        shutil.copytree(unfinished, store.path)
        (Path(store.path) / "shards" / "00000.npz").write_bytes(mutant)
        assert as_lists(store.fill(extract)) == FOUND
        tried += 1
    assert not sign.exists()
    record_property("inputs", tried)


@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_folder_in_the_place_of_a_file(store, whole, name):
    (whole / name).unlink()
    (whole / name).mkdir()
    for read in (store.open, lambda: read_attention_positions(whole)):
        with pytest.raises(IELError, match=r"the store cannot be read \(Is a directory\)"):
            read()


def test_a_manifest_cannot_name_other_files(store, whole):
    """A device that never ends, for one."""
    manifest = json.loads((whole / "manifest.json").read_text())
    manifest["crc32"] = {"/dev/zero": 0}
    (whole / "manifest.json").write_text(json.dumps(manifest))
    assert store.open() is None
    with pytest.raises(IELError, match="damaged; run iel extract"):
        read_attention_positions(whole)


@pytest.mark.parametrize(("sizes", "code"), [([5, -2, 0], 8), ([1, 1, 1], 4)])
def test_an_index_that_is_made_up(tmp_path, sizes, code):
    """With a size below 0, or numbers of another type than the manifest has; its checksum is right."""
    store = AttentionStore(str(tmp_path), "train", {**REQUEST, "sentences": 3})
    store.fill(lambda _: [np.array([1])] * 3)
    index, manifest_file = Path(store.path) / "positions.idx", Path(store.path) / "manifest.json"
    head = bytearray(index.read_bytes()[:26])
    assert head[17] == 8
    head[17] = code
    starts = (np.cumsum(sizes) - sizes) * 2
    index.write_bytes(bytes(head) + np.array(sizes, "<i4").tobytes() + starts.astype("<i8").tobytes())
    manifest = json.loads(manifest_file.read_text())
    manifest["crc32"] = {name: crc32(f"{store.path}/{name}") for name in FILES}
    manifest_file.write_text(json.dumps(manifest))
    assert store.open() is None
    with pytest.raises(IELError, match="damaged"):
        read_attention_positions(store.path)
