"""Algorithm 1 over the sentences of a data set (DESIGN lines 1, 5, 13a)."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from fairseq.data import LanguagePairDataset
from test_attention_words import sentences
from tiny_models import EOS, batch, make_fconv, make_lstm, make_task, make_transformer

from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.dataset import CompleteLanguagePairDataset
from iel_fairseq.extraction import DatasetExtraction
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


def extraction(dataset, model, max_tokens=40, **options) -> DatasetExtraction:
    extractor = Extractor(model, path="model.pt", sha256="0" * 64, round=0)
    return DatasetExtraction(dataset, "train", extractor, torch.device("cpu"), max_tokens=max_tokens, **options)


@pytest.mark.parametrize(
    ("device", "threads", "max_tokens", "batch"),
    [("cpu", 2, None, 2000), ("cpu", 1, 8000, 2000), ("cuda", 2, None, 64_000), ("cuda", 1, 900, 900)],
)
def test_a_gpu_gets_all_at_once(set_threads, device, threads, max_tokens, batch):
    set_threads(threads)
    extractor = Extractor(make_transformer(), path="model.pt", sha256="0" * 64, round=0)
    of_device = DatasetExtraction(dataset_of([[4]]), "train", extractor, torch.device(device), max_tokens=max_tokens)
    assert of_device._batch_tokens == batch


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
@pytest.mark.parametrize(("left_pad_source", "threads"), [(True, 1), (False, 1), (True, 3)])
def test_every_sentence_is_extracted_as_if_alone_in_the_order_of_the_data_set(
    make, left_pad_source, threads, set_threads
):
    set_threads(threads)
    model = make(max_positions=24)  # short, for speed: 23 words at most are generated
    texts = sentences(31, seed=4)
    np.random.default_rng(0).shuffle(texts)
    texts[5] = []
    dataset = dataset_of(texts, left_pad_source=left_pad_source)
    alone = [extract_attention_words(model, batch(text)).positions[0].tolist() for text in texts]
    for max_tokens in (1, 40, 1000):
        for part in (range(31), range(3, 17), range(30, 31), range(0)):
            found = extraction(dataset, model, max_tokens).positions(part)
            assert [positions.tolist() for positions in found] == alone[part.start : part.stop]
    assert alone[5] == []


def test_source_that_the_extractor_cannot_read_gets_no_words_and_is_counted(caplog):
    model = make_transformer(max_positions=8)
    dataset = dataset_of([[4] * 7, [5] * 8, [6]])
    with caplog.at_level(logging.WARNING):
        found = extraction(dataset, model).positions(range(3))
    assert [len(positions) > 0 for positions in found] == [True, False, True]
    assert "train: 1 sources are longer than the extractor can read (8 tokens)" in caplog.text


def test_batches_give_all_that_the_extractor_said():
    model = make_transformer(max_positions=24)
    texts = sentences(9, seed=5)
    seen = {}
    for indices, words in extraction(dataset_of(texts), model).batches(range(2, 9)):
        for row, index in enumerate(indices):
            count = words.lengths[row]
            seen[index] = [getattr(words, name)[row, :count] for name in ("hypotheses", "positions", "scores")]
    assert sorted(seen) == list(range(2, 9))
    for index, (hypothesis, positions, scores) in seen.items():
        alone = extract_attention_words(model, batch(texts[index]))
        assert torch.equal(hypothesis, alone.hypotheses[0])
        assert torch.equal(positions, alone.positions[0])
        assert torch.allclose(scores, alone.scores[0], atol=1e-5)


def test_store_is_of_this_extractor_data_and_reading(tmp_path):
    model = make_transformer(max_positions=24)
    dataset = dataset_of(sentences(9, seed=5))
    paths = {
        extraction(dataset, model, **options).store(str(tmp_path)).path
        for options in ({}, {"layer": 0}, {"heads": [0]}, {"max_tokens": 9})  # the last changes nothing
    }
    assert len(paths) == 3
    both = extraction(dataset, model)
    found = both.store(str(tmp_path)).fill(both.positions)
    assert [positions.tolist() for positions in found] == [positions.tolist() for positions in both.positions(range(9))]


@pytest.mark.parametrize("options", [{"all_weights": True}, {"beam": 2}])
def test_heads_and_layer_are_those_asked_for_in_analysis_too(options):
    model, dataset = make_transformer(max_positions=24), dataset_of(sentences(9, seed=5))

    def found(**choice) -> list[list[int]]:
        return [row.tolist() for row in extraction(dataset, model, **choice).positions(range(9))]

    for choice in ({"heads": [1]}, {"layer": 0}):
        assert found(**options, **choice) != found(**options)
        if "beam" not in options:
            assert found(**options, **choice) == found(**choice)


def test_a_beams_hypotheses_are_as_long_as_greedy_ones_at_most():
    found = extraction(dataset_of([[4] * 5]), make_transformer(seed=3), beam=2).positions(range(1))
    assert len(found[0]) == 17  # 1.2 x 6 + 10: fairseq counts </s> in the source


@pytest.mark.parametrize("make", [make_transformer, make_fconv, make_lstm])
def test_a_beam_is_not_wider_or_longer_for_a_source_that_is_left_out(make):
    texts = [[4, 5, 6], [7, 8], [9]]
    beside = [[4] * 80, *texts]  # the models read 64
    alone, found = (
        [row.tolist() for row in extraction(dataset_of(some), make(), 8000, beam=3).positions(range(len(some)))]
        for some in (texts, beside)
    )
    assert found == [[], *alone]


def test_the_extractor_computes_in_the_precision_that_is_asked_for():
    model = make_transformer(max_positions=24)
    extraction(dataset_of([[4] * 5]), model, dtype=torch.bfloat16).positions(range(1))
    assert next(model.parameters()).dtype == torch.bfloat16
