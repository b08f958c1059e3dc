"""fairseq on today's torch: what loads, what is refused, what a user sees."""

from __future__ import annotations

import argparse
import errno
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import files_of_at_most
from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.dataclass.configs import DistributedTrainingConfig, FairseqConfig
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq_cli import train as fairseq_train
from tiny_models import make_task
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from iel_fairseq.checkpoint_safety import first_that_is_not_finite, in_one_line
from iel_fairseq.compat import ranks
from iel_fairseq.errors import IELError

REPOSITORY = Path(__file__).parent.parent


def python(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}"},
        timeout=300,
    )


class Writes:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refusal(path) -> str:
    with pytest.raises(IELError) as caught:
        checkpoint_utils.load_checkpoint_to_cpu(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_what_plain_fairseq_writes_is_read(tmp_path):
    state = {
        "args": argparse.Namespace(arch="transformer", task="translation", criterion="cross_entropy"),
        "model": {"weight": torch.ones(2)},
        "optimizer_history": [{"criterion_name": "CrossEntropyCriterion", "best_loss": 1.0, "num_updates": 5}],
        "last_optimizer_state": {},
        "extra_state": {
            "train_iterator": {"epoch": 1},
            "counts": np.array([1, 2]),
            "score": np.float64(2.5),
            "flag": np.bool_(True),
        },
    }
    torch.save(state, tmp_path / "plain.pt")
    read = checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "plain.pt"))
    assert read["extra_state"]["counts"].tolist() == [1, 2]
    assert read["model"]["weight"].tolist() == [1, 1]


@pytest.mark.parametrize("where", ["beside the model", "as an object array"])
def test_hostile_checkpoint_is_refused_and_nothing_in_it_runs(tmp_path, where):
    sign = tmp_path / "executed"
    carried = Writes(sign) if where == "beside the model" else np.array([Writes(sign)], dtype=object)
    torch.save({"model": {}, "args": argparse.Namespace(), "extra": carried}, tmp_path / "hostile.pt")
    message = refusal(tmp_path / "hostile.pt")
    assert "refused: it carries " + ("posix.mkdir" if where == "beside the model" else "numpy.dtypes.Object") in message
    assert not sign.exists()


def test_unreadable_checkpoints_are_one_line_each(tmp_path):
    path = tmp_path / "model.pt"
    assert "no such checkpoint file" in refusal(path)
    path.write_bytes(b"")
    assert "not a readable fairseq checkpoint" in refusal(path)
    path.write_text("weights, honestly")
    assert "not a readable fairseq checkpoint" in refusal(path)
    torch.save({"model": {"w": torch.zeros(1000)}, "args": argparse.Namespace()}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "not a readable fairseq checkpoint" in refusal(path)
    torch.save([1, 2, 3], path)
    assert "not a readable fairseq checkpoint" in refusal(path)


def test_broken_torchaudio_breaks_neither_fairseq_nor_transformers(tmp_path):
    """A stand-in for the CUDA-linked wheel beside a CPU torch."""
    broken = tmp_path / "torchaudio"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    done = python(
        "import iel_fairseq, fairseq, importlib.util\n"
        "assert importlib.util.find_spec('torchaudio') is None\n"
        "try:\n"
        "    import transformers\n"
        "except ModuleNotFoundError as error:\n"
        "    assert error.name == 'transformers'\n"
        "else:\n"
        "    from transformers import AutoModelForSequenceClassification\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_working_torchaudio_is_left_alone(tmp_path):
    (tmp_path / "torchaudio.py").write_text("version = 'works'")
    done = python("import iel_fairseq, torchaudio; assert torchaudio.version == 'works'", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_what_is_logged_is_for_the_program_to_say(tmp_path):
    """A part of fairseq would let all libraries log what they do, down to DEBUG."""
    done = python("import logging, iel_fairseq as i; print(logging.root.handlers, logging.root.level)", tmp_path)
    assert done.stdout == f"[] {logging.WARNING}\n"


def test_our_errors_are_one_line_others_keep_their_traceback(tmp_path):
    done = python("import iel_fairseq.errors as e; raise e.IELError('data/x: wrong; mend it')", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "iel_fairseq: error: data/x: wrong; mend it"
    done = python("import iel_fairseq; raise ValueError('something else')", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


STATE = {"model": {"weight": torch.arange(50_000)}}


def save(folder: Path) -> None:
    checkpoint_utils.torch_persistent_save(STATE, str(folder / "checkpoint_last.pt"))


def copy(folder: Path) -> None:
    PathManager.copy(str(folder / "checkpoint_best.pt"), str(folder / "checkpoint_last.pt"), overwrite=True)


@pytest.mark.parametrize("write", [save, copy])
def test_a_checkpoint_that_cannot_be_written_is_one_line_and_the_one_before_stays(tmp_path, write):
    torch.save(STATE, tmp_path / "checkpoint_best.pt")
    (tmp_path / "checkpoint_last.pt").write_text("before")
    with (
        files_of_at_most(100_000),
        pytest.raises(IELError, match=r"checkpoint_last\.pt: cannot be written \(File too large\); free space there"),
    ):
        write(tmp_path)
    assert (tmp_path / "checkpoint_last.pt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2
    write(tmp_path)
    assert torch.load(tmp_path / "checkpoint_last.pt")["model"]["weight"].equal(STATE["model"]["weight"])


def _killed_by_a_large_file(write, folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    with files_of_at_most(100_000):
        write(folder)


@pytest.mark.parametrize("write", [save, copy])
def test_killed_while_a_checkpoint_is_written_the_one_before_stays(tmp_path, write):
    torch.save(STATE, tmp_path / "checkpoint_best.pt")
    (tmp_path / "checkpoint_last.pt").write_text("before")
    process = multiprocessing.get_context("fork").Process(target=_killed_by_a_large_file, args=(write, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    assert (tmp_path / "checkpoint_last.pt").read_text() == "before"
    write(tmp_path)
    assert torch.load(tmp_path / "checkpoint_last.pt")["model"]["weight"].equal(STATE["model"]["weight"])
    assert len(list(tmp_path.iterdir())) == 2  # what was left of the first attempt is gone


def test_attention_is_not_cudnns():
    """Whose kernels are compiled for each shape anew."""
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), torch.distributed.DistError("NCCL")])
def test_what_a_machine_lacks_is_no_fault_of_the_checkpoint(error):
    """As fairseq's trainer has it, which puts a model on the GPU, and connects its ranks, while it reads weights."""

    def load() -> None:
        try:
            raise error
        except Exception:
            raise Exception("Cannot load model parameters from checkpoint")  # noqa: B904  (as fairseq has it)

    with pytest.raises(type(error)) as raised, in_one_line("baseline.pt", "the training cannot go on from it"):
        load()
    assert raised.value is error


def test_what_a_curriculum_leaves_is_shuffled_in_each_epoch_behind_it():
    in_order = [[row] for row in range(64)]
    rows = torch.utils.data.TensorDataset(torch.arange(64))
    iterator = EpochBatchIterator(rows, lambda batch: [int(row) for (row,) in batch], in_order, reuse_dataloader=True)
    epochs = [list(iterator.next_epoch_itr(shuffle=epoch > 2)) for epoch in (1, 2, 3, 4)]
    assert epochs[:2] == [in_order] * 2
    assert in_order not in epochs[2:]
    assert epochs[2] != epochs[3]
    assert sorted(epochs[2]) == sorted(epochs[3]) == in_order


def test_the_epoch_may_be_given_by_its_place():
    """As tasks that have a ``get_batch_iterator`` of their own do."""
    task, words = make_task(), torch.arange(4)
    dataset = task.build_dataset_for_inference([words] * 3, [4] * 3)
    by_place = task.get_batch_iterator(dataset, None, 1, None, False, 1, 1, 1, 0, 0, 3)
    assert by_place.epoch == 3
    anew = task.get_batch_iterator(dataset, None, 1, None, False, 1, 1, 1, 0, 0, 4, 0, True)
    assert (anew.epoch, by_place.epoch) == (4, 3)


def test_what_a_program_does_when_ranks_have_met_is_done_as_well(monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(distributed_utils, "get_data_parallel_group", lambda: done.append("connected"))
    then = ranks._Connected(lambda cfg: done.append(cfg) or "its own")
    assert then("cfg") == "its own"
    assert ranks._Connected(None)("cfg") == "cfg"
    assert done == ["connected", "cfg", "connected"]


def test_a_mask_and_weights_in_eight_bits_are_no_diverged_training():
    mask = torch.full((3, 3), -torch.inf).triu(1)
    weights = {"mask": mask, "bits": torch.zeros(2).to(torch.float8_e4m3fn), "weight": torch.ones(2)}
    assert first_that_is_not_finite(weights) is None
    for value in (torch.nan, torch.inf, -torch.inf):
        assert first_that_is_not_finite({**weights, "broken": torch.tensor([1, value])}) == "broken"


def test_a_library_that_is_missing_is_no_fault_of_the_checkpoint():
    with pytest.raises(IELError) as raised, in_one_line("baseline.pt", "no extractor can be made of it"):
        import_module("no_such_library")
    assert str(raised.value) == (
        "baseline.pt: a library that it takes is missing (ModuleNotFoundError: No module named 'no_such_library'); "
        "install it; see iel doctor"
    )


TORCHRUN = {"MASTER_ADDR": "first", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "2"}


def begun(monkeypatch, main: Callable, variables: dict[str, str]) -> tuple | None:
    """How fairseq begins *main* on a machine with one GPU: its ranks, and what it does first; None: without others."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = []

    def distributed_main(device: int, main: Callable, cfg: FairseqConfig, kwargs: dict) -> None:
        ours = cfg.distributed_training
        given = (ours.distributed_init_method, ours.distributed_world_size, ours.distributed_rank)
        found.append((*given, device, kwargs["after_distributed_init_fn"]))

    monkeypatch.setattr(distributed_utils, "distributed_main", distributed_main)
    cfg = FairseqConfig()
    cfg.distributed_training = DistributedTrainingConfig(distributed_world_size=1, tpu=False)  # the number of GPUs
    distributed_utils.call_main(cfg, main)
    return found[0] if found else None


def alone(cfg: FairseqConfig) -> None:
    """What a command does without other ranks."""


def test_torchrun_with_one_gpu_on_each_machine_is_one_training(monkeypatch):
    monkeypatch.setattr(fairseq_train, "main", alone)
    assert begun(monkeypatch, alone, TORCHRUN) == ("env://", 2, 1, 0, ranks._Connected(None))


@pytest.mark.parametrize("variables", [{}, {**TORCHRUN, "WORLD_SIZE": "1"}, {"RANK": "1", "WORLD_SIZE": "2"}])
def test_a_training_without_other_ranks_is_alone(monkeypatch, variables):
    monkeypatch.setattr(fairseq_train, "main", alone)
    assert begun(monkeypatch, alone, variables) is None


def test_a_command_that_does_not_train_is_alone(monkeypatch):
    """As on one of several machines whose variables are set."""
    assert begun(monkeypatch, alone, TORCHRUN) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ProcessRaisedException("-- Process 1 --\nTraceback\niel_fairseq.errors.IELError: x: no\n", 1, 2), "x: no"),
        (ProcessRaisedException("Traceback\ntorch.distributed.DistBackendError: NCCL\n", 1, 2), "another rank has"),
        (ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 2, -9), "another rank has ended"),
        (torch.distributed.DistError("NCCL error in: a.cpp:1\nDuplicate GPU"), "another rank has ended"),
    ],
)
def test_what_ranks_meet_is_one_line(error, line, capsys):
    sys.excepthook(*raised_in("fairseq_cli.train", error))
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"iel_fairseq: error: {line}")
    assert "Duplicate GPU" in said or "Duplicate GPU" not in str(error)


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("fairseq_cli.train", ProcessRaisedException("Traceback\nValueError: x\n", 1, 2)),
        ("tool", ProcessExitedException("process 1 terminated with exit code x", 1, 2, 1)),
        ("tool", RuntimeError("cannot parse /data/gloo/x")),
        ("tool", OSError(errno.ENOSPC, "No space left on device", "x")),
    ],
)
def test_what_else_is_raised_keeps_its_traceback(module, error, capsys):
    """As in a program that uses this package beside other things."""
    sys.excepthook(*raised_in(module, error))
    assert "iel_fairseq: error" not in (said := capsys.readouterr().err)
    assert said.startswith("Traceback")
    assert "x" in said.rstrip().splitlines()[-1]


def raised_in(module: str, error: Exception) -> tuple:
    """What ``sys.exc_info`` says of an *error* that code of *module* raises."""
    try:
        exec("raise error", {"__name__": module, "error": error})
    except Exception:
        return sys.exc_info()
