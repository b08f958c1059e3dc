"""``make lint`` is part of ``make test``; and what documents and settings say of the package agrees with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from documents import REPOSITORY

import iel_fairseq


@pytest.mark.parametrize("words", ["ruff check --no-cache .", "ruff format --check --no-cache .", "mypy"])
def test_it_has_nothing_to_say(words):
    command = [sys.executable, "-m", *words.split()]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_hooks_before_a_commit_are_local():
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    entries = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    assert entries == [".venv/bin/ruff check --force-exclude", ".venv/bin/ruff format --check --force-exclude"]


def test_the_citation_has_the_version_that_the_package_has():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == iel_fairseq.__version__
    assert f"`iel_fairseq/version.py`, {iel_fairseq.__version__};" in (REPOSITORY / "CHANGELOG.md").read_text()
