"""docs/formats.md against what is written: every key of every file, and none that is not there."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from documents import REPOSITORY, code

from iel_fairseq.classification import checkpoint as classification
from iel_fairseq.enhancement import KEY


def documented(heading: str) -> list[set[str]]:
    """The keys in the tables below *heading*, in the order of the tables."""
    text = (REPOSITORY / "docs/formats.md").read_text(encoding="utf-8")
    [section] = [part for part in text.split("\n## ") if part.startswith(f"{heading}\n")]
    found: list[set[str]] = []
    for line in section.splitlines():
        if line.startswith("| key"):
            found.append(set())
        elif line.startswith("| `"):
            found[-1] |= set(code(line.split("|")[1]))
    return found


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def only(paths: Iterable[Path]) -> Path:
    return sorted(paths)[0]


@pytest.fixture(scope="module")
def translation(workspace) -> Path:
    return workspace / "translation"


@pytest.fixture(scope="module")
def classified(workspace) -> Path:
    return workspace / "classification"


def test_attention_store(translation):
    store = only((translation / "DATA-BIN").glob("attention_positions.train.*"))
    manifest = read_json(store / "manifest.json")
    assert [set(manifest)] == documented("Attention store")
    assert {path.name for path in store.iterdir()} == {"manifest.json", "positions.bin", "positions.idx", "lock"}
    assert (manifest["format"], manifest["max_len"]) == (3, [1.2, 10])


def test_importance_store(classified):
    store = only((classified / "GLUE-DIR").glob("important_words.RTE.train.lime.*"))
    manifest = read_json(store / "manifest.json")
    assert [set(manifest)] == documented("Importance store")
    assert manifest["format"] == 4


def test_what_iel_extract_prints(translation):
    [keys] = documented("What `iel extract` prints")
    assert {frozenset(line) for line in read_json_lines(translation / "read.jsonl")} == {frozenset(keys)}


def test_what_iel_translate_prints(translation):
    [keys] = documented("What `iel translate` prints")
    assert {frozenset(line) for line in read_json_lines(translation / "news.jsonl")} == {frozenset(keys)}


def test_prepared_folder(translation):
    data = translation / "DATA-BIN"
    of_preparation, of_split = documented("Prepared folder")
    assert set(read_json(data / "preparation.json")) == of_preparation
    for split in read_json(data / "statistics.json").values():
        assert set(split) == of_split
        assert set(split["dropped"]) <= {"empty", "overlong", "ratio"}
    for name in ("raw", "tok", "true", "bpe", "bpe/codes", "data-bin/codes", "data-bin/truecaser.fr", "journal.json"):
        assert (translation / "runs/mine" / name).exists(), name


def test_what_checkpoints_remember(translation, classified):
    of_translation, of_classification = documented("What checkpoints remember")
    for folder, key, keys in (
        (translation, KEY, of_translation),
        (classified, classification.KEY, of_classification),
    ):
        assert set(torch.load(folder / "finetuned.pt")["task_state"][key]) == keys


def test_bootstrapping(translation):
    record = read_json(translation / "SAVE-DIR/bootstrapping.json")
    of_record, of_round = documented("Bootstrapping")
    assert set(record) == of_record
    assert {frozenset(each) for each in record["rounds"]} == {frozenset(of_round)}


def test_reports(translation):
    [keys] = documented("Runs and reports")
    assert {frozenset(record) for record in read_json(translation / "runs/mine/results.json")} == {frozenset(keys)}
    with open(translation / "runs/mine/results.csv", newline="") as file:
        assert set(csv.DictReader(file).fieldnames or ()) == keys


def test_glue(classified):
    of_scores, of_explanation, of_faithfulness = documented("GLUE")
    assert {frozenset(line) for line in read_json_lines(classified / "scores.jsonl")} == {frozenset(of_scores)}
    assert {frozenset(line) for line in read_json_lines(classified / "explained.jsonl")} == {frozenset(of_explanation)}
    assert {frozenset(each) for each in read_json(classified / "faithfulness.json")} == {frozenset(of_faithfulness)}
    assert (classified / "RTE.tsv").read_text().splitlines()[0] == "index\tprediction"
