"""What checkpoints remember, compared: with other models, with the data, with a training that goes on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.noise import Noise

LANGUAGES = {"source_lang": "src", "target_lang": "tgt"}
NOTHING = {"attn_positions": False, "attn_layer": None, "attn_heads": None, "attn_model": None, "attn_noise": None}
OURS = Enhancement("a.pt", "ab", attn_dropout=0.0, **LANGUAGES, source_dictionary="s", target_dictionary="t")

OTHER_INPUT = [
    {"attn_positions": True},
    {"attn_layer": 0},
    {"attn_heads": (1,)},
    {"attn_noise": 0.5},
    {"reads_itself": True},
]


@pytest.mark.parametrize("changed", [*OTHER_INPUT, {"extractor_sha256": "cd"}])
def test_models_of_an_ensemble_want_the_same_input(changed):
    other = replace(OURS, **changed)
    assert not OURS.same_input(other, extractor_given=False)
    assert OURS.same_input(other, extractor_given=True) is bool({"reads_itself", "extractor_sha256"} & set(changed))


def test_the_seed_of_noise_is_part_of_it_where_there_is_any():
    assert OURS.same_input(replace(OURS, attn_noise_seed=2), extractor_given=False)
    noisy = replace(OURS, attn_noise=0.5)
    assert not noisy.same_input(replace(noisy, attn_noise_seed=2), extractor_given=False)


@pytest.mark.parametrize("changed", [*OTHER_INPUT, {"extractor": None}, {"attn_dropout": 0.3}])
def test_a_training_goes_on_with_the_same_input(changed):
    OURS.check_resumes("last.pt", replace(OURS), same_extractor=True)
    OURS.check_resumes("last.pt", replace(OURS, attn_dropout=None), same_extractor=True)  # it was not always remembered
    OURS.check_resumes("last.pt", replace(OURS, extractor_sha256="cd"), same_extractor=False)
    with pytest.raises(IELError, match=r"last\.pt: this training began with another extractor"):
        OURS.check_resumes("last.pt", replace(OURS, extractor_sha256="cd"), same_extractor=True)
    with pytest.raises(IELError, match=r"last\.pt: this training began with .*, not with attention words of a\.pt"):
        OURS.check_resumes("last.pt", replace(OURS, **changed), same_extractor=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source_lang": "fr"}, "translates src-tgt, the data are fr-tgt"),
        ({"target_lang": "fr"}, "translates src-tgt, the data are src-fr"),
        ({"source_dictionary": "x"}, "another source dictionary"),
        ({"target_dictionary": "x"}, "another target dictionary"),
    ],
)
def test_data_are_those_of_the_training(changed, message):
    OURS.check_data(OURS)
    OURS.check_data(replace(OURS, source_dictionary=None, target_dictionary=None))
    with pytest.raises(IELError, match=message):
        OURS.check_data(replace(OURS, **changed))


def test_a_training_remembers_the_seed_of_its_noise():
    options = {**NOTHING, "attn_dropout": 0.0, "attn_noise": 0.5, "seed": 7}
    trained = Enhancement().with_words_of("/a.pt", "ab", SimpleNamespace(**options), 1)
    assert trained.noise == Noise(0.5, 7)


def test_a_training_remembers_its_round_and_no_noise_as_none():
    trained = Enhancement().with_words_of("/a.pt", "ab", SimpleNamespace(**NOTHING, attn_dropout=0.0, seed=7), 3)
    assert (trained.round, trained.attn_noise, trained.extractor) == (3, 0.0, "/a.pt")


def test_noise_that_is_asked_for_has_the_seed_of_the_command():
    assert OURS.asked_for(SimpleNamespace(**{**NOTHING, "attn_noise": 0.5, "seed": 7})).noise == Noise(0.5, 7)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"attn_layer": -1, "attn_heads": [0, 2]}, None),
        ({"attn_layer": 0}, "--attn-layer 0: the checkpoint was trained with -1; leave the option out"),
        ({"attn_heads": [1]}, r"--attn-heads \(1,\): the checkpoint was trained with \(0, 2\); leave the option out"),
    ],
)
def test_decoding_reads_what_training_read(asked, message):
    trained = replace(OURS, attn_layer=-1, attn_heads=(0, 2))
    with nullcontext() if message is None else pytest.raises(IELError, match=message):
        assert trained.asked_for(SimpleNamespace(**{**NOTHING, **asked})) == trained


def test_a_data_folder_that_was_moved_has_the_name_that_tells_more(tmp_path, monkeypatch):
    """What a training was told may be relative to another folder than today's; what it remembers is not."""
    monkeypatch.chdir(tmp_path)
    was = str(tmp_path / "elsewhere/bin")

    def folder_of(remembered: str | None, said: str) -> str | None:
        task_state = Enhancement(data=remembered).to_task_state()
        return Enhancement.of_training({"task_state": task_state, "cfg": SimpleNamespace(task={"data": said})}).data

    assert folder_of(was, "bin") == was
    assert folder_of(None, "bin") == "bin"
    (tmp_path / "bin").mkdir()
    assert folder_of(was, "bin") == "bin"
    (tmp_path / "elsewhere/bin").mkdir(parents=True)
    assert folder_of(was, "bin") == was
