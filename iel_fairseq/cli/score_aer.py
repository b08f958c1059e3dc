"""Score word alignments against gold ones: alignment error rate, precision and recall, in percent.

    iel score-aer GOLD HYPOTHESIS

HYPOTHESIS is in Pharaoh format, i-j for source word i and target word j, from 0, as iel extract prints it. Gold
alignments are of the words of given translations, so extract with --force-target and --remove-bpe:

    iel extract DATA-BIN --path baseline.pt --gen-subset test --force-target --format pharaoh --remove-bpe > HYPOTHESIS

GOLD has i-j for sure and ipj or i?j for possible links; or it is in the format of the NAACL 2003 shared task, a link a
line, "SENTENCE SOURCE-WORD TARGET-WORD [S|P]", from 1. Precision counts possible links as right, recall asks for the
sure ones (Och and Ney 2003).
"""

from __future__ import annotations

import argparse

from iel_fairseq.alignment_error import score_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("gold", metavar="GOLD", help="gold alignments")
    read.add_argument("hypothesis", metavar="HYPOTHESIS", help="alignments to score, a line for each sentence pair")
    read.add_argument(
        "--one-based", action="store_true", help="GOLD counts words from 1 though it is in Pharaoh format"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: a file cannot be read or is something else, or they are not of the same sentence pairs
    """
    scores = score_files(arguments.gold, arguments.hypothesis, arguments.one_based)
    for name, value in (("AER", scores.error_rate), ("precision", scores.precision), ("recall", scores.recall)):
        print(f"{name} {100 * value:.2f}")
