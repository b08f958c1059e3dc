"""The command ``iel`` itself; its subcommands have tests of their own."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version

import pytest

import iel_fairseq
from iel_fairseq.cli import SUBCOMMANDS, main


def printed(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_version_names_what_matters_for_a_report_of_a_fault(capsys):
    text = " ".join(printed(capsys, "--version").split())
    assert f"iel_fairseq {iel_fairseq.__version__}" in text
    for part in (
        f"Python {sys.version.split()[0]}",
        f"ve-fairseq {version('ve-fairseq')}",
        f"torch {version('torch')}",
    ):
        assert part in text


def test_help_has_a_line_for_each_subcommand_and_each_has_an_example(capsys):
    overview = printed(capsys, "--help")
    for name, module in SUBCOMMANDS.items():
        assert re.search(rf"^    {name}\b", overview, re.MULTILINE)
        text = printed(capsys, name, "--help")
        assert module.__doc__.splitlines()[0] in text
        assert re.search(rf"^    iel {name}\b", text, re.MULTILINE)
