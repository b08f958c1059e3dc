"""Extraction of a whole data set, and the store that keeps it (DESIGN lines 1, 5, 13a)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data import LanguagePairDataset
from test_attention_words import sentences
from tiny_models import EOS, batch, make_fconv, make_task, make_transformer

from iel_fairseq.attention_store import (
    AttentionPositions,
    extract_dataset,
    read_store,
    source_fingerprint,
    store_manifest,
    store_path,
    write_store,
)
from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.dataset import CompleteLanguagePairDataset
from iel_fairseq.extractor import Extractor


class Untouchable:
    """A target side that must not be read."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        raise AssertionError("extraction read the target")


def dataset_of(texts: list[list[int]], **options) -> CompleteLanguagePairDataset:
    dictionary = make_task().source_dictionary
    src = [torch.tensor([*text, EOS]) for text in texts]
    sizes = [len(text) + 1 for text in texts]
    return CompleteLanguagePairDataset(
        LanguagePairDataset(src, sizes, dictionary, Untouchable(len(src)), sizes, dictionary, **options)
    )


def extract(dataset, model, max_tokens=40) -> AttentionPositions:
    extractor = Extractor(model, path="model.pt", sha256="0" * 64, round=0)
    return extract_dataset(
        dataset, extractor, name="train", device=torch.device("cpu"), max_tokens=max_tokens, log_format="none"
    )


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
@pytest.mark.parametrize("left_pad_source", [True, False])
def test_every_sentence_is_extracted_as_if_alone_in_the_order_of_the_data_set(make, left_pad_source):
    model = make(max_positions=24)  # short, for speed: 23 words at most are generated
    texts = sentences(31, seed=4)
    np.random.default_rng(0).shuffle(texts)
    texts[5] = []
    for max_tokens in (1, 40, 1000):
        found = extract(dataset_of(texts, left_pad_source=left_pad_source), model, max_tokens)
        assert len(found) == 31
        assert len(found[5]) == 0
        for index, text in enumerate(texts):
            alone = extract_attention_words(model, batch(text))
            assert found[index].tolist() == alone.positions[0].tolist()


def test_source_that_the_extractor_cannot_read_gets_no_words_and_is_counted(caplog):
    model = make_transformer(max_positions=8)
    with caplog.at_level(logging.WARNING):
        found = extract(dataset_of([[4] * 7, [5] * 8, [6]]), model)
    assert [len(found[i]) > 0 for i in range(3)] == [True, False, True]
    assert "train: 1 sources are longer than the extractor can read (8 tokens)" in caplog.text


def test_positions_are_small_integers():
    packed = AttentionPositions.of([np.array([1, 65535]), np.array([], dtype=int), np.array([3])])
    assert packed.positions.dtype == np.uint16
    assert [sentence.tolist() for sentence in packed] == [[1, 65535], [], [3]]
    assert packed.words.tolist() == [2, 0, 1]
    assert AttentionPositions.of([np.array([65536])]).positions.dtype == np.uint32
    assert len(AttentionPositions.of([])) == 0


@pytest.fixture
def stored(tmp_path):
    dataset = dataset_of([[4, 5], [6]])
    manifest = store_manifest(dataset, "ab" * 32, None, None)
    found = AttentionPositions.of([np.array([2, 1, 1]), np.array([1])])
    path = store_path(str(tmp_path), "train", manifest)
    write_store(path, manifest, found)
    return path, manifest, found


def test_store_gives_back_what_was_written(stored, tmp_path):
    path, manifest, found = stored
    again = read_store(path, manifest)
    assert [sentence.tolist() for sentence in again] == [sentence.tolist() for sentence in found]
    assert [file.name for file in tmp_path.iterdir()] == [path.rpartition("/")[2]]  # nothing temporary is left


def test_store_of_other_data_extractor_or_options_is_another_file(stored):
    path, manifest, _ = stored
    others = [
        store_manifest(dataset_of([[4, 5], [7]]), "ab" * 32, None, None),
        store_manifest(dataset_of([[4], [5, 6]]), "ab" * 32, None, None),
        store_manifest(dataset_of([[4, 5], [6]]), "cd" * 32, None, None),
        store_manifest(dataset_of([[4, 5], [6]]), "ab" * 32, 0, None),
        store_manifest(dataset_of([[4, 5], [6]]), "ab" * 32, None, [1]),
    ]
    folder = path.rpartition("/")[0]
    assert len({store_path(folder, "train", other) for other in [manifest, *others]}) == 6
    for other in others:
        assert read_store(path, other) is None  # not even when it is put in the wrong place
    assert store_manifest(dataset_of([[4, 5], [6]]), "ab" * 32, None, None) == manifest


@pytest.mark.parametrize("damage", [b"", b"not a store", None])
def test_damaged_store_is_extracted_again(stored, damage, caplog):
    path, manifest, _ = stored
    whole = Path(path).read_bytes()
    with open(path, "wb") as file:
        file.write(whole[: len(whole) // 2] if damage is None else damage)
    assert read_store(path, manifest) is None
    assert "damaged" in caplog.text


def test_missing_store(tmp_path):
    assert read_store(str(tmp_path / "none.npz"), {"sentences": 1}) is None


def test_folder_that_cannot_be_written_loses_nothing(stored, tmp_path, caplog):
    _, manifest, found = stored
    write_store(str(tmp_path / "no" / "folder.npz"), manifest, found)
    assert "cannot be written" in caplog.text


def test_fingerprint_is_of_tokens_and_their_borders():
    assert source_fingerprint(dataset_of([[4], [5]])) != source_fingerprint(dataset_of([[4, 5]]))
    assert source_fingerprint(dataset_of([[4], [5]])) == source_fingerprint(dataset_of([[4], [5]]))
