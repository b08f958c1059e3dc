"""fairseq on today's torch: what loads, what is refused, what a user sees."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

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


def test_our_errors_are_one_line_others_keep_their_traceback(tmp_path):
    done = python("import iel_fairseq.errors as e; raise e.IELError('data/x: wrong; mend it')", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "iel_fairseq: error: data/x: wrong; mend it"
    done = python("import iel_fairseq; raise ValueError('something else')", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A place where files grow no larger, as on a disk that gets full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
