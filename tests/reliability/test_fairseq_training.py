"""What fairseq promises of its training holds on attention words: it is plain ``translation`` on x' written out.

Positions are off, which text cannot have. Batches hold the same sentences, in the order of x, not of x'.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import IEL, MODELS, PLAIN, lines, training
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from forked import run_forked
from two_steps import assert_same, decode, preprocess_test_set

from iel_fairseq.enhancement import KEY, Enhancement

pytestmark = pytest.mark.parametrize(
    "arch", ["transformer", pytest.param("fconv", marks=pytest.mark.slow)], indirect=True
)
ON_TEST_SET = ("--train-subset", "test", "--disable-validation", "--max-tokens", 200)


def train(data: Path, save_dir: Path, arch: str, *extra: object) -> str:
    words = (*training(data, save_dir), *MODELS[arch], *ON_TEST_SET, *extra)
    return run_forked("fairseq-train", [str(word) for word in words], save_dir.parent)[1]


def batches(data: Path, epoch: int, *extra: object, shards: int = 1, shard: int = 0) -> list[dict[int, Any]]:
    """What fairseq-train with these options trains on in an epoch: for each batch source and target by sentence."""
    words = (*training(data, Path("unused")), "--arch", "transformer", *ON_TEST_SET, *extra)
    cfg = convert_namespace_to_omegaconf(
        options.parse_args_and_arch(options.get_training_parser(), [str(word) for word in words])
    )
    task = tasks.setup_task(cfg.task)
    task.load_dataset("test")
    iterator = task.get_batch_iterator(
        dataset=task.dataset("test"),
        max_tokens=cfg.dataset.max_tokens,
        max_sentences=cfg.dataset.batch_size,
        max_positions=task.max_positions(),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=cfg.dataset.required_batch_size_multiple,
        seed=cfg.common.seed,
        num_shards=shards,
        shard_id=shard,
        epoch=epoch,
    )
    return [
        {
            index: [row.tolist() for row in (source, previous, target)]
            for index, source, previous, target in zip(
                batch["id"].tolist(),
                batch["net_input"]["src_tokens"],
                batch["net_input"]["prev_output_tokens"],
                batch["target"],
                strict=True,
            )
        }
        for batch in iterator.next_epoch_itr(shuffle=True)
        if batch  # fairseq gives each rank as many, some of them empty
    ]


BATCHES = {
    "by tokens": ("--max-tokens", 60),
    "by sentences": ("--batch-size", 7),
    "padding": ("--left-pad-source", "--required-seq-len-multiple", 8),  # the first turns padding on the left off
    "sources truncated": ("--truncate-source", "--max-source-positions", 6),
}


@pytest.mark.parametrize("extra", BATCHES.values(), ids=BATCHES)
def test_batches(data, baseline, by_hand, extra):
    """The same sentences together, in the same order, padded alike; of each epoch, and of each rank."""
    together = (*IEL, "--attn-model", baseline, "--required-batch-size-multiple", 1, *extra)
    for epoch, shards, shard in ((1, 1, 0), (2, 2, 1)):
        ours = batches(data, epoch, *together, shards=shards, shard=shard)
        assert ours == batches(by_hand, epoch, *PLAIN, *extra, shards=shards, shard=shard)
        assert len(ours) > 1


def test_sources_that_are_too_long_are_left_out_as_ever(data, baseline):
    """Those whose x is; attention words that do not fit are cut instead."""
    limit = ("--max-source-positions", 6)
    ours = batches(data, 1, *IEL, "--attn-model", baseline, *limit)
    plain = batches(data, 1, *PLAIN, *limit)
    kept = [sorted(index for batch in found for index in batch) for found in (ours, plain)]
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < 100


@pytest.mark.parametrize("kind", ["raw", "lazy", "cached"])
def test_kinds_of_data_folders(corpus, data, baseline, tmp_path, kind):
    """Positions are extracted from each, named or found out; mmap is what all other tests have."""
    folder = preprocess_test_set(corpus, data, tmp_path / "bin", "--dataset-impl", kind)
    expected = batches(data, 1, *IEL, "--attn-model", baseline)
    assert batches(folder, 1, *IEL, "--attn-model", baseline, "--dataset-impl", kind) == expected
    if kind != "raw":  # which fairseq does not find out
        assert batches(folder, 1, *IEL, "--attn-model", baseline) == expected


def test_updates_of_several_batches(data, baseline, by_hand, arch, tmp_path):
    """Without dropout: rows are in another order, which are other draws."""
    same = ("--finetune-from-model", baseline, "--max-epoch", 2, "--no-save", "--update-freq", 3, "--dropout", 0)
    apart = train(by_hand, tmp_path / "plain", arch, *PLAIN, *same, "--required-seq-len-multiple", 8)
    together = ("--required-batch-size-multiple", 1, "--required-seq-len-multiple", 8)
    ours = train(data, tmp_path / "ours", arch, *IEL, *same, *together)

    def logged(log: str, name: str) -> list[float]:
        return [float(value) for value in re.findall(rf"\| train \|.*?\| {name} ([\d.]+)", log)]

    assert len(logged(ours, "loss")) == 2
    for name in ("loss", "gnorm", "num_updates", "wpb", "bsz"):
        assert logged(ours, name) == pytest.approx(logged(apart, name), abs=5e-3)


@pytest.fixture(scope="module")
def interrupted(data, baseline, arch, tmp_path_factory) -> tuple[Path, Path]:
    """Save directories of a training of 12 updates, and of one that was ended within an epoch and went on."""
    folders = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    same = (
        *IEL,
        "--finetune-from-model",
        baseline,
        "--save-interval-updates",
        5,
        "--attn-dropout",
        0.3,
        "--num-workers",
        1,
    )
    train(data, folders[0], arch, *same, "--max-update", 12)
    train(data, folders[1], arch, *same, "--max-update", 5)
    log = train(data, folders[1], arch, *same, "--max-update", 12)
    assert "Loaded checkpoint" in log
    assert "(epoch 1 @ 5 updates)" in log
    return folders


def test_going_on_within_an_epoch(interrupted):
    """Ends with the weights and the optimizer of a training that nothing interrupted, bit for bit."""
    states = [torch.load(folder / "checkpoint_last.pt") for folder in interrupted]
    assert states[0]["extra_state"]["train_iterator"]["epoch"] == 2
    found = [list(tensors([state["model"], state["last_optimizer_state"]])) for state in states]
    assert len(found[0]) > 100
    assert all(torch.equal(whole, parts) for whole, parts in zip(*found, strict=True))


def tensors(state: Any) -> Any:
    """All tensors in a checkpoint, in their order."""
    if torch.is_tensor(state):
        yield state
    elif isinstance(state, (dict, list, tuple)):
        for value in state.values() if isinstance(state, dict) else state:
            yield from tensors(value)


def test_averaged_checkpoints(data, by_hand, interrupted, tmp_path):
    """As fairseq's average_checkpoints.py: all but the weights, the task state among it, is the first file's."""
    states = [torch.load(interrupted[0] / name) for name in ("checkpoint_1_5.pt", "checkpoint_2_10.pt")]
    averaged = dict(states[0])
    averaged["model"] = {name: sum(state["model"][name] for state in states) / 2 for name in averaged["model"]}
    torch.save(averaged, tmp_path / "averaged.pt")
    remembered = [Enhancement.from_task_state(state["task_state"]) for state in (*states, averaged)]
    assert remembered[0] == remembered[1] == remembered[2]
    assert KEY in averaged["task_state"]
    together = decode("generate", data, tmp_path / "averaged.pt", *IEL, cwd=tmp_path)
    assert_same(together, decode("generate", by_hand, tmp_path / "averaged.pt", *PLAIN, cwd=tmp_path))
    assert lines(together, "P") != lines(
        decode("generate", data, interrupted[0] / "checkpoint_1_5.pt", *IEL, cwd=tmp_path), "P"
    )
