"""Draw results.

    iel plot noise runs/ablation.multi30k/ablation.json --output ablation.png

The file is what examples/ablation/run.sh writes: BLEU of the baseline, the control and the noisy systems.
"""

from __future__ import annotations

import argparse
import json

from iel_fairseq.errors import IELError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=["noise"], help="noise: BLEU against randomness (paper, figure 3)")
    parser.add_argument("results", metavar="RESULTS.json", help="file of results")
    parser.add_argument("--output", required=True, help="picture to write: .png, .pdf or .svg")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: the results cannot be read or hold no noisy system, or the picture cannot be written
    """
    from iel_fairseq.plots import noise_figure  # matplotlib is slow to import

    try:
        with open(arguments.results, encoding="utf-8") as file:
            records = json.load(file)
        figure = noise_figure(records)
    except OSError as error:
        raise IELError(f"{arguments.results}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise IELError(f"{arguments.results}: not results as examples/ablation/run.sh writes them ({error})") from error
    try:
        figure.savefig(arguments.output, dpi=150)
    except (OSError, ValueError) as error:
        raise IELError(f"{arguments.output}: cannot be written ({error})") from error
