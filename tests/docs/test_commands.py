"""Every command in the documents: understood by the real parser, and run where that takes seconds.

A command that no rule is for fails here, and so does a rule that is for no command.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from commands import USER_DIR
from documented_commands import AFTERWARDS, DOCUMENTED, TRAINED, UNDERSTOOD_ONLY, WRITTEN, Command, run_rule
from documents import DOCUMENTS, REPOSITORY, blocks
from fairseq import options
from forked import run_forked
from hydra._internal.utils import get_args_parser as hydra_parser

from iel_fairseq.cli import command_line

PYTHON = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]
PATTERNS = [*(rule.pattern for rule in (*TRAINED, *WRITTEN, *AFTERWARDS)), *UNDERSTOOD_ONLY]


def fairseq_parser(program: str):
    if program == "fairseq-interactive":
        return options.get_interactive_generation_parser()
    return {
        "fairseq-train": options.get_training_parser,
        "fairseq-generate": options.get_generation_parser,
        "fairseq-validate": options.get_validation_parser,
    }[program]()


def understand(text: str) -> None:
    """Fail unless *text* is a command whose files exist and whose options are known."""
    if loop := re.fullmatch(r"for \w+ in .*; do (.*); done", text):
        subprocess.run(["bash", "-n", "-c", text], check=True)
        understand(loop[1])
        return
    if text.startswith("torchrun "):
        understand(text.partition("$(which ")[2].replace(")", "", 1))
        return
    variables, recipe = re.fullmatch(r"((?:[A-Z_]+=(?:\"[^\"]*\"|\S*) )*)(.*)", text).groups()  # type: ignore[union-attr]
    if recipe.startswith(("examples/", "benchmarks/")):
        script = REPOSITORY / recipe.split()[0]
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)
        scripts = "".join(path.read_text() for path in {script, *(REPOSITORY / "examples").rglob("*.sh")})
        for variable in re.findall("([A-Z_]+)=", re.sub('"[^"]*"', "", variables)):
            assert re.search(rf"\${{?{variable}\b", scripts), f"no recipe reads {variable}"
        return
    if text.startswith("export "):
        understand(f"{text.removeprefix('export ')} examples/multi30k/run.sh")
        return
    command = Command.of(text)
    program, words = command.program, command.words
    if program == "iel":
        command_line().parse_args(words)
    elif program == "fairseq-hydra-train":
        assert not hydra_parser().parse_args(words).overrides
    elif program.startswith("fairseq-"):
        options.parse_args_and_arch(fairseq_parser(program), words)
    elif program == "make":
        makefile = (REPOSITORY / "Makefile").read_text()
        assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)
        for variable in words[1:]:
            assert f"$({variable.partition('=')[0]})" in makefile
    elif program == "python" and words[0].startswith("benchmarks/"):
        source = (REPOSITORY / words[0]).read_text()
        unknown = [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source]
        assert not unknown or "parse_known_args" in source, unknown
    elif program == "python" and words[:2] == ["-m", "pytest"]:
        assert all((REPOSITORY / word).exists() for word in words[2:] if word.startswith("tests"))
    elif program == "pip":
        assert words[0] == "install"
        assert set(words[1:]) <= {".", "-e", "pre-commit"}
    elif program == "pre-commit":
        assert words == ["install"]
    else:
        pytest.fail(f"no rule for the program {program}")


@pytest.mark.parametrize("text", DOCUMENTED, ids=[str(line) for line in DOCUMENTED.values()])
def test_a_command_is_understood_and_one_rule_is_for_it(text):
    understand(text)
    assert len([pattern for pattern in PATTERNS if re.search(pattern, text)]) == 1


def test_each_rule_is_for_some_command():
    for pattern in PATTERNS:
        assert any(re.search(pattern, text) for text in DOCUMENTED), pattern


def test_options_that_do_not_exist_are_found(capsys):
    for wrong in (
        "iel extract DATA-BIN --path baseline.pt --form jsonl2",
        "fairseq-generate DATA-BIN --user-dir iel_fairseq --task translation --path a.pt --attn-modal b",
    ):
        with pytest.raises(SystemExit):
            understand(wrong)
    with pytest.raises(AssertionError, match="no recipe reads SEEDLING"):
        understand("SEEDLING=1 examples/multi30k/run.sh")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("rule", "text"),
    [pytest.param(rule, text, id=str(DOCUMENTED[text])) for rule in AFTERWARDS for text in rule.commands],
)
def test_a_command_runs(workspace, rule, text):
    run_rule(rule, text, workspace)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: str(block.lines[0]))
def test_python_runs(workspace, block):
    if "load_classifier" in block.text:
        run_forked("python", ["-c", block.text], workspace / "classification")
        return
    folder = workspace / "translation"
    store = min((folder / "DATA-BIN").glob("attention_positions.train.*"))
    text = block.text.replace('"iel_fairseq"', repr(USER_DIR)).replace("attention_positions.train.KEY", store.name)
    run_forked("python", ["-c", text], folder)
