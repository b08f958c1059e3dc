"""The recipes' own steps, on a text of a few sentences."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from commands import BIN, CPU

RECIPE = Path(__file__).parents[2] / "examples/demo/run.sh"
WORDS = ["cat", "dog", "bird", "child", "river", "house"]
TEXT = [(f"le {a} voit un {b} .", f"the {a} sees a {b} .") for a in WORDS for b in WORDS if a != b]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name, pairs in {"train": TEXT, "valid": TEXT[:5], "test": TEXT[5:9]}.items():
        for side, language in enumerate(("fr", "en")):
            (folder / f"{name}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    return folder


def recipe(text: Path, work: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    settings = {"SRC": "fr", "TGT": "en", "SYSTEMS": "baseline", "PREPARE": "--merges 30"}
    environment = {**CPU, "PATH": path, **settings, "TRAIN": "fairseq-train --max-update 2", **variables}
    return subprocess.run(
        ["bash", RECIPE, text], env={**environment, "WORK": str(work)}, text=True, capture_output=True, check=False
    )


def test_a_recipe_goes_on_with_the_same_options_alone(text, tmp_path):
    work = tmp_path / "run"
    first = recipe(text, work)
    assert first.returncode == 0, first.stderr
    assert "| transformer | baseline | 2 | 1 |" in first.stdout
    trained = os.stat(work / "transformer/baseline/checkpoint_best.pt").st_mtime_ns
    moved = work.rename(tmp_path / "moved")
    again = recipe(text, moved)
    assert again.returncode == 0, again.stderr
    assert "| transformer | baseline | 2 | 1 |" in again.stdout
    other = recipe(text, moved, SEED="2")
    assert other.returncode == 1
    [line] = [line for line in other.stderr.splitlines() if "made with other options" in line]
    assert line == f"{moved}/transformer/baseline: made with other options; name another WORK, or remove this folder"
    assert "--seed 1" in other.stderr
    assert "--seed 2" in other.stderr
    assert os.stat(moved / "transformer/baseline/checkpoint_best.pt").st_mtime_ns == trained
