"""The recipes' own steps, on a text of a few sentences."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import BIN, CPU, one_of_two_ranks

RECIPE = Path(__file__).parents[2] / "examples/demo/run.sh"
GLUE = Path(__file__).parents[2] / "examples/glue"
REMEMBER = Path(__file__).parents[2] / "examples/remember.sh"
WORDS = ["cat", "dog", "bird", "child", "river", "house"]
TEXT = [(f"le {a} voit un {b} .", f"the {a} sees a {b} .") for a in WORDS for b in WORDS if a != b]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name, pairs in {"train": TEXT, "valid": TEXT[:5], "test": TEXT[5:9]}.items():
        for side, language in enumerate(("fr", "en")):
            (folder / f"{name}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    return folder


def started(script: Path, *words: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**CPU, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(["bash", script, *words], env=environment, text=True, capture_output=True, check=False)


def recipe(text: Path, work: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    settings = {"SRC": "fr", "TGT": "en", "SYSTEMS": "baseline", "PREPARE": "--merges 30"}
    settings |= {"TRAIN": "fairseq-train --max-update 2", "WORK": str(work)}
    return started(RECIPE, text, **{**settings, **variables})


def test_a_recipe_goes_on_with_the_same_options_alone(text, tmp_path):
    work = tmp_path / "a run"
    first = recipe(text, work)
    assert first.returncode == 0, first.stderr
    assert "| transformer | baseline | 2 | 1 |" in first.stdout
    trained = os.stat(work / "transformer/baseline/checkpoint_best.pt").st_mtime_ns
    moved = work.rename(tmp_path / "moved")
    again = recipe(text, moved)
    assert again.returncode == 0, again.stderr
    assert "| transformer | baseline | 2 | 1 |" in again.stdout
    for options, said in (
        ({"SEED": "2"}, "< --seed 1 \n> --seed 2 \n"),
        ({"TRAIN": "fairseq-train --max-update 3"}, "< --max-update\\ 2\n> --max-update\\ 3\n"),
    ):
        other = recipe(text, moved, **options)
        assert other.returncode == 1
        folder = f"{moved}/transformer/baseline"
        assert f"\n{folder}: made with other options (<) than these (>); name another WORK\n{said}" in other.stderr
    (moved / "transformer/baseline/command").unlink()
    unknown = recipe(text, moved)
    assert unknown.returncode == 1
    assert "baseline: nothing says with which options it was made; name another WORK\n" in unknown.stderr
    assert os.stat(moved / "transformer/baseline/checkpoint_best.pt").st_mtime_ns == trained


@pytest.mark.slow
def test_a_recipe_trains_with_two_ranks(text, tmp_path):
    train = tmp_path / "two_ranks"
    options = shlex.join(["--max-update", "2", *one_of_two_ranks()])
    ranks = "".join(f'fairseq-train "$@" {options} --distributed-rank {rank} &\n' for rank in range(2))
    train.write_text(f"{ranks}wait %1 && wait %2\n")
    work = tmp_path / "run"
    made = recipe(text, work, SYSTEMS="baseline control attention-words", TRAIN=f"bash {train}")
    assert made.returncode == 0, made.stderr
    assert "| transformer | attention-words | 4 | 1 |" in made.stdout
    for system in ("baseline", "control", "attention-words"):
        assert "training on 2 devices" in (work / "transformer" / system / "train.log").read_text()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SYSTEMS": "baseline contrl"}, "SYSTEMS: there is no system contrl"),
        ({"SYSTEMS": "baseline noise-50"}, "SYSTEMS: there is no system noise-50"),
        ({"SYSTEMS": "baseline mixture-3x"}, "SYSTEMS: there is no system mixture-3x"),
        ({"SYSTEMS": "self-30-40 baseline"}, "SYSTEMS: there is no system self-30-40"),
        ({"SYSTEMS": "baseline self-"}, "SYSTEMS: there is no system self-"),
        ({"ARCHS": "transformer lstm"}, "ARCHS: there is no architecture lstm; transformer and fconv are known"),
    ],
)
def test_names_that_nobody_knows_end_a_recipe_before_it_begins(text, tmp_path, variables, message):
    ended = recipe(text, tmp_path / "run", **variables)
    assert (ended.returncode, ended.stderr) == (1, f"{message}\n")
    assert not (tmp_path / "run").exists()


def test_a_name_that_the_glue_recipe_does_not_know_ends_it_before_it_begins(tmp_path):
    settings = {"DATA": "nowhere", "MODEL": "none", "SYSTEMS": "baseline lim", "WORK": str(tmp_path / "run")}
    ended = started(GLUE / "run.sh", **settings)
    assert (ended.returncode, ended.stderr) == (1, "SYSTEMS: there is no system lim\n")
    assert not (tmp_path / "run").exists()


def test_the_table_of_the_glue_recipe_chooses_among_the_rates_that_were_asked_for(tmp_path):
    scores = {"baseline/5e-5": 70.0, "control/1e-5": 90.0, "control/5e-5": 60.0, "lime/5e-5": 61.0}
    for folder, score in scores.items():
        (tmp_path / "RTE/1" / folder).mkdir(parents=True)
        (tmp_path / "RTE/1" / folder / "score").write_text(f"{score}\n")
    asked = ["--tasks", "RTE", "--seeds", "1", "--systems", "baseline", "control", "lime", "--json", tmp_path / "out"]
    for rates, expected in ((["5e-5"], "60.0 (5e-5)"), (["1e-5", "5e-5"], "90.0 (1e-5)")):
        systems = asked if rates == ["5e-5"] else [word for word in asked if word != "lime"]
        command = [sys.executable, GLUE / "results.py", "table", tmp_path, *systems, "--rates", *rates]
        table = subprocess.run(command, env=CPU, text=True, capture_output=True, check=True).stdout
        assert "| baseline | 70.0 (5e-5) |" in table
        assert f"| control | {expected} |" in table


def test_folders_in_work_and_in_the_repository_may_be_moved(tmp_path):
    def remembered(work: str, *words: str) -> str:
        (tmp_path / "command").unlink(missing_ok=True)
        command = [f'source {shlex.quote(str(REMEMBER))}; remember command "$@"', "bash", *words]
        subprocess.run(["bash", "-c", *command], cwd=tmp_path, env={**CPU, "WORK": work}, check=True)
        return (tmp_path / "command").read_text().strip()

    (tmp_path / "command.part").touch()  # of one that was killed
    root, here = REMEMBER.parents[1], tmp_path.resolve()
    options = ["--source-lang", "de", "--model", "de/b.pt", f'{{"data": "{here}/de/data-bin"}}', f"{root}/iel_fairseq"]
    said = '--source-lang de --model WORK/b.pt \\{\\"data\\":\\ \\"WORK/data-bin\\"\\} ./iel_fairseq'
    assert remembered("de", *options) == said
    assert remembered(f"{here}/de", *options[:3], f"{here}/de/b.pt", *options[4:]) == said
    assert remembered("de", f"{root}2/data") == f"{root}2/data"
    assert remembered("my run", "my run/b.pt") == "WORK/b.pt"
