"""The command ``iel`` itself; its subcommands have tests of their own."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version

import pytest
import torch
from commands import BIN, CPU

import iel_fairseq
from iel_fairseq.cli import SUBCOMMANDS, _check_values, command_line, doctor, main
from iel_fairseq.cli.files import input_lines, output_file
from iel_fairseq.errors import IELError


def printed(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """All subcommands, with their kinds."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield subparser
                yield from subcommands(subparser)


SUBPARSERS = {parser.prog.removeprefix("iel "): parser for parser in subcommands(command_line())}


@pytest.fixture(params=SUBPARSERS)
def subparser(request) -> argparse.ArgumentParser:
    return SUBPARSERS[request.param]


def test_a_value_may_end_as_an_option_without_one_does():
    _check_values(["translate", "--path=models/a=", "-a="])


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["translate", "--path", "m.pt", "--data", ""], "--data"),
        (["translate", "--path", "m.pt", "--attn-model="], "--attn-model="),
        (["extract", "", "--path", "m.pt"], "extract"),
        (["report", "runs", ""], "runs"),
    ],
)
def test_a_variable_of_the_shell_that_is_not_set(words, name):
    with pytest.raises(IELError, match=rf"^{name}: the value behind it is empty; give another one"):
        main(words)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("stdin", "standard input is closed; name a file"),
        ("stdout", "standard output is closed; name a file with --output"),
    ],
)
def test_streams_that_are_closed(monkeypatch, stream, message):
    """As some that start others leave them: what is printed goes nowhere, and nothing says so."""
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(IELError, match=f"^{message}$"), ExitStack() as stack:
        input_lines("-") if stream == "stdin" else stack.enter_context(output_file(None))


def test_who_prints_nothing_needs_no_streams(monkeypatch):
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    monkeypatch.setattr(doctor, "run", lambda arguments: print("doing", file=sys.stderr))
    main(["doctor"])


def test_version_names_what_matters_for_a_report_of_a_fault(capsys):
    text = printed(capsys, "--version")
    assert text.startswith(f"iel_fairseq {iel_fairseq.__version__} ")
    for part in (
        f"Python {sys.version.split()[0]}",
        f"ve-fairseq {version('ve-fairseq')}",
        f"torch {version('torch')}",
        f"CUDA {torch.version.cuda or 'none'}",
        f"GPU {torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'none'}",
    ):
        assert part in text


def test_the_command_says_nothing_but_what_was_asked_for():
    """fairseq's import would."""
    for command in ([BIN / "iel"], [sys.executable, "-m", "iel_fairseq.cli"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, env=CPU)
        assert (done.stdout.split()[0], done.stderr) == ("iel_fairseq", "")


def test_it_prints_utf8_whatever_the_locale_says():
    command = "from iel_fairseq import cli; cli.SUBCOMMANDS['doctor'].run = lambda _: print('ñ'); cli.main(['doctor'])"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, env={**CPU, "PYTHONIOENCODING": "ascii"}
    )
    assert done.stdout == "ñ\n".encode(), done.stderr


def test_who_interrupts_it_sees_one_line():
    command = """
from iel_fairseq import cli
def run(arguments):
    raise KeyboardInterrupt  # not by the signal, which a command in the background may ignore
cli.SUBCOMMANDS["doctor"].run = run
cli.main(["doctor"])
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=CPU)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "iel: interrupted\n")


def test_the_command_alone_prints_the_help_with_a_line_for_each_subcommand(capsys):
    overview = printed(capsys, "--help")
    main([])
    assert capsys.readouterr().out == overview
    for name in SUBCOMMANDS:
        assert re.search(rf"^    {name}\b", overview, re.MULTILINE)
    examples = re.findall(r"^    (iel .*)", overview, re.MULTILINE)
    assert len(examples) >= 1


def test_all_subcommands_and_kinds_are_looked_at():
    assert set(SUBCOMMANDS) < set(SUBPARSERS)
    assert {"plot noise", "plot attention"} < set(SUBPARSERS)


def test_help_begins_with_one_sentence_and_has_an_example_that_the_subcommand_understands(subparser):
    summary = subparser.description.splitlines()[0]
    assert re.fullmatch(r"[A-Z]([^.]|\.\d)*\.", summary)
    examples = re.findall(rf"^    ({subparser.prog}\b.*)", subparser.description, re.MULTILINE)
    assert len(examples) >= 1
    assert summary in subparser.format_help()


def test_every_option_has_a_help_and_a_group_and_shows_its_default(subparser):
    titles = {"positional arguments", "options"}  # argparse's own
    own_groups = [group for group in subparser._action_groups if group.title not in titles]
    grouped = {action.dest for group in own_groups for action in group._group_actions}
    for action in subparser._actions:
        name = f"{subparser.prog} {action.dest}"
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        assert action.help, name
        assert action.dest in grouped, name
        if action.default is not None and not isinstance(action.default, bool):
            shown = subparser._get_formatter()._expand_help(action)
            assert shown.count("default: ") == 1, name


def test_examples_are_commands_that_the_parser_understands():
    """Every line of an example, continued ones joined, up to what a shell makes of it."""
    for parser in SUBPARSERS.values():
        text = parser.description.replace("\\\n", " ")
        for example in re.findall(r"^    iel (.*)", text, re.MULTILINE):
            words = shlex.split(re.split(r" [>|] ", example)[0], comments=True)
            if "--help" not in words:
                assert command_line().parse_args(words).run is SUBCOMMANDS[words[0]].run


def test_lists_of_defaults_are_shown_as_they_are_written(capsys):
    text = " ".join(printed(capsys, "faithfulness", "--help").split())
    assert "measures of importance; default: attention lime random shap" in text
    text = " ".join(printed(capsys, "plot", "importance", "--help").split())
    assert "measures of importance; default: attention lime shap" in text
