"""Texts as the model reads them: what is too long is cut, the appended word never is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_bert import LIMIT, make_classifier

from iel_fairseq.classification.dataset import ClassificationDataset
from iel_fairseq.classification.encoding import Encoded, encode, pad
from iel_fairseq.classification.glue import Example


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("bert")).model.tokenizer


def tokens(tokenizer, text: str, word: str | None = None, limit: int = LIMIT) -> tuple[str, int]:
    (encoded,), cut = encode(tokenizer, [text], limit, [word])
    assert len(encoded.input_ids) <= limit
    return " ".join(tokenizer.convert_ids_to_tokens(encoded.input_ids.tolist())), cut


def test_short_texts_are_what_the_tokenizer_makes_of_them(tokenizer):
    assert tokens(tokenizer, "the film", "film") == ("[CLS] the film film [SEP]", 0)
    assert tokens(tokenizer, "the film\ta dog.", "film") == ("[CLS] the film [SEP] a dog . film [SEP]", 0)
    assert tokens(tokenizer, "the film\ta dog.") == ("[CLS] the film [SEP] a dog . [SEP]", 0)
    assert tokens(tokenizer, "the film\ta dog\tfilm") == ("[CLS] the film [SEP] a dog film [SEP]", 0)
    assert tokens(tokenizer, "", None) == ("[CLS] [SEP]", 0)
    (pair,), _ = encode(tokenizer, ["the film\ta dog"], LIMIT)
    assert pair.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("texts", [["the film", "a dog", "", "..."], ["the film\ta dog", "a\t", "\tdog"]])
def test_the_tokenizer_gets_some_texts_at_a_time(tokenizer, texts, monkeypatch):
    expected, _ = encode(tokenizer, texts, LIMIT)
    monkeypatch.setattr("iel_fairseq.classification.encoding.AT_ONCE", 2)
    found, _ = encode(tokenizer, texts, LIMIT)
    assert len(found) == len(texts)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.input_ids.tolist() == theirs.input_ids.tolist()
        assert ours.token_type_ids.tolist() == theirs.token_type_ids.tolist()
    assert encode(tokenizer, [], LIMIT) == ([], 0)


def test_a_long_text_loses_its_end_but_not_the_word(tokenizer):
    assert tokens(tokenizer, "the " * 600, "playing") == ("[CLS] " + "the " * 20 + "play ##ing [SEP]", 1)
    assert tokens(tokenizer, "the " * 20, "playing") == ("[CLS] " + "the " * 20 + "play ##ing [SEP]", 0)
    assert tokens(tokenizer, "the " * 600) == ("[CLS] " + "the " * 22 + "[SEP]", 1)
    assert tokens(tokenizer, "the " * 600, limit=8) == ("[CLS] " + "the " * 6 + "[SEP]", 1)


def test_the_longer_sentence_of_a_pair_is_cut(tokenizer):
    text = "a film\t" + "dog " * 600
    assert tokens(tokenizer, text, "film") == ("[CLS] a film [SEP] " + "dog " * 18 + "film [SEP]", 1)
    text = "dog " * 600 + "\ta film"
    assert tokens(tokenizer, text, "film") == ("[CLS] " + "dog " * 18 + "[SEP] a film film [SEP]", 1)


def test_a_cut_within_a_word_still_leaves_room(tokenizer):
    for limit in range(6, 20):
        found, _ = tokens(tokenizer, "playings " * 30, "playing", limit)
        assert found.endswith("play ##ing [SEP]")


def test_a_word_that_is_longer_than_all(tokenizer):
    found, cut = tokens(tokenizer, "the film", "play" + "ing" * 20, limit=8)
    assert cut == 1
    assert found == "[CLS] play ##ing ##ing ##ing ##ing ##ing [SEP]"


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_on_the_tokenizers_side_for_all_that_a_model_gets(side):
    tokenizer = SimpleNamespace(padding_side=side, pad_token_id=9, model_input_names=["input_ids", "token_type_ids"])
    rows = [Encoded(np.array(ids), np.array(types)) for ids, types in (([1, 2, 3], [0, 1, 1]), ([4, 5], [0, 1]))]
    batch = {name: tensor.tolist() for name, tensor in pad(rows, tokenizer).items()}
    short = {"left": ([9, 4, 5], [0, 1, 1], [0, 0, 1]), "right": ([4, 5, 9], [1, 1, 0], [0, 1, 0])}[side]
    assert batch == {
        "input_ids": [[1, 2, 3], short[0]],
        "attention_mask": [[1, 1, 1], short[1]],
        "token_type_ids": [[0, 1, 1], short[2]],
    }


def test_what_looks_like_a_special_token_is_no_token_of_the_data_set(tmp_path):
    model = make_classifier(tmp_path).model
    dataset = ClassificationDataset([Example("the [SEP] film", 1)], model)
    assert model.tokenizer.decode(dataset.encoded[0].input_ids) == "[CLS] the [UNK] [UNK] [UNK] film [SEP]"
    dataset = ClassificationDataset([Example("the film", 1)] * 2, model, ["[MASK]", None])  # another tokenizer's word
    assert model.tokenizer.decode(dataset.encoded[0].input_ids) == "[CLS] the film [UNK] [UNK] [UNK] [SEP]"


def test_a_batch_is_padded_and_the_cut_ones_are_counted(tmp_path):
    model = make_classifier(tmp_path).model
    examples = [Example("the film", 1), Example("a " * 99, 0), Example("", 1)]
    dataset = ClassificationDataset(examples, model, ["film", "a", None])
    assert dataset.cut == 1
    assert dataset.sizes.tolist() == [5, LIMIT, 2]
    batch = dataset.collater([dataset[0], dataset[2]])
    assert batch["net_input"]["input_ids"].shape == (2, 5)
    assert batch["net_input"]["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert batch["target"].tolist() == [1, 1]
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=2, required_batch_size_multiple=8)
    assert sorted(np.concatenate(batches).tolist()) == [0, 1, 2]  # no sentence is lost
