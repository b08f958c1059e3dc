"""The store: whole or not there, whoever fills it and whatever happens to them."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import signal
import time
import zlib
from multiprocessing.synchronize import Event as EventType
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data import (
    AppendTokenDataset,
    ConcatDataset,
    LanguagePairDataset,
    ListDataset,
    StripTokenDataset,
    TruncateDataset,
)
from fairseq.data.indexed_dataset import MMapIndexedDataset, MMapIndexedDatasetBuilder
from test_extraction import dataset_of
from tiny_models import EOS

import iel_fairseq
from iel_fairseq import __version__, store_files
from iel_fairseq.attention_store import AttentionStore, share_of_new, source_fingerprint, source_lengths, store_request
from iel_fairseq.errors import IELError
from iel_fairseq.store import _locked

TEXTS = [[4 + i % 5] * (i % 7) for i in range(50)]
FOUND = [np.arange(1, i % 7 + 1) for i in range(50)]
SHARD = 8  # seven shards, the last of two sentences


def request(texts=TEXTS, extractor="ab" * 32, layer=None, heads=None) -> dict:
    return store_request(dataset_of(texts), extractor, layer, heads)


def store_in(folder: Path, **options) -> AttentionStore:
    return AttentionStore(str(folder), "train", request(**options), shard_sentences=SHARD)


class Extraction:
    """Gives FOUND, and notes in *log*, a file, which shards it was asked for and by whom."""

    def __init__(self, log: Path, seconds: float = 0, die_at: int | None = None):
        self.log, self.seconds, self.die_at = log, seconds, die_at

    def __call__(self, sentences: range) -> list[np.ndarray]:
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {sentences.start}\n")
        if sentences.start == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return FOUND[sentences.start : sentences.stop]

    def shards(self) -> list[int]:
        return [int(line.split()[1]) for line in self.log.read_text().splitlines()]


def content(store: AttentionStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(store.path).iterdir() if path.name != "lock"}


@pytest.fixture
def whole(tmp_path) -> AttentionStore:
    store = store_in(tmp_path / "whole")
    store.fill(Extraction(tmp_path / "log"))
    return store


@pytest.fixture
def expected(whole) -> dict[str, bytes]:
    return content(whole)


def start(target, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def test_what_was_extracted_is_given_back_mapped(whole, tmp_path):
    found = whole.open()
    assert isinstance(found, MMapIndexedDataset)
    assert [positions.tolist() for positions in found] == [positions.tolist() for positions in FOUND]
    assert found.sizes.tolist() == [len(positions) for positions in FOUND]
    words = sum(map(len, FOUND))
    assert (Path(whole.path) / "positions.bin").stat().st_size == 2 * words  # two bytes a word
    assert sorted(content(whole)) == ["manifest.json", "positions.bin", "positions.idx"]  # nothing temporary is left
    assert len(pickle.loads(pickle.dumps(found))) == 50  # as data-loader workers may want it
    again = Extraction(tmp_path / "again")
    whole.fill(again)
    assert not again.log.exists()


def test_manifest_says_what_it_is(whole):
    manifest = json.loads((Path(whole.path) / "manifest.json").read_text())
    assert manifest.items() >= request().items()
    assert manifest["words"] == sum(map(len, FOUND))
    assert manifest["sentences_without_words"] == 8
    assert manifest["version"] == __version__


def test_a_store_of_another_version_is_the_same_store(whole):
    path = Path(whole.path) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0.0.1"}))
    assert whole.open() is not None


def test_positions_beyond_two_bytes(tmp_path):
    small, large = [request([[4] * length])["dtype"] for length in (65_534, 65_535)]
    assert (small, large) == ("uint16", "int32")
    store = AttentionStore(str(tmp_path), "train", request([[4] * 70_000]))
    assert store.fill(lambda _: [np.array([70_000, 1])])[0].tolist() == [70_000, 1]


@pytest.mark.parametrize("texts", [[], [[]], [[4], [5]]])
def test_no_attention_word_at_all(tmp_path, texts):
    store = AttentionStore(str(tmp_path), "train", request(texts))
    found = store.fill(lambda sentences: [np.empty(0, dtype=np.int64)] * len(sentences))
    assert found.sizes.tolist() == [0] * len(texts)
    assert [positions.tolist() for positions in found] == [[]] * len(texts)
    assert len(store.open()) == len(texts)


def test_store_of_other_data_extractor_or_options_lies_elsewhere(tmp_path):
    others = [
        request([*TEXTS[:-1], [9]]),
        request(TEXTS[::-1]),
        request(extractor="cd" * 32),
        request(layer=0),
        request(heads=[1]),
    ]
    paths = {AttentionStore(str(tmp_path), "train", other).path for other in [request(), *others]}
    assert len(paths) == 6
    assert AttentionStore(str(tmp_path), "valid", request()).path not in paths
    assert AttentionStore(str(tmp_path), "train", request()).path in paths


def test_store_put_in_the_wrong_place_is_refused_in_one_line(whole, tmp_path):
    other = store_in(tmp_path / "whole", layer=1)
    os.rename(whole.path, other.path)
    with pytest.raises(IELError, match=r"this store's layer is None, not 1; remove the folder") as error:
        other.fill(Extraction(tmp_path / "log"))
    assert "\n" not in str(error.value)


def test_fingerprint_is_of_tokens_and_their_borders():
    assert source_fingerprint(dataset_of([[4], [5]])) != source_fingerprint(dataset_of([[4, 5]]))
    assert source_fingerprint(dataset_of([[4], [5]])) == source_fingerprint(dataset_of([[4], [5]]))


def test_sources_that_need_not_be_truncated_are_the_same():
    """``--truncate-source``, by which fairseq counts one token more of them."""
    whole = dataset_of([[4, 5], [6], [7, 8, 9]])
    for limit, same in ((4, True), (3, False)):
        plain = ListDataset(whole.src, whole.src_sizes)
        cut = AppendTokenDataset(TruncateDataset(StripTokenDataset(plain, EOS), limit - 1), EOS)
        dataset = LanguagePairDataset(cut, cut.sizes, whole.src_dict)
        assert dataset.src_sizes.tolist() != whole.src_sizes.tolist()
        assert (source_fingerprint(dataset) == source_fingerprint(whole)) is same
        joined = LanguagePairDataset(ConcatDataset([cut, cut]), np.tile(cut.sizes, 2), whole.src_dict)
        assert source_lengths(joined).tolist() == [len(cut[index]) for index in range(3)] * 2


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_a_source_on_disk_has_the_fingerprint_that_it_has_in_memory(tmp_path, monkeypatch, dtype):
    dataset = dataset_of(TEXTS)
    builder = MMapIndexedDatasetBuilder(str(tmp_path / "source.bin"), dtype=dtype)
    for index in range(len(dataset)):
        builder.add_item(dataset.src[index])
    builder.finalize(str(tmp_path / "source.idx"))
    expected = source_fingerprint(dataset)
    dataset.src = MMapIndexedDataset(str(tmp_path / "source"))
    monkeypatch.setattr("iel_fairseq.attention_store.BLOCK", 7)
    assert source_fingerprint(dataset) == expected


@pytest.mark.parametrize("die_at", [0, 24, 48])
def test_killed_and_started_again_it_redoes_the_shard_in_hand_only(tmp_path, expected, die_at):
    store = store_in(tmp_path)
    killed = Extraction(tmp_path / "killed", die_at=die_at)
    process = start(store.fill, killed)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert store.open() is None
    again = Extraction(tmp_path / "again")
    store.fill(again)
    assert again.shards() == list(range(die_at, 50, SHARD))
    assert content(store) == expected


def test_killed_while_joining_the_shards(tmp_path, expected, monkeypatch):
    original = os.replace
    for survivors in range(11):  # seven shards and three files are renamed; each in its turn is the last
        store = store_in(tmp_path / str(survivors))
        left = iter(range(survivors))

        def dying(*arguments, left=left):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            process = start(store.fill, Extraction(tmp_path / "log"))
            process.join()
        assert process.exitcode == (-signal.SIGKILL if survivors < 10 else 0)
        store.fill(Extraction(tmp_path / "log"))
        assert content(store) == expected
        assert not Path(store.path, "shards").exists()


def test_shards_that_a_process_left_when_it_was_killed_are_removed(tmp_path, expected, monkeypatch):
    store = store_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        process = start(store.fill, Extraction(tmp_path / "log"))
        process.join()
    assert Path(store.path, "shards").exists()
    store.fill(Extraction(tmp_path / "log"))
    assert content(store) == expected
    assert not Path(store.path, "shards").exists()


def test_several_at_once_share_the_work(tmp_path, expected):
    store = store_in(tmp_path)
    extraction = Extraction(tmp_path / "together", seconds=0.1)
    processes = [start(store.fill, extraction) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(extraction.shards()) == list(range(0, 50, SHARD))  # none twice
    assert len({line.split()[0] for line in extraction.log.read_text().splitlines()}) == 3
    assert content(store) == expected


def test_the_shard_of_one_that_died_is_taken_over(tmp_path, expected):
    store = store_in(tmp_path)
    together = tmp_path / "together"
    doomed = start(store.fill, Extraction(together, seconds=60))  # holds the first shard, for long
    while not together.exists():
        time.sleep(0.01)
    other = start(store.fill, Extraction(together))
    while len(together.read_text().splitlines()) < 7:
        time.sleep(0.01)
    time.sleep(0.5)
    assert other.is_alive()  # it waits for the first
    doomed.kill()
    other.join(timeout=10)
    assert other.exitcode == 0
    assert content(store) == expected


def test_shares_on_machines_that_have_only_the_folder_in_common(tmp_path, expected, caplog):
    store = store_in(tmp_path)
    extractions = [Extraction(tmp_path / f"share{i}") for i in range(3)]
    with caplog.at_level(logging.INFO):
        assert store.fill_share(extractions[2], 3, 2) is None
    assert "this share is finished; 5 of 7 shards are missing" in caplog.text
    assert store.fill_share(extractions[0], 3, 0) is None
    assert store.fill_share(extractions[1], 3, 1) is not None
    assert [extraction.shards() for extraction in extractions] == [[0, 24, 48], [8, 32], [16, 40]]
    assert content(store) == expected


@pytest.mark.parametrize("damage", ["empty", "truncated", "altered", "other"])
def test_damaged_shard_is_found_out_and_redone(tmp_path, expected, damage, caplog):
    store = store_in(tmp_path)
    store.fill_share(Extraction(tmp_path / "log"), 7, 3)
    shard = Path(store.path) / "shards" / "00003.npz"
    data = bytearray(shard.read_bytes())
    if damage == "altered":
        data[-200] ^= 1
    elif damage == "other":
        store.fill_share(Extraction(tmp_path / "log"), 7, 6)
        data = (shard.parent / "00006.npz").read_bytes()
    shard.write_bytes({"empty": b"", "truncated": data[:300]}.get(damage, data))
    again = Extraction(tmp_path / "again")
    store.fill(again)
    assert again.shards()[-1] == 24
    assert "00003.npz: damaged; its sentences are extracted again" in caplog.text
    assert content(store) == expected


def test_whatever_byte_of_a_shard_is_altered_the_store_is_right(tmp_path, expected):
    store = store_in(tmp_path)
    store.fill_share(Extraction(tmp_path / "log"), 2, 0)
    shard = Path(store.path) / "shards" / "00000.npz"
    good = shard.read_bytes()
    for place in range(len(good)):
        shard.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            sizes, positions = store._read_shard(0)
        except IELError:
            continue
        assert (sizes.tolist(), positions.tolist()) == ([0, 1, 2, 3, 4, 5, 6, 0], np.concatenate(FOUND[:8]).tolist())


@pytest.mark.parametrize("file", ["manifest.json", "positions.bin", "positions.idx"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "altered"])
def test_damaged_store_is_extracted_again(whole, tmp_path, expected, file, damage, caplog):
    path = Path(whole.path) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": data[: len(data) // 2]}.get(damage, data))
    again = Extraction(tmp_path / "again")
    whole.fill(again)
    assert len(again.shards()) == 7
    assert content(whole) == expected
    assert ("damaged" in caplog.text) == ((file, damage) != ("manifest.json", "missing"))


def one_word_more(folder: Path, manifest: dict) -> None:
    manifest["words"] += 1


def no_checksums(folder: Path, manifest: dict) -> None:
    manifest["crc32"] = None


def numbers_of_four_bytes(folder: Path, manifest: dict) -> None:
    rows = MMapIndexedDatasetBuilder(str(folder / "positions.bin"), dtype=np.int32)
    for positions in FOUND:
        rows.add_item(torch.from_numpy(positions))
    rows.finalize(str(folder / "positions.idx"))
    manifest["crc32"] = {name: store_files.crc32(str(folder / name)) for name in store_files.FILES}


@pytest.mark.parametrize("change", [one_word_more, no_checksums, numbers_of_four_bytes])
def test_a_store_whose_parts_do_not_belong_together_is_extracted_again(whole, tmp_path, expected, change, caplog):
    """Each is as it was written; the manifest is of others."""
    file = Path(whole.path) / "manifest.json"
    manifest = json.loads(file.read_text())
    change(file.parent, manifest)
    file.write_text(json.dumps(manifest))
    assert whole.open() is None
    assert "damaged" in caplog.text
    whole.fill(Extraction(tmp_path / "again"))
    assert content(whole) == expected


def hold(store: AttentionStore, held: EventType) -> None:
    with open(store._file("lock"), "ab") as lock, _locked(lock, len(store.shards)) as ours:
        assert ours
        held.set()
        time.sleep(60)


def test_a_damaged_store_is_not_left_to_one_that_died(whole, tmp_path, expected):
    (Path(whole.path) / "positions.bin").write_bytes(b"")
    held = multiprocessing.Event()
    doomed = start(hold, whole, held)  # as if it were looking through the store
    assert held.wait(timeout=10)
    other = start(whole.fill, Extraction(tmp_path / "again"))
    time.sleep(0.5)
    assert other.is_alive()
    doomed.kill()
    other.join(timeout=10)
    assert other.exitcode == 0
    assert content(whole) == expected


def test_store_in_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(IELError, match=r"cannot be stored \(Not a directory\)"):
        store_in(tmp_path / "file").fill(Extraction(tmp_path / "log"))


def test_what_is_stored_is_read_by_one_call_from_the_store_or_its_folder(whole, tmp_path):
    for folder in (whole.path, Path(whole.path).parent):
        found = iel_fairseq.read_attention_positions(folder)
        assert len(found) == 50
        assert all(np.array_equal(positions, expected) for positions, expected in zip(found, FOUND, strict=True))
        assert found[-1].tolist() == FOUND[49].tolist()
        assert found[6].dtype == np.int64
        # Of what nobody holds any more: fairseq unmaps its own sizes with their data set.
        assert iel_fairseq.read_attention_positions(folder).sizes.tolist() == [len(positions) for positions in FOUND]
        assert (found.path, found.split, found.extractor_sha256) == (whole.path, "train", "ab" * 32)
        assert (found.layer, found.heads, found.precision) == (None, None, "float32")
    with pytest.raises(IndexError):
        found[50]


def test_a_split_without_any_attention_word_is_read(tmp_path):
    AttentionStore(str(tmp_path), "valid.1", request([[4], [5]])).fill(lambda _: [np.empty(0, dtype=np.int64)] * 2)
    found = iel_fairseq.read_attention_positions(tmp_path)
    assert [positions.tolist() for positions in found] == [[], []]
    assert found.split == "valid.1"


def test_what_cannot_be_read_by_one_call_is_one_line(whole, tmp_path):
    empty = tmp_path / "empty"
    with pytest.raises(IELError, match=r"empty: no attention positions that are whole; make them with iel extract"):
        iel_fairseq.read_attention_positions(empty)
    other = store_in(Path(whole.path).parent, layer=1)
    other.fill(lambda sentences: FOUND[sentences.start : sentences.stop])
    with pytest.raises(IELError, match="whole: holds several stores; name one of") as caught:
        iel_fairseq.read_attention_positions(Path(whole.path).parent)
    assert all(Path(store.path).name in str(caught.value) for store in (whole, other))
    assert iel_fairseq.read_attention_positions(other.path).layer == 1
    with open(Path(other.path) / "positions.bin", "r+b") as file:
        file.write(b"\xff")
    with pytest.raises(IELError, match="damaged; run iel extract"):
        iel_fairseq.read_attention_positions(other.path)


def positions(*rows: list[int]) -> ListDataset:
    return ListDataset([torch.tensor(row, dtype=torch.int64) for row in rows], np.array([len(row) for row in rows]))


def test_share_of_new_words():
    assert share_of_new(positions([1, 2, 3, 3], [1]), positions([1, 2, 2], [1, 4])) == pytest.approx(2 / 5)
    assert share_of_new(positions([1, 2]), positions([1, 2])) == 0
    assert share_of_new(positions([], []), positions([1], [])) == 0


@pytest.mark.parametrize("dtypes", [(np.uint16, np.uint16), (np.int32, np.uint16)])
def test_share_of_new_words_of_stores(tmp_path, monkeypatch, dtypes):
    """Blocks of sentences, which do not end together; some sentences have no words."""
    monkeypatch.setattr("iel_fairseq.attention_store.BLOCK_OF_SENTENCES", 7)
    random = np.random.default_rng(1)
    rows = [[random.integers(1, 4, random.integers(0, 6)).tolist() for _ in range(30)] for _ in dtypes]
    stored = []
    for name, sentences, dtype in zip("ab", rows, dtypes, strict=True):
        builder = MMapIndexedDatasetBuilder(str(tmp_path / f"{name}.bin"), dtype)
        for sentence in sentences:
            builder.add_item(torch.tensor(sentence))
        builder.finalize(str(tmp_path / f"{name}.idx"))
        stored.append(MMapIndexedDataset(str(tmp_path / name)))
    same = sum(now == then for pair in zip(*rows, strict=True) for now, then in zip(*pair, strict=False))
    assert 0 < same < sum(map(len, rows[0]))
    assert share_of_new(*stored) == pytest.approx(1 - same / sum(map(len, rows[0])))


def test_what_the_extraction_cannot_read_is_not_blamed_on_the_store(tmp_path):
    def extract(sentences):
        raise FileNotFoundError(2, "No such file or directory", "train.src.bin")

    with pytest.raises(FileNotFoundError, match=r"train\.src\.bin"):
        store_in(tmp_path).fill(extract)


def test_the_checksum_is_of_all_blocks_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(store_files, "BLOCK", 4)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert store_files.crc32(str(tmp_path / "file")) == zlib.crc32(b"0123456789")


def test_a_damaged_shard_of_ones_own_share_is_extracted_again(tmp_path):
    store = store_in(tmp_path)
    for share in range(6):
        store.fill_share(Extraction(tmp_path / "log"), 7, share)  # all but the last shard
    (Path(store.path) / "shards" / "00000.npz").write_bytes(b"")
    again = Extraction(tmp_path / "again")
    assert store.fill_share(again, 2, 0) is not None  # which the first and the last shard are of
    assert again.shards() == [48, 0]


def test_whoever_joins_the_shards_is_alone(tmp_path):
    store = store_in(tmp_path)
    store.fill_share(Extraction(tmp_path / "log"), 2, 0)
    held = multiprocessing.Event()
    first = start(hold, store, held)  # as if it were joining them
    assert held.wait(timeout=10)
    other = start(store.fill, Extraction(tmp_path / "again"))
    time.sleep(1)
    assert other.is_alive()
    assert not (Path(store.path) / "manifest.json").exists()
    first.kill()
    other.join(timeout=30)
    assert (Path(store.path) / "manifest.json").exists()


def test_a_store_is_found_whatever_its_folder_is_called(tmp_path):
    store_in(tmp_path / "data[1]").fill(Extraction(tmp_path / "log"))
    assert len(iel_fairseq.read_attention_positions(tmp_path / "data[1]")) == 50
