"""Every command and option that takes a checkpoint, given a hostile one: nothing in it runs, and one line says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest
import torch
from commands import USER_DIR
from fairseq import options as fairseq_options
from fairseq_cli import preprocess
from forked import run_to_its_error
from test_compat import Writes
from tiny_bert import make_folder
from tiny_models import checkpoint_of

from iel_fairseq.preparation.prepared_folder import PreparedFolder

IEL = ["--user-dir", USER_DIR, "--task", "attn_enhanced_translation", "--cpu"]
TRAIN = [*IEL, *("--arch", "transformer", "--max-tokens", "100", "--max-epoch", "1", "--save-dir", "save")]
TRAIN += ["--optimizer", "adam", "--lr", "0.1"]
GLUE = ["GLUE", "--user-dir", USER_DIR, "--task", "importance_enhanced_classification", "--glue-task", "RTE", "--cpu"]
GLUE += ["--arch", "hf_sequence_classifier", "--criterion", "glue", "--optimizer", "adam", "--lr", "0.1"]
GLUE += ["--batch-size", "2", "--save-dir", "save-glue", "--max-epoch", "1"]
LIME = ["--importance", "lime"]
LANGUAGES = ["-s", "src", "-t", "tgt"]

COMMANDS = {
    "iel extract": ["DATA-BIN", "--path", "hostile.pt", "--cpu"],
    "iel translate": ["text", "--path", "hostile.pt", "--cpu"],
    "iel translate --attn-model": ["text", "--path", "good.pt", "--attn-model", "hostile.pt", "--cpu"],
    "iel translate, its extractor": ["text", "--path", "remembers-hostile.pt", "--cpu"],
    "iel serve": ["--path", "hostile.pt", "--cpu", "--port", "0"],
    "iel serve --attn-model": ["--path", "good.pt", "--attn-model", "hostile.pt", "--cpu", "--port", "0"],
    "iel plot attention --path": ["text", "--path", "hostile.pt", "--cpu", "--output", "out.html"],
    "iel plot attention, its extractor": ["text", "--path", "remembers-hostile.pt", "--cpu", "--output", "out.html"],
    "iel predict": ["GLUE", "--path", "hostile.pt", "--cpu"],
    "iel explain": ["GLUE", "--path", "hostile.pt", "--cpu"],
    "iel faithfulness": ["GLUE", "--path", "hostile.pt", "--cpu"],
    "iel plot importance": ["GLUE", "--path", "hostile.pt", "--cpu", "--output", "out.html"],
    "iel plot bootstrap --control": ["save-of-rounds", "--control", "save-hostile", "--output", "out.png"],
    "iel export-hf": ["--path", "hostile.pt", "--output", "exported"],
    "iel report": ["run"],
    "fairseq-train --attn-model": ["DATA-BIN", *LANGUAGES, *TRAIN, "--attn-model", "hostile.pt"],
    "fairseq-train --finetune-from-model": ["DATA-BIN", *LANGUAGES, *TRAIN, "--finetune-from-model", "hostile.pt"],
    "fairseq-train --restore-file": ["DATA-BIN", *LANGUAGES, *TRAIN, "--restore-file", "hostile.pt"],
    "fairseq-train, checkpoint_last": ["DATA-BIN", *LANGUAGES, *TRAIN, "--save-dir", "save-hostile"],
    "fairseq-train --importance-model": [*GLUE, "--hf-model", "bert", *LIME, "--importance-model", "hostile.pt"],
    "fairseq-train, a classifier": [*GLUE, "--finetune-from-model", "hostile.pt"],
    "fairseq-generate": ["DATA-BIN", *LANGUAGES, *IEL, "--path", "hostile.pt"],
    "fairseq-generate, an ensemble": ["DATA-BIN", *LANGUAGES, *IEL, "--path", "good.pt:hostile.pt"],
    "fairseq-generate, plain": ["DATA-BIN", *LANGUAGES, *IEL, "--task", "translation", "--path", "hostile.pt"],
    "fairseq-interactive": ["DATA-BIN", *LANGUAGES, *IEL, "--path", "hostile.pt"],
    "fairseq-validate": ["DATA-BIN", *LANGUAGES, *IEL, "--path", "hostile.pt", "--max-tokens", "100"],
}
"""By name, which begins with the command itself."""

BY_DEFAULT = ("iel translate --attn-model", "iel export-hf", "fairseq-train --restore-file", "fairseq-interactive")
BUILD_A_TRANSFORMER = [
    name
    for name in COMMANDS
    if name.startswith(("iel extract", "iel translate", "iel serve", "iel plot attention, its extractor"))
    or name.startswith(("fairseq-gen", "fairseq-int", "fairseq-val", "fairseq-train --attn"))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Data for all commands, and checkpoints that are not hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    data = folder / "DATA-BIN"
    words = [f"w{number}" for number in range(10)]
    (folder / "text").write_text("w1 w2\nw3\n")
    (folder / "dict").write_text("".join(f"{word} 1\n" for word in words))
    for language in ("src", "tgt"):
        (folder / f"text.{language}").write_text("w1 w2\nw3\n")
    prefixes = [part for name in ("train", "valid", "test") for part in (f"--{name}pref", str(folder / "text"))]
    dictionaries = ["--srcdict", str(folder / "dict"), "--tgtdict", str(folder / "dict")]
    asked = [*LANGUAGES, "--destdir", str(data), *prefixes, *dictionaries]
    preprocess.main(fairseq_options.get_preprocessing_parser().parse_args(asked))
    (folder / "GLUE" / "RTE").mkdir(parents=True)
    for name in ("train", "dev", "test"):
        header, row = "index\tsentence1\tsentence2\tlabel\n", "0\tA film.\tA house.\tentailment\n"
        (folder / "GLUE" / "RTE" / f"{name}.tsv").write_text(header + row)
    make_folder(folder / "bert")
    torch.save(checkpoint_of(data, extractor=str(folder / "good.pt"), extractor_sha256=None), folder / "good.pt")
    hostile = str(folder / "hostile.pt")
    torch.save(checkpoint_of(data, extractor=hostile, extractor_sha256=None), folder / "remembers-hostile.pt")
    save = folder / "run" / "transformer" / "control"
    for path in (
        save,
        folder / "save-hostile",
        folder / "save-of-rounds",
        folder / "run" / "data-bin",
        folder / "run/raw",
    ):
        path.mkdir(parents=True)
    (folder / "save-of-rounds" / "bootstrapping.json").write_text('{"metric": "bleu", "maximize": true, "rounds": []}')
    codes = {"src": "codes", "tgt": "codes"}
    PreparedFolder(str(folder / "run" / "data-bin"), "src", "tgt", {"valid": "valid"}, {}, codes).write()
    for path in (save / "finished", save / "valid.tgt", folder / "run" / "raw" / "valid.tgt"):
        path.write_text("w1\n")
    return folder


def put(folder: Path, state: dict) -> None:
    """Save a checkpoint under all names that commands are given."""
    for name in ("hostile.pt", "save-hostile/checkpoint_last.pt", "save-hostile/checkpoint_best.pt"):
        torch.save(state, folder / name)
    torch.save(state, folder / "run" / "transformer" / "control" / "checkpoint_best.pt")


def last_line(command: str, folder: Path) -> str:
    """What a command says in the end, and nothing else went wrong."""
    program, *subcommands = command.split(",")[0].split(" --")[0].split()
    error = run_to_its_error(program, [*subcommands, *COMMANDS[command]], folder)
    assert "Traceback" not in error
    return error.rstrip().splitlines()[-1]


def commands(names: Iterable[str], by_default: Collection[str]) -> list:
    return [name if name in by_default else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("command", commands(COMMANDS, BY_DEFAULT))
def test_a_pickle_that_is_a_program(folder, tmp_path, command):
    state = checkpoint_of(folder / "DATA-BIN", extractor=str(folder / "good.pt"), extractor_sha256=None)
    state["extra_state"]["best"] = Writes(tmp_path / "executed")
    put(folder, state)
    message = last_line(command, folder)
    assert message.startswith("iel_fairseq: error: ")
    assert message.endswith("refused: it carries posix.mkdir, which is no weight or setting; nothing in it was run")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("command", commands(BUILD_A_TRANSFORMER, ["fairseq-interactive"]))
def test_a_setting_that_is_a_program(folder, tmp_path, command):
    """fairseq evaluates it when it builds the model."""
    state = checkpoint_of(folder / "DATA-BIN", extractor=str(folder / "good.pt"), extractor_sha256=None)
    program = f"__import__('os').mkdir({str(tmp_path / 'executed')!r}) or [5]"
    state["cfg"]["model"]["adaptive_softmax_cutoff"] = program
    put(folder, state)
    message = last_line(command, folder)
    assert message.startswith("iel_fairseq: error: ")
    assert message.endswith("refused; a setting is numbers, lists, or sums and products of these, and is not run")
    assert not (tmp_path / "executed").exists()
