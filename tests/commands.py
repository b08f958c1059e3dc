"""fairseq's commands, started as a user starts them."""

from __future__ import annotations

import io
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pretended_gpu
import sacrebleu
import torch
from fairseq import checkpoint_utils
from forked import ForkedCommand

import iel_fairseq

USER_DIR = str(Path(iel_fairseq.__file__).parent)
BIN = Path(sys.executable).parent
IEL = ("--user-dir", USER_DIR, "--task", "attn_enhanced_translation")
PLAIN = ("--user-dir", USER_DIR, "--task", "translation", "--required-batch-size-multiple", "1")
CPU = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
"""The environment of a process that shall use one core, and no GPU."""
ONE_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]}
"""Of one that may use a GPU; fairseq-train would take all of them."""

MODELS = {
    "transformer": (
        *("--arch", "transformer", "--optimizer", "adam", "--lr", "5e-3", "--dropout", "0.1"),
        *("--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64", "--encoder-layers", "1"),
        *("--decoder-embed-dim", "32", "--decoder-ffn-embed-dim", "64", "--decoder-layers", "1"),
        *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2"),
    ),
    "fconv": (
        *("--arch", "fconv", "--optimizer", "adam", "--lr", "5e-3", "--dropout", "0.1", "--clip-norm", "1"),
        *("--encoder-embed-dim", "32", "--encoder-layers", "[(32, 3)] * 2"),
        *("--decoder-embed-dim", "32", "--decoder-layers", "[(32, 3)] * 2"),
        *("--decoder-out-embed-dim", "32", "--decoder-attention", "True"),
    ),
}


def run(
    command: str,
    *arguments: object,
    stdin: str = "",
    cwd: Path | None = None,
    fails: bool = False,
    forked: bool = True,
    gpu: bool = False,
) -> str:
    """Run one of fairseq's commands, or ``iel``, on the CPU; its standard output and error.

    Args:
        command: its name
        arguments: of the command
        stdin: its standard input
        cwd: folder to run it in
        fails: the command must end with exit status 1, else with 0
        forked: from a process that has imported everything, as :mod:`forked` has it, which saves seconds; else as a
            user starts it
        gpu: it may use the GPU; it is not forked then
    """
    words = [str(argument) for argument in arguments]
    if forked and not gpu:
        process = ForkedCommand(command, words, cwd or Path.cwd(), stdin, CPU)
        status, log = process.wait(600), process.output + process.error
    else:
        done = subprocess.run(
            [*(started_on_gpu(command) if gpu else started(command)), *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=ONE_GPU if gpu else CPU,
            timeout=600,
        )
        status, log = done.returncode, done.stdout + done.stderr
    assert status == (1 if fails else 0), log[-6000:]
    return log


def started(command: str) -> list[str]:
    """The words that start *command*: its script, or, where that is not beside the interpreter, its module."""
    if (BIN / command).exists():
        return [str(BIN / command)]
    module = "iel_fairseq.cli" if command == "iel" else command.replace("fairseq-", "fairseq_cli.")
    return [sys.executable, "-m", module]


def started_on_gpu(command: str) -> list[str]:
    """Likewise on the GPU, also where it is pretended."""
    pretended = torch.cuda.get_device_name() == pretended_gpu.NAME
    return [sys.executable, pretended_gpu.__file__, command] if pretended else started(command)


def standard_input(text: bytes) -> io.TextIOWrapper:
    """What ``sys.stdin`` is when *text* comes through a pipe."""
    return io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")


def preprocess(prefix: Path, destination: Path, *arguments: object, splits: tuple[str, ...]) -> Path:
    names = {"train": "--trainpref", "valid": "--validpref", "test": "--testpref"}
    preferences = [word for split in splits for word in (names[split], str(prefix / split))]
    run("fairseq-preprocess", "-s", "src", "-t", "tgt", "--destdir", destination, *preferences, *arguments)
    return destination


def train(data: Path, save_dir: Path, *arguments: object, fails: bool = False, forked: bool = True) -> str:
    return run("fairseq-train", *training(data, save_dir), *arguments, fails=fails, forked=forked)


def training(data: Path, save_dir: Path) -> list[str]:
    """What all trainings have in common."""
    options = (
        *(data, "-s", "src", "-t", "tgt", "--save-dir", save_dir, "--cpu", "--seed", "1"),
        *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--max-tokens", "1000"),
        *("--no-epoch-checkpoints", "--log-format", "simple", "--log-interval", "1000"),
    )
    return [str(option) for option in options]


def train_two_ranks(data: Path, save_dir: Path, *arguments: object) -> list[str]:
    """Train a translation model as two processes that talk to each other; their logs."""
    return two_ranks(*training(data, save_dir), *arguments)


def two_ranks(*arguments: object) -> list[str]:
    """fairseq-train with *arguments* as two processes that talk to each other; their logs.

    As fairseq-train itself, but that fairseq silences every rank but the first: here each tells what it extracts.
    """
    telling = (
        "import logging; logging.getLogger('iel_fairseq.extraction').setLevel(logging.INFO); "
        "logging.getLogger('iel_fairseq.tasks.attn_enhanced_translation').setLevel(logging.INFO); "
        "from fairseq_cli.train import cli_main; cli_main()"
    )
    words = [sys.executable, "-c", telling, *map(str, arguments), *one_of_two_ranks()]
    ranks = [
        subprocess.Popen(
            [*words, "--distributed-rank", str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=CPU,
        )
        for rank in range(2)
    ]
    logs = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], logs[0][-3000:] + logs[1][-3000:]
    return logs


def one_of_two_ranks() -> list[str]:
    """Options by which two processes find each other; each has its ``--distributed-rank`` besides."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--distributed-world-size", "2", "--distributed-init-method", f"tcp://127.0.0.1:{port}"]
    return [*where, "--distributed-no-spawn", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]


def generate(data: Path, model: object, *arguments: object, fails: bool = False, forked: bool = True) -> str:
    return run(
        *("fairseq-generate", data, "-s", "src", "-t", "tgt", "--cpu", "--path", model, "--beam", "5"),
        *("--log-format", "none", *arguments),
        fails=fails,
        forked=forked,
    )


def load(checkpoint: Path, data: Path):
    """The model in a checkpoint, in eval mode, and its task, for the data folder *data*."""
    models, _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(checkpoint)], arg_overrides={"data": str(data)}
    )
    return models[0].eval(), task


def all_lines(output: str, letter: str) -> dict[int, list[list[str]]]:
    """The fields of the lines ``letter-id<TAB>...`` that fairseq's decoders print, by sentence."""
    found: dict[int, list[list[str]]] = {}
    for line in output.splitlines():
        if match := re.match(rf"{letter}-(\d+)(\t.*)?$", line):
            found.setdefault(int(match[1]), []).append((match[2] or "\t")[1:].split("\t"))
    return found


def lines(output: str, letter: str) -> dict[int, list[str]]:
    """Likewise the first line of each sentence."""
    return {sentence: found[0] for sentence, found in all_lines(output, letter).items()}


def bleu(output: str, references: list[list[str]]) -> float:
    """BLEU of the ``H-`` lines against *references*, in the order of the data set."""
    hypotheses = lines(output, "H")
    assert sorted(hypotheses) == list(range(len(references)))  # no sentence is lost
    return sacrebleu.corpus_bleu(
        [hypotheses[i][1] for i in range(len(references))],
        [[" ".join(reference) for reference in references]],
        tokenize="none",
        force=True,
    ).score


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A place where files grow no larger, as on a disk that gets full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
