"""GLUE's files in the official layout; what is not so is one line with file, line number and what was expected."""

from __future__ import annotations

import gzip
import importlib.machinery
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from iel_fairseq.classification.glue import GLUE_TASKS, Example, read_glue, submission_value
from iel_fairseq.errors import IELError

STS_HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
TRAIN = {
    "CoLA": ("gj04\t0\t*\tA dog\tis.", "gj04\t1\t\tA dog is.\ngj04\t0\t*\tDog a.\n", [("A dog is.", 1), ("Dog a.", 0)]),
    "SST-2": ("no tab", "sentence\tlabel\na good film \t1\n", [("a good film ", 1)]),
    "MRPC": (
        "1\t2\t3\tonly one",
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tA "quote\t"A dog.\r\n',
        [('A "quote\t"A dog.', 1)],
    ),
    "STS-B": (
        "0\tmain",
        f"{STS_HEADER}\n0\tg\tf\t2012\t1\tnone\tnone\tA dog.\tA cat.\t3.800\n",
        [("A dog.\tA cat.", 3.8)],
    ),
    "RTE": ("0\tA dog.", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n", [("A.\tB.", 1)]),
    "QQP": (
        None,
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t0\n",
        [("Why?\tHow?", 0)],
    ),
}


def write(folder: Path, task: str, text: str, name: str = "train.tsv") -> Path:
    path = folder / task / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("task", list(TRAIN))
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_official_layouts_are_read(tmp_path, task, suffix):
    _, text, expected = TRAIN[task]
    write(tmp_path, task, text, f"train.tsv{suffix}")
    assert read_glue(str(tmp_path), GLUE_TASKS[task], "train") == [Example(*pair) for pair in expected]


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("CoLA", "index\tsentence\n0\tA.\n"),
        ("SST-2", "index\tsentence\n0\tA.\n"),
        ("MRPC", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA.\tB.\n"),
        ("QQP", "id\tquestion1\tquestion2\n0\tA.\tB.\n"),
        ("RTE", "index\tsentence1\tsentence2\n0\tA.\tB.\n"),
        ("STS-B", STS_HEADER.removesuffix("\tscore") + "\n0\tg\tf\t2012\t1\tnone\tnone\tA.\tB.\n"),
    ],
)
def test_test_sets_have_no_labels(tmp_path, task, text):
    write(tmp_path, task, text, "test.tsv")
    text = "A." if task in ("CoLA", "SST-2") else "A.\tB."
    assert read_glue(str(tmp_path), GLUE_TASKS[task], "test") == [Example(text, None)]


@pytest.mark.parametrize("task", [task for task in TRAIN if TRAIN[task][0]])
def test_a_malformed_line_is_named_with_what_was_expected(tmp_path, task):
    bad, good, _ = TRAIN[task]
    path = write(tmp_path, task, f"{good}{bad}\n")
    with pytest.raises(IELError) as error:
        read_glue(str(tmp_path), GLUE_TASKS[task], "train")
    assert f"{path}, line {good.count(chr(10)) + 1}: expected {len(GLUE_TASKS[task].header)} fields" in str(error.value)


def test_qqps_own_broken_lines_are_skipped_and_told(tmp_path, caplog):
    text = TRAIN["QQP"][1] + "1\t2\t3\tbroken in\ntwo\t1\n2\t3\t4\tWho?\tWhen?\t1\n"
    path = write(tmp_path, "QQP", text)
    with caplog.at_level(logging.WARNING):
        found = read_glue(str(tmp_path), GLUE_TASKS["QQP"], "train")
    assert [example.text for example in found] == ["Why?\tHow?", "Who?\tWhen?"]
    assert f"{path}: 2 lines have not 6 fields and are skipped (lines 3, 4)" in caplog.text


def test_no_line_of_a_test_set_is_skipped(tmp_path):
    """Predictions are numbered by its lines."""
    (tmp_path / "QQP").mkdir()
    (tmp_path / "QQP/test.tsv").write_text("id\tquestion1\tquestion2\n0\tA?\tB?\n1\tbroken\n2\tC?\tD?\n")
    with pytest.raises(IELError, match=r"test\.tsv, line 3: expected 3 fields"):
        read_glue(str(tmp_path), GLUE_TASKS["QQP"], "test")


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        (
            "RTE",
            "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tmaybe\n",
            "line 2: expected a label of entailment, not_",
        ),
        (
            "STS-B",
            f"{STS_HEADER}\n0\tg\tf\ty\t1\tn\tn\tA.\tB.\t5.1\n",
            "line 2: expected a score from 0 to 5, found '5.1'",
        ),
        ("RTE", "index\tsentence1\tlabel\n", "line 1: expected a header with the column 'sentence2'"),
        ("RTE", "index\tsentence1\tsentence2\tlabel\n", "holds no sentences"),
        ("CoLA", "", "holds no sentences"),
    ],
)
def test_other_bad_input_is_one_line(tmp_path, task, text, message):
    path = write(tmp_path, task, text)
    with pytest.raises(IELError) as error:
        read_glue(str(tmp_path), GLUE_TASKS[task], "train")
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_another_encoding_is_named_with_its_line(tmp_path):
    write(tmp_path, "RTE", "").write_bytes(
        "index\tsentence1\tsentence2\tlabel\n0\tcafé\tb\tentailment\n".encode("latin1")
    )
    with pytest.raises(IELError, match=r"train\.tsv, line 2: not UTF-8 \(byte 6 is 0xe9\); convert the file"):
        read_glue(str(tmp_path), GLUE_TASKS["RTE"], "train")


def test_missing_files_and_splits(tmp_path):
    with pytest.raises(IELError, match=r"RTE/dev.tsv\[.gz\]: no such file; DATA is the folder that holds RTE/"):
        read_glue(str(tmp_path), GLUE_TASKS["RTE"], "valid")
    with pytest.raises(IELError, match="dev: no split of GLUE; it is one of train, valid, test"):
        read_glue(str(tmp_path), GLUE_TASKS["RTE"], "dev")
    write(tmp_path, "RTE", "", "dev.tsv.gz").write_bytes(b"no gzip")
    with pytest.raises(IELError, match=r"dev.tsv.gz: cannot be read"):
        read_glue(str(tmp_path), GLUE_TASKS["RTE"], "valid")


def test_by_name_through_datasets(monkeypatch):
    class Rows(list):
        features = {"sentence1": None, "sentence2": None, "label": None, "idx": None}

    def load_dataset(name, config, split):
        assert (name, config) == ("nyu-mll/glue", "stsb")
        label = {"validation": 2.5, "test": -1.0}[split]
        return Rows([{"sentence1": "A\tdog.", "sentence2": "A cat.", "label": label, "idx": 0}])

    module = ModuleType("datasets")
    module.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    assert read_glue("nyu-mll/glue", GLUE_TASKS["STS-B"], "valid") == [Example("A dog.\tA cat.", 2.5)]
    assert read_glue("nyu-mll/glue", GLUE_TASKS["STS-B"], "test") == [Example("A dog.\tA cat.", None)]
    with pytest.raises(IELError, match="nyu-mll/glue: neither a folder nor a data set"):
        read_glue("nyu-mll/glue", GLUE_TASKS["RTE"], "valid")


def test_what_a_submission_holds():
    assert submission_value(GLUE_TASKS["RTE"], 1.0) == "not_entailment"
    assert submission_value(GLUE_TASKS["CoLA"], 1.0) == "1"
    assert [submission_value(GLUE_TASKS["STS-B"], score) for score in (-0.1, 2.25, 5.2)] == ["0.000", "2.250", "5.000"]


@pytest.mark.parametrize("score", ["0.000", "5.000"])
def test_the_ends_of_a_scale_are_on_it(tmp_path, score):
    header = "\t".join(GLUE_TASKS["STS-B"].header)
    write(tmp_path, "STS-B", f"{header}\n0\tg\tf\ty\t1\tn\tn\tA.\tB.\t{score}\n", "dev.tsv")
    assert read_glue(str(tmp_path), GLUE_TASKS["STS-B"], "valid")[0].label == float(score)
