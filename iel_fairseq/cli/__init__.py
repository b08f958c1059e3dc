"""The command ``iel``: tools beside fairseq's own commands. One file a subcommand."""

from __future__ import annotations

import argparse
import io
import logging
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any, NoReturn

import torch

import iel_fairseq
from iel_fairseq.cli import (
    doctor,
    explain,
    export_hf,
    extract,
    faithfulness,
    plot,
    predict,
    prepare,
    report,
    score_aer,
    serve,
    translate,
)
from iel_fairseq.cli.help import HelpFormatter
from iel_fairseq.errors import IELError
from iel_fairseq.files import discard_standard_output

SUBCOMMANDS = {
    "prepare": prepare,
    "extract": extract,
    "score-aer": score_aer,
    "report": report,
    "translate": translate,
    "serve": serve,
    "predict": predict,
    "explain": explain,
    "faithfulness": faithfulness,
    "export-hf": export_hf,
    "plot": plot,
    "doctor": doctor,
}

LIBRARIES = ("ve-fairseq", "torch", "transformers", "sacrebleu", "sacremoses", "subword-nmt", "lime", "shap", "numpy")

EXAMPLES = """examples:
    iel prepare multi30k -s fr -t en --destdir runs/multi30k
    iel extract DATA-BIN --path baseline.pt --gen-subset train
    iel extract --help
"""


class _Version(argparse.Action):
    """Prints the versions, and ends; they are looked up only then."""

    def __init__(self, **options: Any):
        super().__init__(nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        gpus = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        print(
            f"iel_fairseq {iel_fairseq.__version__} (Python {platform.python_version()}, {libraries}; "
            f"CUDA {torch.version.cuda or 'none'}, GPU {gpus or 'none'})"
        )
        parser.exit()


def command_line() -> argparse.ArgumentParser:
    """The parser of ``iel``; each subcommand's module adds its own arguments."""
    parser = argparse.ArgumentParser(
        prog="iel",
        description="Interpretability-enhanced learning for fairseq: tools beside fairseq's own commands.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="versions and GPU, for a bug report")
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND")
    for name, module in SUBCOMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        subparser = subparsers.add_parser(name, help=summary, description=module.__doc__, formatter_class=HelpFormatter)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _check_values(words: Sequence[str]) -> None:
    """
    Raises:
        IELError: one of the *words* of a command is empty, of a variable of the shell that is not set most likely
    """
    for before, word in pairwise(["iel", *words]):
        if word == "" or (word.startswith("--") and word.find("=") == len(word) - 1):
            raise IELError(f"{word or before}: the value behind it is empty; give another one, or leave it out")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``iel SUBCOMMAND ...``; ``iel`` alone prints the help."""
    parser = command_line()
    if sys.stderr is None:  # closed: what is logged goes nowhere
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's is none
        sys.stdout.reconfigure(encoding="utf-8")  # as files are, whatever the locale says
    # Standard output is for what was asked for.
    logging.basicConfig(
        format="%(asctime)s | %(levelname)s | %(name)s | %(message)s", level=logging.INFO, stream=sys.stderr, force=True
    )
    parsed = parser.parse_args(arguments)
    if not hasattr(parsed, "run"):
        parser.print_help()
        return
    _check_values(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed.run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (``| head``): end as a command does that the signal ends. What is still buffered
        # would raise again when the interpreter closes standard output.
        discard_standard_output()
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("iel: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
