"""Commands in processes of their own, forked from one that has imported what they need: a start takes no time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        # The first one sets the form of log lines.
        *(f"fairseq_cli.{name}" for name in ("train", "preprocess", "generate", "interactive", "validate")),
        *("iel_fairseq", "iel_fairseq.cli", "fairseq.models.transformer"),
        *("lime.lime_text", "matplotlib.pyplot", "sacrebleu", "sacremoses", "shap", "subword_nmt"),
        *("transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto"),
    ]
)


class ForkedCommand:
    """``iel``, one of fairseq's commands, or ``python -c``, that runs on one core and no GPU, in its own process group.

    Attributes:
        output: its standard output, as far as it has come
        error: its standard error, likewise
    """

    def __init__(
        self,
        program: str,
        words: Sequence[str],
        cwd: Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ):
        """Start *program* with *words* in the folder *cwd*, with *environment* besides what there is."""
        self._streams = tempfile.TemporaryDirectory()
        Path(self._streams.name, "stdin").write_text(stdin)
        variables = {**(environment or {}), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self._process = _SERVER.Process(
            target=_command, args=(program, list(words), str(cwd), self._streams.name, variables)
        )
        self._process.start()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, minus the number of the signal that ended it; None: it runs for longer than *seconds*."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        """Kill it, and every process that it has started."""
        with suppress(ProcessLookupError):  # so young that it has no group yet, nor children
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    @property
    def output(self) -> str:
        return self._stream("stdout")

    @property
    def error(self) -> str:
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        path = Path(self._streams.name, name)
        return path.read_text() if path.exists() else ""


def run_forked(program: str, words: Sequence[str], cwd: Path, stdin: str = "") -> tuple[str, str]:
    """Run a command to its end, as :class:`ForkedCommand` has it.

    Returns:
        its standard output, and its standard error; it must have ended well
    """
    return _run(program, words, cwd, stdin, status=0)


def run_to_its_error(program: str, words: Sequence[str], cwd: Path) -> str:
    """Likewise a command that must end with exit status 1; its standard error."""
    return _run(program, words, cwd, "", status=1)[1]


def _run(program: str, words: Sequence[str], cwd: Path, stdin: str, status: int) -> tuple[str, str]:
    command = ForkedCommand(program, words, cwd, stdin)
    ended = command.wait(300)
    assert ended == status, f"{program} {' '.join(words)}\n{command.output[-2000:]}\n{command.error[-20_000:]}"
    return command.output, command.error


def _command(program: str, words: list[str], cwd: str, streams: str, variables: dict[str, str]) -> None:
    os.setpgid(0, 0)
    multiprocessing.set_start_method("fork", force=True)  # as in a process that was started by itself
    os.chdir(cwd)
    os.environ.update(variables)
    sys.stdin = open(os.path.join(streams, "stdin"))  # noqa: SIM115  (until the process ends)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(streams, name), os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    for handler in logging.root.handlers:  # fairseq's, which has the streams of the process that has imported it
        handler.setStream(sys.stderr)
    sys.argv = [program, *words]
    import torch

    torch.set_num_threads(1)
    try:
        run_here(program, words)
    except Exception:
        sys.excepthook(*sys.exc_info())  # as in such a process; multiprocessing has a way of its own
        sys.exit(1)


def run_here(program: str, words: list[str]) -> None:
    """Run *program* in this process, whose ``sys.argv`` has its *words*."""
    if program == "python":
        exec(compile(words[1], "a document", "exec"), {"__name__": "__main__"})
    elif program == "iel":
        import_module("iel_fairseq.cli").main()
    else:
        import_module(f"fairseq_cli.{program.removeprefix('fairseq-')}").cli_main()
