"""docs/options.md against the parsers: every option with its true default, none that does not exist."""

from __future__ import annotations

import argparse
import os
import re
import shlex

import pytest
from commands import USER_DIR
from documents import REPOSITORY, code, tables
from fairseq import options
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass import FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import MODEL_DATACLASS_REGISTRY
from omegaconf import MISSING

from iel_fairseq.classification.config import ImportanceEnhancedClassificationConfig
from iel_fairseq.cli import command_line
from iel_fairseq.config import AttnEnhancedTranslationConfig
from iel_fairseq.preparation.tokenizer import PreparedTokenizerConfig

CONFIGS = {
    "Task `attn_enhanced_translation`": AttnEnhancedTranslationConfig,
    "Task `importance_enhanced_classification`": ImportanceEnhancedClassificationConfig,
    "`--tokenizer prepared`": PreparedTokenizerConfig,
}
CHOICES = {  # what of fairseq's own options makes the parsers know each table's
    "Task `attn_enhanced_translation`": ["--task", "attn_enhanced_translation", "--arch", "transformer"],
    "Task `importance_enhanced_classification`": [
        *("--task", "importance_enhanced_classification", "--arch", "hf_sequence_classifier"),
    ],
    "`--tokenizer prepared`": ["--tokenizer", "prepared"],
}
TABLES = tables(REPOSITORY / "docs/options.md")


def subparsers(parser: argparse.ArgumentParser, name: str) -> dict[str, argparse.ArgumentParser]:
    """The parsers of all subcommands that have none below them, by their whole names."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return {f"`{name}`": parser}
    found: dict[str, argparse.ArgumentParser] = {}
    for word, subparser in below[0].choices.items():
        found |= subparsers(subparser, f"{name} {word}")
    return found


IEL = subparsers(command_line(), "iel")


def own_parser(config: type) -> argparse.ArgumentParser:
    """A parser of the options that *config* adds; those that other groups own are references to these."""
    parser = argparse.ArgumentParser()
    gen_parser_from_dataclass(parser, config())
    own = {name for name, field in config.__dataclass_fields__.items() if name in config.__annotations__}
    parser._actions = [
        action for action in parser._actions if action.dest in own and not str(action.default).startswith("${")
    ]
    return parser


def actions(heading: str) -> list[argparse.Action]:
    parser = IEL[heading] if heading in IEL else own_parser(CONFIGS[heading])
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def names(action: argparse.Action) -> set[str]:
    return set(action.option_strings) or {str(action.metavar or action.dest)}


def row_of(heading: str, action: argparse.Action) -> list[str]:
    [row] = [row for row in TABLES[heading] if names(action) == {shlex.split(word)[0] for word in code(row[0])}]
    return row


def test_there_is_a_heading_for_each_parser_and_no_other():
    text = (REPOSITORY / "docs/options.md").read_text(encoding="utf-8")
    assert set(re.findall("^## (.*)$", text, re.MULTILINE)) == {*CONFIGS, *IEL}


def test_what_has_no_table_has_no_options():
    assert CRITERION_DATACLASS_REGISTRY["glue"] is FairseqDataclass
    assert MODEL_DATACLASS_REGISTRY["hf_sequence_classifier"] is FairseqDataclass


@pytest.mark.parametrize("heading", [*CONFIGS, *IEL])
def test_a_table_has_a_row_for_each_option_and_no_other(heading):
    documented = [sorted({shlex.split(word)[0] for word in code(row[0])}) for row in TABLES.get(heading, [])]
    assert sorted(documented) == sorted(sorted(names(action)) for action in actions(heading))


@pytest.mark.parametrize("heading", [*CONFIGS, *IEL])
def test_defaults_are_true(heading):
    for action in actions(heading):
        shown = row_of(heading, action)[1]
        default = action.default
        if action.nargs == 0:  # a switch
            assert shown == ("on" if default == action.const else "off"), action.dest
        elif action.required or default == MISSING:
            assert shown == "required", action.dest
        elif action.dest == "workers":
            assert (shown, default) == ("all cores", len(os.sched_getaffinity(0)))
        elif default is None:
            assert shown, action.dest
            assert shown != "required" or not action.option_strings, action.dest
            assert not re.fullmatch("`[^`]*`", shown), f"{action.dest}: looks like a value, and there is none"
        else:
            value = " ".join(map(str, default)) if isinstance(default, list) else str(default)
            assert shown == f"`{value}`", action.dest


@pytest.mark.parametrize("heading", [*CONFIGS, *IEL])
def test_examples_are_understood_and_are_not_the_default(heading):
    for action in actions(heading):
        for example in code(row_of(heading, action)[0]):
            if not action.option_strings:
                continue
            assert len(shlex.split(example)) > 1 or action.nargs == 0, example
            if heading in IEL:
                required = [str(word) for each in actions(heading) if each is not action for word in least(each)]
                found = IEL[heading].parse_args([*required, *shlex.split(example)])
            else:
                words = ["DATA", "--user-dir", USER_DIR, *CHOICES[heading], *shlex.split(example)]
                parser = options.get_training_parser() if heading.startswith("Task") else generation_parser()
                found = options.parse_args_and_arch(parser, words)
            value = getattr(found, action.dest)
            assert value not in (None, action.default) or example in ("--joint", "--cpu"), example


def generation_parser() -> argparse.ArgumentParser:
    return options.get_generation_parser(default_task="translation")


def least(action: argparse.Action) -> list[str]:
    """The least that a command must have of *action*."""
    if not action.required or action.nargs == "?":
        return []
    return [*action.option_strings[:1], "x"]


def test_choices_are_all_named():
    for heading in (*CONFIGS, *IEL):
        for action in actions(heading):
            if action.choices and action.dest != "importance":
                meaning = row_of(heading, action)[2]
                assert {str(choice) for choice in action.choices} <= set(code(meaning)), (heading, action.dest)
