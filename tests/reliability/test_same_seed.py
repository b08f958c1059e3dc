"""The same command, seed and machine: the same checkpoint, bit for bit, on one core and on two."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import IEL, MODELS, PLAIN, USER_DIR, training
from forked import run_forked
from tiny_bert import WORDS, make_folder

WIDE = (
    *MODELS["transformer"],  # but wide enough for products that two threads share
    *("--encoder-embed-dim", 256, "--encoder-ffn-embed-dim", 512, "--decoder-embed-dim", 256),
    *("--decoder-ffn-embed-dim", 512, "--lr", "1e-3", "--train-subset", "valid", "--valid-subset", "test"),
)
CLASSIFY = (
    *("--user-dir", USER_DIR, "--task", "importance_enhanced_classification", "--glue-task", "CoLA", "--cpu"),
    *("--arch", "hf_sequence_classifier", "--criterion", "glue", "--optimizer", "adam", "--lr", "5e-3"),
    *("--batch-size", 16, "--best-checkpoint-metric", "matthews", "--maximize-best-checkpoint-metric"),
    *("--no-epoch-checkpoints", "--max-epoch", 1),
)
TRAINING = """
import sys, torch
torch.set_num_threads({threads})
sys.argv = {words}
from fairseq_cli.train import cli_main
cli_main()
"""


def train(threads: int, *words: object, cwd: Path) -> None:
    code = TRAINING.format(threads=threads, words=["fairseq-train", *map(str, words)])
    run_forked("python", ["-c", code], cwd)


@pytest.fixture(scope="module")
def wide_baseline(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    train(1, *training(data, folder), *PLAIN, *WIDE, "--max-epoch", 5, cwd=folder)
    return folder / "checkpoint_best.pt"


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """A GLUE folder with a CoLA of 96 sentences, and beside it a pretrained encoder, ``bert``."""
    folder, rng = tmp_path_factory.mktemp("glue"), random.Random(1)
    (folder / "CoLA").mkdir()
    for name in ("train", "dev"):
        lines = [f"x\t{rng.randint(0, 1)}\t\t{' '.join(rng.choices(WORDS[:9], k=6))}\n" for _ in range(96)]
        (folder / "CoLA" / f"{name}.tsv").write_text("".join(lines))
    make_folder(folder / "bert")
    return folder


def trained_parts(checkpoint: Path) -> list[bytes]:
    """Weights, and what the optimizer knows, as the bytes of each tensor."""
    state = torch.load(checkpoint)
    return [tensor.numpy().tobytes() for tensor in tensors([state["model"], state["last_optimizer_state"]])]


def tensors(state: Any) -> list[torch.Tensor]:
    if torch.is_tensor(state):
        return [state]
    if isinstance(state, (dict, list, tuple)):
        return [tensor for value in (state.values() if isinstance(state, dict) else state) for tensor in tensors(value)]
    return []


def assert_same(runs: list[Path], another_seed: Path) -> None:
    first, second, other = (trained_parts(folder / "checkpoint_last.pt") for folder in (*runs, another_seed))
    assert len(first) > 20
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("threads", "rounds"),
    [(1, 1), *(pytest.param(*values, marks=pytest.mark.slow) for values in ((2, 1), (1, 2), (2, 2)))],
)
def test_fine_tuning_and_bootstrapping(data, wide_baseline, tmp_path, threads, rounds):
    """Each run extracts for itself."""
    folders = [tmp_path / name for name in ("first", "second", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        words = (*training(data, folder), *IEL, *WIDE, "--finetune-from-model", wide_baseline, "--seed", seed)
        options = ("--attn-positions", "--attn-dropout", 0.2, "--attn-noise", 0.2, "--attn-store", folder)
        length = ("--max-epoch", 2) if rounds == 1 else ("--bootstrap-rounds", rounds)
        train(threads, *words, *options, *length, cwd=tmp_path)
    assert_same(folders[:2], folders[2])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_classification(texts, tmp_path, threads):
    """From a pretrained encoder to a fine-tuning on the words that LIME found, for which each run asks it."""
    folders = [tmp_path / name for name in ("first", "second", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        words = (texts, *CLASSIFY, "--seed", seed)
        train(threads, *words, "--hf-model", texts / "bert", "--save-dir", folder / "baseline", cwd=tmp_path)
        lime = ("--importance", "lime", "--importance-samples", 20, "--importance-store", folder)
        baseline = folder / "baseline" / "checkpoint_last.pt"
        train(threads, *words, "--finetune-from-model", baseline, *lime, "--save-dir", folder, cwd=tmp_path)
    assert_same([folder / "baseline" for folder in folders[:2]], folders[2] / "baseline")
    assert_same(folders[:2], folders[2])
