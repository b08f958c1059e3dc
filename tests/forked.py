"""Commands in processes of their own, forked from one that has imported what they need: a start takes no time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *("iel_fairseq", "iel_fairseq.cli", "fairseq.models.transformer"),
        *(f"fairseq_cli.{name}" for name in ("train", "generate", "interactive", "validate")),
        *("lime.lime_text", "matplotlib.pyplot", "sacrebleu", "sacremoses", "shap", "subword_nmt"),
        *("transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto"),
    ]
)


def run_forked(program: str, words: Sequence[str], cwd: Path, stdin: str = "") -> tuple[str, str]:
    """Run ``iel``, one of fairseq's commands, or ``python -c`` in the folder *cwd*, on one core and no GPU.

    Returns:
        its standard output, and its standard error; it must have ended well
    """
    return _run(_SERVER, program, words, cwd, stdin, status=0)


def run_to_its_error(program: str, words: Sequence[str], cwd: Path) -> str:
    """Run a command that must end with exit status 1, forked from this very process; its standard error."""
    return _run(multiprocessing.get_context("fork"), program, words, cwd, "", status=1)[1]


def _run(context: Any, program: str, words: Sequence[str], cwd: Path, stdin: str, status: int) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as streams:
        Path(streams, "stdin").write_text(stdin)
        process = context.Process(target=_command, args=(program, list(words), str(cwd), streams))
        process.start()
        process.join(300)
        output, error = (Path(streams, name).read_text() for name in ("stdout", "stderr"))
    assert process.exitcode == status, f"{program} {' '.join(words)}\n{output[-2000:]}\n{error[-4000:]}"
    return output, error


def _command(program: str, words: list[str], cwd: str, streams: str) -> None:
    multiprocessing.set_start_method("fork", force=True)  # as in a process that was started by itself
    os.chdir(cwd)
    os.environ.update({"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
    sys.stdin = open(os.path.join(streams, "stdin"))  # noqa: SIM115  (until the process ends)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(streams, name), os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    sys.argv = [program, *words]
    import torch

    torch.set_num_threads(1)
    try:
        if program == "python":
            exec(compile(words[1], "a document", "exec"), {"__name__": "__main__"})
        elif program == "iel":
            import_module("iel_fairseq.cli").main()
        else:
            import_module(f"fairseq_cli.{program.removeprefix('fairseq-')}").cli_main()
    except Exception:  # multiprocessing prints them in its own way
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
