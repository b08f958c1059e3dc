"""What is particular to this training reaches fairseq's own ways of logging."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import IEL, MODELS, train

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(folder: Path) -> dict[str, list[float]]:
    """What the event file in a folder holds: for each metric its values, in order."""
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_round_changed_words_and_noise_are_there_for_each_epoch(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    log = train(
        *(data, tmp_path / "save", *IEL, *MODELS["transformer"], "--finetune-from-model", baseline),
        *("--train-subset", "valid", "--valid-subset", "test"),  # small
        *("--attn-store", tmp_path / "stores", "--bootstrap-rounds", 2, "--attn-noise", 0.25),
        *("--tensorboard-logdir", tmp_path / "events"),
    )
    rounds = json.loads((tmp_path / "save" / "bootstrapping.json").read_text())["rounds"]
    changed = rounds[1]["changed"]
    for part in ("train", "test"):  # fairseq calls the validation by its split
        found = scalars(tmp_path / "events" / part)
        assert found["bootstrap_round"] == [1, 2]
        assert found["attn_changed"] == pytest.approx([changed], abs=5e-4)  # there is none in the first round
        assert found["attn_noise"] == [0.25, 0.25]
        assert len(found["loss"]) == 2
    assert "| bootstrap_round 2 |" in log


def test_a_training_without_them_logs_none_of_them(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    train(
        *(data, tmp_path / "save", *IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--no-save"),
        *("--train-subset", "valid", "--valid-subset", "test", "--max-epoch", 1),
        *("--attn-store", tmp_path / "stores", "--tensorboard-logdir", tmp_path / "events"),
    )
    found = scalars(tmp_path / "events" / "train")
    assert "loss" in found
    assert not {"bootstrap_round", "attn_changed", "attn_noise"} & set(found)
