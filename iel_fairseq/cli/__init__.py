"""The command ``iel``: what fairseq's own commands have no place for. One file a subcommand."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

import iel_fairseq
from iel_fairseq.cli import doctor, export_hf, extract, faithfulness, plot, predict, prepare, report, score_aer

SUBCOMMANDS = {
    "prepare": prepare,
    "extract": extract,
    "score-aer": score_aer,
    "report": report,
    "predict": predict,
    "faithfulness": faithfulness,
    "export-hf": export_hf,
    "plot": plot,
    "doctor": doctor,
}


LIBRARIES = ("ve-fairseq", "torch", "transformers", "sacrebleu", "sacremoses", "subword-nmt", "lime", "shap", "numpy")


def _versions() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"iel_fairseq {iel_fairseq.__version__} (Python {platform.python_version()}, {libraries})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``iel SUBCOMMAND ...``."""
    parser = argparse.ArgumentParser(prog="iel", description="Interpretability-enhanced learning for fairseq.")
    parser.add_argument("--version", action="version", version=_versions(), help="versions for a report of a fault")
    subparsers = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for name, module in SUBCOMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        subparser = subparsers.add_parser(
            name, help=summary, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    # Standard output is for what was asked for.
    logging.basicConfig(
        format="%(asctime)s | %(levelname)s | %(name)s | %(message)s", level=logging.INFO, stream=sys.stderr, force=True
    )
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (``| head``): end as a command does that the signal ends. What is still buffered
        # would raise again when the interpreter closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
