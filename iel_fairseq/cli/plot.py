"""Draw results.

    iel plot noise runs/ablation.multi30k/ablation.json --output noise.png
    iel plot bootstrap SAVE-DIR --output bootstrapping.png

noise: BLEU against the share of random attention words, from what examples/ablation/run.sh writes. bootstrap: the
validation score over the rounds of a training with --bootstrap-rounds, from its save directory.
"""

from __future__ import annotations

import argparse
import json
import os

from iel_fairseq.bootstrapping import Record
from iel_fairseq.errors import IELError
from iel_fairseq.runs import control_score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    noise = kinds.add_parser("noise", help="BLEU against randomness (paper, figure 3)")
    noise.add_argument("results", metavar="RESULTS.json", help="file of results")
    noise.set_defaults(figure=_noise)
    bootstrap = kinds.add_parser("bootstrap", help="validation score over rounds (paper, section 4.3)")
    bootstrap.add_argument("save_dir", metavar="SAVE-DIR", help="save directory of the training")
    bootstrap.add_argument("--control", metavar="SAVE-DIR", help="that of a control with the same validation score")
    bootstrap.set_defaults(figure=_bootstrap)
    for kind in (noise, bootstrap):
        kind.add_argument("--output", required=True, help="picture to write: .png, .pdf or .svg")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: what is to be drawn cannot be read, or the picture cannot be written
    """
    figure = arguments.figure(arguments)
    try:
        figure.savefig(arguments.output, dpi=150)
    except (OSError, ValueError) as error:
        raise IELError(f"{arguments.output}: cannot be written ({error})") from error


def _noise(arguments: argparse.Namespace):
    from iel_fairseq.plots import noise_figure  # matplotlib is slow to import

    try:
        with open(arguments.results, encoding="utf-8") as file:
            return noise_figure(json.load(file))
    except OSError as error:
        raise IELError(f"{arguments.results}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise IELError(f"{arguments.results}: not results as examples/ablation/run.sh writes them ({error})") from error


def _bootstrap(arguments: argparse.Namespace):
    from iel_fairseq.plots import bootstrapping_figure

    record = Record.read(os.path.join(arguments.save_dir, "bootstrapping.json"))
    control = None if arguments.control is None else control_score(arguments.control, record.metric)
    return bootstrapping_figure(record, control)
