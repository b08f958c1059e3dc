"""Whether an extractor fits the data, by what its checkpoint remembers, and by its data folder."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from fairseq.modules.quantization.scalar.modules import IntLinear
from tiny_models import checkpoint_of

from iel_fairseq.dictionaries import dictionary_fingerprint
from iel_fairseq.errors import IELError
from iel_fairseq.extractor import load_extractor
from iel_fairseq.tasks.attn_enhanced_translation import AttnEnhancedTranslationTask

REVERSED = range(9, -1, -1)


def folder_of(path: Path, words=range(10)) -> Path:
    path.mkdir(parents=True)
    for language in ("src", "tgt"):
        (path / f"dict.{language}.txt").write_text("".join(f"w{number} 1\n" for number in words))
    return path


@pytest.fixture
def task(tmp_path):
    data = str(folder_of(tmp_path / "data"))
    return AttnEnhancedTranslationTask.of_data_folder(data, "src", "tgt")


@pytest.fixture
def saved(tmp_path):
    """saved(data, languages, memory): path of a checkpoint trained on that folder, that remembers what is given."""

    def save(data: Path | str, languages: tuple = ("src", "tgt"), **memory) -> str:
        state = checkpoint_of(data, **memory)
        state["cfg"]["task"].update(source_lang=languages[0], target_lang=languages[1])
        torch.save(state, tmp_path / "model.pt")
        return str(tmp_path / "model.pt")

    return save


def test_equal_fingerprints_count_whatever_has_become_of_the_data_folder(task, saved, tmp_path):
    same = dictionary_fingerprint(task.source_dictionary)
    other = folder_of(tmp_path / "other", REVERSED)
    load_extractor(saved(other, source_dictionary=same, target_dictionary=same), task)
    with pytest.raises(IELError, match="source dictionary is not the data's: they first differ at entry 4"):
        load_extractor(saved(other), task)


@pytest.mark.parametrize("side", ["source", "target"])
def test_other_fingerprints_count_where_the_data_folder_is_gone(task, saved, tmp_path, side):
    with pytest.raises(IELError, match=f"{side} dictionary is not the data's: their fingerprints differ"):
        load_extractor(saved(tmp_path / "gone", **{f"{side}_dictionary": "0" * 64}), task)


def test_what_is_trained_with_rounded_weights_is_read_with_them(task, saved, tmp_path, monkeypatch):
    """As fairseq decodes with it. (It puts them on the GPU, wherever the model is.)"""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: module)
    path = saved(tmp_path / "data")
    state = torch.load(path)
    state["cfg"]["model"]["quant_noise_scalar"] = 0.5
    torch.save(state, path)
    model = load_extractor(path, task).model
    assert isinstance(model.encoder.layers[0].fc1, IntLinear)
    assert model.encoder.embed_tokens.weight.equal(state["model"]["encoder.embed_tokens.weight"])


@pytest.mark.parametrize("languages", [("src", "fr"), ("fr", "tgt"), ("tgt", "src")])
def test_both_languages_count(task, saved, tmp_path, languages):
    with pytest.raises(IELError, match=f"translates {'-'.join(languages)}, the data are src-tgt"):
        load_extractor(saved(tmp_path / "gone", languages), task)


def test_a_relative_data_folder_of_another_place_says_nothing(task, saved, tmp_path, monkeypatch, caplog):
    """There is one of that name here, too, by chance, with other entries and another pair of languages."""
    here = folder_of(tmp_path / "elsewhere" / "DATA-BIN", REVERSED)
    (here / "train.tgt-src.src.idx").touch()
    monkeypatch.chdir(here.parent)
    with caplog.at_level(logging.WARNING):
        load_extractor(saved("DATA-BIN"), task)
        load_extractor(saved("DATA-BIN", (None, None)), task)
        monkeypatch.chdir(here)  # where the dictionaries are
        load_extractor(saved("DATA-BIN"), task)
    assert caplog.text.count("dictionary is the data's, its size alone says") == 6


def test_a_relative_data_folder_is_the_datas_however_that_is_named(saved, tmp_path, monkeypatch):
    data = folder_of(tmp_path / "data")
    (data / "train.tgt-src.src.idx").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IELError, match="the extractor translates tgt-src, the data are src-tgt"):
        load_extractor(saved("data", (None, None)), AttnEnhancedTranslationTask.of_data_folder(str(data), "src", "tgt"))
