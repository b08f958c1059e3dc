"""Check that everything is there and works: libraries, GPU, fonts, and a tiny training and decoding in two passes.

    iel doctor

Prints a line for each check: ok, warning, or FAILED with what is wrong and how to fix it. The exit status is 1 if
anything failed. Takes some seconds.
"""

from __future__ import annotations

import argparse
import sys

from iel_fairseq.doctor import FAILED, examine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; ends the process with exit status 1 if a check failed."""
    failed = False
    for finding in examine():
        print(finding, flush=True)
        failed = failed or finding.status == FAILED
    if failed:
        sys.exit(1)
