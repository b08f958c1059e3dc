"""What takes no time of ``make lint``, so that it is part of ``make test``; mypy takes half a minute."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from documents import REPOSITORY

import iel_fairseq


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(words):
    ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", "."]
    done = subprocess.run(ruff, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_hooks_before_a_commit_are_local():
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    entries = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    assert entries == [".venv/bin/ruff check --force-exclude", ".venv/bin/ruff format --check --force-exclude"]


def test_the_citation_has_the_version_that_the_package_has():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == iel_fairseq.__version__
    assert f"`iel_fairseq/__init__.py`, {iel_fairseq.__version__};" in (REPOSITORY / "CHANGELOG.md").read_text()
