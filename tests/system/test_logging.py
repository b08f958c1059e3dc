"""What is particular to this training reaches fairseq's own ways of logging: TensorBoard, and Weights & Biases."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import CPU, IEL, MODELS, train

pytest.importorskip("tensorboard")  # which a plain install has not
pytest.importorskip("wandb")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record


def tensorboard_scalars(folder: Path) -> dict[str, list[float]]:
    """What the event file in a folder holds: for each metric its values, in order."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def wandb_scalars(folder: Path) -> dict[str, list[float]]:
    """Likewise of the one run in a folder that was logged offline."""
    [file] = folder.glob("wandb/offline-run-*/*.wandb")
    found = defaultdict(list)
    for content in leveldb_log(file.read_bytes()):
        for item in Record.FromString(content).history.item:
            [name] = item.nested_key
            found[name].append(json.loads(item.value_json))
    return found


def leveldb_log(log: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB has it, 7 bytes before it: blocks of 32 KiB with parts of records in them.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    block, head, full, last = 2**15, 7, 1, 4
    at, record = head, b""
    while at < len(log):
        if block - at % block < head:  # too little for a part
            at += block - at % block
            continue
        _checksum, length, kind = struct.unpack("<IHB", log[at : at + head])
        record += log[at + head : at + head + length]
        at += head + length
        if kind in (full, last):
            yield record
            record = b""


def test_round_changed_words_and_noise_are_there_for_each_epoch(data, trained, tmp_path, monkeypatch):
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("DIR", str(tmp_path))):
        monkeypatch.setitem(CPU, f"WANDB_{name}", value)
    baseline, _ = trained("transformer", "baseline")
    log = train(
        *(data, tmp_path / "save", *IEL, *MODELS["transformer"], "--finetune-from-model", baseline),
        *("--train-subset", "valid", "--valid-subset", "test"),  # small
        *("--attn-store", tmp_path / "stores", "--bootstrap-rounds", 2, "--attn-noise", 0.25),
        *("--tensorboard-logdir", tmp_path / "events", "--wandb-project", "rounds"),
        forked=False,  # W&B writes the last when the interpreter ends
    )
    rounds = json.loads((tmp_path / "save" / "bootstrapping.json").read_text())["rounds"]
    changed = rounds[1]["changed"]
    by_wandb = wandb_scalars(tmp_path)
    for part in ("train", "test"):  # fairseq calls the validation by its split
        by_tensorboard = tensorboard_scalars(tmp_path / "events" / part)
        for found, prefix in ((by_tensorboard, ""), (by_wandb, f"{part}/")):
            assert found[f"{prefix}bootstrap_round"] == [1, 2]
            # There is none in the first round.
            assert found[f"{prefix}attn_changed"] == pytest.approx([changed], abs=5e-4)
            assert found[f"{prefix}attn_noise"] == [0.25, 0.25]
            assert len(found[f"{prefix}loss"]) == 2
    assert "| bootstrap_round 2 |" in log


def test_a_training_without_them_logs_none_of_them(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    train(
        *(data, tmp_path / "save", *IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--no-save"),
        *("--train-subset", "valid", "--valid-subset", "test", "--max-epoch", 1),
        *("--attn-store", tmp_path / "stores", "--tensorboard-logdir", tmp_path / "events"),
    )
    found = tensorboard_scalars(tmp_path / "events" / "train")
    assert "loss" in found
    assert not {"bootstrap_round", "attn_changed", "attn_noise"} & set(found)
