"""Train, fine-tune on important words, validate, predict and export: as a user does, with a tiny BERT."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import threading
from pathlib import Path

import pytest
import torch
from commands import USER_DIR, files_of_at_most, run, standard_input, two_ranks
from tiny_bert import WORDS, make_folder

from iel_fairseq.classification.checkpoint import KEY
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.importance import ImportanceExtraction
from iel_fairseq.cli import main as iel
from iel_fairseq.errors import IELError

CLASSIFY = ("--user-dir", USER_DIR, "--task", "importance_enhanced_classification", "--glue-task", "CoLA")
TRAIN = (
    *("--arch", "hf_sequence_classifier", "--criterion", "glue", "--optimizer", "adam", "--lr", "5e-3", "--cpu"),
    *("--batch-size", 16, "--best-checkpoint-metric", "matthews", "--maximize-best-checkpoint-metric"),
    *("--no-epoch-checkpoints", "--log-format", "simple"),
)


def sentence(rng: random.Random) -> tuple[str, int]:
    """A sentence is of class 1 when it says "good"."""
    words = rng.choices([word for word in WORDS if word.isascii() and "#" not in word and word != "good"], k=5)
    label = rng.randint(0, 1)
    if label:
        words[rng.randrange(5)] = "good"
    return " ".join(words), label


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("glue"), random.Random(1)
    (folder / "CoLA").mkdir()
    for name, count in (("train", 400), ("dev", 61)):
        lines = [f"x\t{label}\t\t{text}\n" for text, label in (sentence(rng) for _ in range(count))]
        (folder / "CoLA" / f"{name}.tsv").write_text("".join(lines))
    (folder / "CoLA" / "test.tsv").write_text("index\tsentence\n0\ta good dog\n1\tthe cat\n2\t...\n")
    return folder


@pytest.fixture(scope="module")
def baseline(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    model = make_folder(folder / "bert", spread=0.2)
    log = run("fairseq-train", data, *CLASSIFY, *TRAIN, "--hf-model", model, "--max-epoch", 2, "--save-dir", folder)
    assert best_matthews(log) > 90
    shutil.rmtree(model)  # the checkpoint alone is enough
    return folder / "checkpoint_best.pt"


@pytest.fixture(scope="module")
def finetuned(data, baseline, tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("finetuned")
    options = ("--finetune-from-model", baseline, "--importance", "lime", "--importance-samples", 40)
    options += ("--importance-model", os.path.relpath(baseline))
    log = run("fairseq-train", data, *CLASSIFY, *TRAIN, *options, "--max-epoch", 1, "--save-dir", folder)
    return folder / "checkpoint_best.pt", log


def best_matthews(log: str) -> float:
    return max(float(score) for score in re.findall(r"\| valid \|.*? matthews ([-\d.]+)", log))


def tokens_of_a_text(log: str, subset: str) -> float:
    """Mean over the last epoch."""
    [*_, (tokens, texts)] = re.findall(rf"\| {subset} \|.*? wpb ([\d.]+) \| bsz ([\d.]+)", log)
    return float(tokens) / float(texts)


def test_two_passes_in_training_validation_and_prediction(data, finetuned, tmp_path, capfd, monkeypatch):
    checkpoint, log = finetuned
    assert best_matthews(log) > 90
    assert tokens_of_a_text(log, "train") == pytest.approx(8, abs=0.1)  # [CLS], five words, the important one, [SEP]
    assert tokens_of_a_text(log, "valid") == 8
    log = run("fairseq-validate", data, *CLASSIFY, "--path", checkpoint, "--batch-size", 7, "--cpu")
    assert best_matthews(log) == best_matthews(finetuned[1])
    assert tokens_of_a_text(log, "valid") == pytest.approx(8, abs=0.1)
    scores, submission = tmp_path / "scores.jsonl", tmp_path / "CoLA.tsv"
    options = ["--gen-subset", "valid", "--cpu", "--output", str(submission), "--scores", str(scores)]
    read, scores_of = [], Classifier.scores
    monkeypatch.setattr(Classifier, "scores", lambda *given: read.append(given[1:]) or scores_of(*given))
    iel(["predict", str(data), "--path", str(checkpoint), *options])
    assert f"CoLA, valid, 61 texts: matthews {best_matthews(log):.2f}" in capfd.readouterr().err
    lines = submission.read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert len(lines) == 62
    labels = [line.split("\t")[1] for line in (data / "CoLA" / "dev.tsv").read_text().splitlines()]
    right = sum(line.split("\t")[1] == label for line, label in zip(lines[1:], labels, strict=True))
    assert right >= 58
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    good = [row for row in rows if "good" in row["text"]]
    assert sum(row["important_word"] == "good" for row in good) >= 0.9 * len(good)
    assert sum(rows[0]["scores"]) == pytest.approx(1, abs=1e-5)
    assert read[-1] == ([row["text"] for row in rows], [row["important_word"] for row in rows])


def test_a_test_set_without_labels_is_predicted(data, finetuned, capsys):
    iel(["predict", str(data), "--path", str(finetuned[0]), "--cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["index\tprediction", "0\t1", "1\t0"]
    assert len(lines) == 4  # a text without words is predicted, too


def test_the_seed_of_training_is_the_explainers(data, baseline, tmp_path):
    options = ("--finetune-from-model", baseline, "--importance", "random", "--seed", 7, "--max-epoch", 1)
    stores = ("--importance-store", tmp_path, "--save-dir", tmp_path)
    run("fairseq-train", data, *CLASSIFY, *TRAIN, *options, *stores)
    assert torch.load(tmp_path / "checkpoint_best.pt")["task_state"][KEY]["seed"] == 7


def test_own_texts_are_predicted_as_those_of_a_split_and_nothing_is_kept(
    data, baseline, finetuned, tmp_path, capsys, monkeypatch
):
    (tmp_path / "texts").write_text("a good dog\nthe cat\n...\n")
    before = {path: set(path.iterdir()) for path in (tmp_path, data, baseline.parent, finetuned[0].parent)}
    monkeypatch.chdir(tmp_path)
    options = ("--path", str(finetuned[0]), "--cpu")
    iel(["predict", "texts", *options, "--scores", str(data / "own.jsonl")])
    own, scores = capsys.readouterr().out, (data / "own.jsonl").read_text()
    (data / "own.jsonl").unlink()
    monkeypatch.setattr("sys.stdin", standard_input(b"the cat\n"))
    iel(["predict", "-", *options])
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("the cat\n",))
    writer.start()
    assert capsys.readouterr().out == "index\tprediction\n0\t0\n"
    iel(["predict", "pipe", *options])
    writer.join()
    (tmp_path / "pipe").unlink()
    assert capsys.readouterr().out == "index\tprediction\n0\t0\n"
    assert {path: set(path.iterdir()) for path in before} == before
    iel(["predict", str(data), *options, "--scores", str(tmp_path / "test.jsonl")])
    assert capsys.readouterr().out == own
    assert (tmp_path / "test.jsonl").read_text() == scores
    assert json.loads(scores.splitlines()[0])["important_word"] == "good"
    (tmp_path / "texts").write_text("a dog\na\tdog\n")
    with pytest.raises(IELError, match="texts, line 2: expected a sentence without tabs, which is what CoLA has"):
        iel(["predict", "texts", *options])


def test_extractor_that_is_missing_or_another(data, baseline, finetuned, tmp_path):
    extractor, copy = tmp_path / "extractor.pt", tmp_path / "finetuned.pt"
    state = torch.load(finetuned[0])
    state["task_state"][KEY]["extractor"] = str(extractor)
    torch.save(state, copy)
    predict = ["predict", str(data), "--path", str(copy), "--cpu", "--output", str(tmp_path / "out.tsv")]
    with pytest.raises(IELError, match=rf"{extractor}: the extractor that the checkpoint remembers is missing"):
        iel(predict)
    extractor.write_bytes(finetuned[0].read_bytes())
    with pytest.raises(IELError, match="not the extractor that the checkpoint remembers"):
        iel(predict)
    iel([*predict, "--importance-model", str(baseline)])


def test_the_extractor_that_is_named_is_looked_for_here(data, baseline, finetuned, tmp_path, monkeypatch, capfd):
    """Though its name is what training was given, in another folder."""
    state = torch.load(finetuned[0])
    state["task_state"][KEY].update(extractor="/gone/base.pt", importance_model="base.pt")
    state["cfg"]["task"]["importance_model"] = "base.pt"
    (tmp_path / "models").mkdir()
    torch.save(state, tmp_path / "models/finetuned.pt")
    (tmp_path / "base.pt").symlink_to(baseline)
    monkeypatch.chdir(tmp_path)
    predict = ["predict", str(data), "--path", "models/finetuned.pt", "--cpu", "--output", "out.tsv"]
    with pytest.raises(IELError, match=r"/gone/base.pt: the extractor that the checkpoint remembers is missing"):
        iel(predict)
    iel([*predict, "--importance-model", "base.pt"])
    assert f"test: lime of {tmp_path}/base.pt found the important words" in capfd.readouterr().err


def test_the_extractor_is_found_from_any_folder(data, baseline, finetuned, tmp_path, monkeypatch, capfd):
    """Though the checkpoint's options have the path that its training was given, from the folder that it ran in."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert not Path(torch.load(finetuned[0])["cfg"]["task"]["importance_model"]).exists()
    iel(["predict", str(data), "--path", str(finetuned[0]), "--cpu", "--output", str(tmp_path / "out.tsv")])
    log = capfd.readouterr().err
    assert f"test: lime of {baseline} found the important words of 3 texts, 1 of which have no words" in log


def test_ties_are_told(data, baseline, tmp_path):
    options = ("--finetune-from-model", baseline, "--importance", "shap", "--importance-samples", 2)
    options += ("--importance-store", tmp_path, "--max-epoch", 1, "--save-dir", tmp_path)
    log = run("fairseq-train", data, *CLASSIFY, *TRAIN, *options)
    ties = re.search(r"train: in (\d+) texts several words are equally important, and the first was taken; more", log)
    assert int(ties[1]) > 100


def test_export_loads_in_transformers(baseline, finetuned, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path / "exported"
    iel(["export-hf", "--path", str(baseline), "--output", str(folder)])
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(["a good dog", "the bad dog"], padding=True, return_tensors="pt")).logits
    assert logits.argmax(1).tolist() == [1, 0]
    assert model.config.id2label == {0: "0", 1: "1"}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # whoever reads one file reads all
    with pytest.raises(IELError, match="is there already"):
        iel(["export-hf", "--path", str(baseline), "--output", str(folder)])


def test_an_export_writes_over_nothing_and_leaves_nothing_on_a_full_disk(baseline, tmp_path):
    folder, part = tmp_path / "exported", tmp_path / "exported.part"
    export = ["export-hf", "--path", str(baseline), "--output", str(folder)]
    part.write_text("somebody's")
    with pytest.raises(IELError, match=rf"^{part}: is there already, perhaps of an export that was killed; remove it"):
        iel(export)
    assert part.read_text() == "somebody's"
    part.unlink()
    with files_of_at_most(10_000), pytest.raises(IELError, match=rf"^{folder}\S*: cannot be written .*; free space"):
        iel(export)
    assert not list(tmp_path.iterdir())


def test_faithfulness_and_picture(data, baseline, finetuned, tmp_path, capsys, monkeypatch):
    options = [str(data), "--path", str(baseline), "--cpu", "--importance-samples", "20"]
    measure = ["faithfulness", *options, "--json", str(tmp_path / "f.json"), "--importance", "lime", "random"]
    measure += ["--importance-store", str(tmp_path)]
    iel([*measure, "--first", "30"])
    table = capsys.readouterr().out
    assert table.startswith("| explainer | comprehensiveness | sufficiency |")
    lime, by_chance = json.loads((tmp_path / "f.json").read_text())
    monkeypatch.setattr(ImportanceExtraction, "explanations", None)  # what is stored is not found again
    iel([*measure, "--first", "30"])
    assert capsys.readouterr().out == table
    monkeypatch.undo()
    with pytest.raises(IELError, match="--first 0: it is at least 1"):
        iel([*measure, "--first", "0"])
    with pytest.raises(IELError, match=f"{finetuned[0]}: reads texts with a word at their end, found by lime; explain"):
        iel(["faithfulness", str(data), "--path", str(finetuned[0]), "--cpu"])
    assert lime["comprehensiveness"] > by_chance["comprehensiveness"] + 0.1
    for name, start in (("words.png", b"\x89PNG"), ("words.html", b"<!DOCTYPE html>")):
        iel(["plot", "importance", *options, "--output", str(tmp_path / name), "--sentences", "0", "5"])
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(IELError, match=rf"--sentences 61: {data}, valid: has the texts 0 to 60"):
        iel(["plot", "importance", *options, "--output", str(tmp_path / "no.png"), "--sentences", "61"])


def test_an_option_that_contradicts_the_checkpoint(data, baseline):
    options = (*CLASSIFY, "--importance", "lime", "--path", baseline, "--batch-size", 7, "--cpu")
    log = run("fairseq-validate", data, *options, fails=True)
    message = "--importance lime: the checkpoint was trained with none; leave the option out"
    assert log.splitlines()[-1] == f"iel_fairseq: error: {message}"
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_folder_that_is_missing_is_one_line(data, baseline, tmp_path):
    words = (*CLASSIFY, *TRAIN, "--finetune-from-model", baseline, "--max-epoch", 1, "--save-dir", tmp_path)
    log = run("fairseq-train", tmp_path / "none", *words, fails=True)
    assert f"error: {tmp_path}/none: not there; to read GLUE by its name on the hub" in log.splitlines()[-1]


def test_an_extractor_of_enhanced_texts_is_refused(data, finetuned, tmp_path):
    words = (*CLASSIFY, *TRAIN, "--finetune-from-model", finetuned[0], "--importance", "attention", "--max-epoch", 1)
    log = run("fairseq-train", data, *words, "--save-dir", tmp_path, fails=True)
    assert f"error: {finetuned[0]}: reads texts with a word at their end, found by " in log.splitlines()[-1]


def test_a_training_is_fine_tuned_from_a_checkpoint_or_goes_on_from_one(data, baseline, tmp_path):
    words = (*CLASSIFY, *TRAIN, "--finetune-from-model", baseline, "--reset-optimizer", "--max-epoch", 1)
    log = run("fairseq-train", data, *words, "--save-dir", tmp_path, fails=True)
    assert "error: --reset-optimizer: fairseq does not take it with --finetune-from-model" in log.splitlines()[-1]
    assert "Traceback" not in log


def test_explanations_are_json_lines_of_a_split_or_of_texts(data, baseline, tmp_path, capsys, monkeypatch):
    options = ("--path", baseline, "--cpu", "--importance", "lime", "random", "--importance-samples", 40)
    kept = ("--importance-store", tmp_path)
    words = ["explain", data, *options, "--gen-subset", "test", *kept, "--output", tmp_path / "e.jsonl"]
    iel([str(word) for word in words])
    split = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [(each["importance"], each["text"]) for each in split] == [
        (name, text) for name in ("lime", "random") for text in ("a good dog", "the cat", "...")
    ]
    assert split[0]["words"] == ["a", "good", "dog"]
    assert (split[0]["prediction"], split[0]["important_word"]) == ("1", "good")
    assert split[0]["scores"][1] == max(split[0]["scores"])
    assert (split[2]["words"], split[2]["important_word"]) == ([], None)
    assert len(list(tmp_path.glob("important_words.*"))) == 2

    (tmp_path / "texts").write_text("a good dog\nthe cat\n...\n")
    before = set(tmp_path.iterdir()) | set(data.iterdir()) | set(baseline.parent.iterdir())
    capsys.readouterr()
    iel([str(word) for word in ("explain", tmp_path / "texts", *options)])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == split
    assert set(tmp_path.iterdir()) | set(data.iterdir()) | set(baseline.parent.iterdir()) == before
    monkeypatch.setattr("sys.stdin", standard_input(b"the cat\n"))
    iel([str(word) for word in ("explain", "-", "--path", baseline, "--cpu")])
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["importance"] == "attention"
    monkeypatch.undo()

    def explained(*_):
        raise AssertionError

    monkeypatch.setattr(ImportanceExtraction, "explanations", explained)
    iel([str(word) for word in words[:-2]])  # found again in the store
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "texts: holds no texts"),
        ("a dog\na\tdog\n", "texts, line 2: expected a sentence without tabs, which is what"),
    ],
)
def test_texts_that_cannot_be_explained_are_one_line(baseline, tmp_path, text, message):
    (tmp_path / "texts").write_text(text)
    with pytest.raises(IELError, match=message):
        iel(["explain", str(tmp_path / "texts"), "--path", str(baseline), "--cpu"])


def test_texts_are_not_written_over(data, baseline, tmp_path):
    texts, out, extractor = tmp_path / "texts", tmp_path / "out", tmp_path / "extractor.pt"
    texts.write_text("a good dog\n")
    for command, options, option in (
        ("predict", ["--output", texts], "--output"),
        ("predict", ["--output", out, "--scores", texts], "--scores"),
        ("predict", ["--output", out, "--scores", out], "--scores"),
        ("predict", ["--output", baseline], "--output"),
        ("predict", ["--output", out, "--scores", extractor, "--importance-model", extractor], "--scores"),
        ("explain", ["--output", baseline], "--output"),
        ("faithfulness", ["--json", baseline], "--json"),
        ("explain", ["--output", texts], "--output"),
        ("faithfulness", ["--json", texts], "--json"),
    ):
        words = (command, texts, "--path", baseline, "--cpu", *options)
        with pytest.raises(IELError, match=rf"^{option} \S+: (it is read|--output writes it); name another file"):
            iel([str(word) for word in words])
    assert [path.name for path in tmp_path.iterdir()] == ["texts"]
    for name in ("test.tsv", "test.tsv.gz"):  # of which the first would be read before the second
        published = data / "CoLA" / name
        with pytest.raises(IELError, match=rf"^--output {published}: it is read; name another file"):
            iel(["predict", str(data), "--path", str(baseline), "--cpu", "--output", str(published)])


def test_where_nothing_can_be_written_nothing_is_explained(data, baseline, finetuned, tmp_path, monkeypatch):
    monkeypatch.setattr(ImportanceExtraction, "explanations", None)
    nowhere = str(tmp_path / "nowhere" / "out")
    (tmp_path / "texts").write_text("a good dog\n")
    for command, path, *options in (
        ("predict", finetuned[0], "--output", nowhere),
        ("predict", finetuned[0], "--output", str(tmp_path / "out"), "--scores", nowhere),
        ("explain", baseline, "--output", nowhere),
        ("faithfulness", baseline, "--json", nowhere),
    ):
        with pytest.raises(IELError, match=f"^{nowhere}: cannot be written"):
            iel([command, str(tmp_path / "texts"), "--path", str(path), "--cpu", *options])
    assert [path.name for path in tmp_path.iterdir()] == ["texts"]


def test_a_store_is_found_from_any_folder(data, baseline, tmp_path, monkeypatch):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = ("--finetune-from-model", baseline, "--importance", "random", "--importance-store", "stores")
    run("fairseq-train", data, *CLASSIFY, *TRAIN, *options, "--max-epoch", 1, "--save-dir", tmp_path / "saved")
    made = sorted(path.name for path in (tmp_path / "here" / "stores").iterdir())
    assert len(made) == 2
    monkeypatch.chdir(tmp_path / "there")
    path = tmp_path / "saved" / "checkpoint_best.pt"
    run("fairseq-validate", data, *CLASSIFY, "--path", path, "--batch-size", 7, "--cpu")
    before = sorted(data.iterdir())
    iel(
        ["predict", str(data), "--path", str(path), "--gen-subset", "valid", "--output", str(tmp_path / "out"), "--cpu"]
    )
    assert sorted(data.iterdir()) == before
    assert not list((tmp_path / "there").iterdir())
    assert sorted(path.name for path in (tmp_path / "here" / "stores").iterdir()) == made


def test_texts_can_be_drawn_and_measured(baseline, tmp_path, capsys):
    (tmp_path / "texts").write_text("a good dog\nthe cat\n")
    options = (tmp_path / "texts", "--path", baseline, "--cpu", "--importance")
    drawn = [str(word) for word in ("plot", "importance", *options, "attention", "--output", tmp_path / "i.html")]
    iel(drawn)
    assert (tmp_path / "i.html").read_text().count(">cat<") == 1
    with pytest.raises(IELError, match=rf"--sentences 2: {tmp_path}/texts: has the texts 0 to 1"):
        iel([*drawn, "--sentences", "2"])
    iel([str(word) for word in ("faithfulness", *options, "random")])
    assert re.search(r"\| random \| \S+ \|", capsys.readouterr().out)
    assert {path.name for path in tmp_path.iterdir()} == {"texts", "i.html"}


def test_faithfulness_of_the_first_texts_finds_nothing_again(data, baseline, tmp_path, capsys):
    words = [
        "faithfulness",
        data,
        "--path",
        baseline,
        "--importance",
        "random",
        "--cpu",
        "--importance-store",
        tmp_path,
    ]
    iel([str(word) for word in words])
    iel([str(word) for word in (*words, "--first", 7)])
    assert len(list(tmp_path.glob("important_words.*"))) == 1
    assert len(re.findall(r"\| random \| \S+ \|", capsys.readouterr().out)) == 2


@pytest.mark.parametrize("importance", ["attention", "lime"])
def test_explanations_read_no_label(data, baseline, tmp_path, importance):
    """Line 16: the same bytes when every label is the other one."""
    stores = {}
    for name in ("given", "other"):
        (tmp_path / name / "CoLA").mkdir(parents=True)
        text = (data / "CoLA" / "dev.tsv").read_text()
        if name == "other":
            text = re.sub(r"(?m)^x\t(\d)", lambda label: f"x\t{1 - int(label[1])}", text)
        (tmp_path / name / "CoLA" / "dev.tsv").write_text(text)
        options = ("--importance", importance, "--importance-samples", "20", "--output", str(tmp_path / "out.jsonl"))
        iel(["explain", str(tmp_path / name), "--path", str(baseline), "--cpu", *options])
        files = (tmp_path / name).glob("important_words.*/*.bin")
        stores[name] = {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files}
    assert stores["given"] == stores["other"] != {}


def test_export_says_that_the_model_wants_important_words(finetuned, tmp_path, capsys):
    iel(["export-hf", "--path", str(finetuned[0]), "--output", str(tmp_path / "exported")])
    assert "reads texts with their important word at the end, which lime found in training" in capsys.readouterr().err


def test_a_plain_checkpoint_takes_no_extractor(data, baseline):
    words = ["predict", data, "--path", baseline, "--importance-model", "none.pt", "--gen-subset", "valid", "--cpu"]
    with pytest.raises(
        IELError, match=r"^--importance-model none.pt: the checkpoint of --path reads texts as they are; leave"
    ):
        iel([str(word) for word in words])


def test_two_ranks_measure_what_one_measures(data, baseline, tmp_path):
    shutil.copytree(data / "CoLA", tmp_path / "CoLA")
    dev = tmp_path / "CoLA" / "dev.tsv"
    lines = [line.split("\t") for line in dev.read_text().splitlines()]
    for line in lines[:20:2]:  # no rank has as many wrong ones as the other
        line[1] = str(1 - int(line[1]))
    dev.write_text("".join("\t".join(line) + "\n" for line in lines))
    options = (*CLASSIFY, *TRAIN, "--finetune-from-model", baseline, "--importance", "random", "--max-epoch", 1)
    scores = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        size = ("--lr", "0", "--save-dir", folder)
        if ranks == 1:
            run("fairseq-train", tmp_path, *options, *size)
        else:
            two_ranks(tmp_path, *options, *size)
        scores.append(torch.load(folder / "checkpoint_best.pt")["extra_state"]["best"])
    assert scores[0] == scores[1]
    assert 10 < scores[0] < 90


def test_a_training_goes_on_with_its_own_model_only(data, tmp_path):
    first = make_folder(tmp_path / "first", spread=0.2)
    other = shutil.copytree(first, tmp_path / "other")
    vocabulary = json.loads((other / "tokenizer.json").read_text())
    words = vocabulary["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    options = (data, *CLASSIFY, *TRAIN, "--save-dir", tmp_path / "saved")
    run("fairseq-train", *options, "--hf-model", first, "--max-epoch", 1)
    run("fairseq-train", *options, "--hf-model", shutil.move(first, tmp_path / "moved"), "--max-epoch", 2)
    log = run("fairseq-train", *options, "--hf-model", other, "--max-epoch", 3, fails=True)
    assert f"this training began with another model, or tokenizer, than that of {other}; give the same, or" in log


@pytest.mark.gpu
def test_all_of_it_on_a_gpu(data, baseline, tmp_path):
    options = ("--finetune-from-model", baseline, "--importance", "lime", "--importance-samples", 40, "--fp16")
    train = [word for word in TRAIN if word != "--cpu"]
    store = ("--importance-store", tmp_path)
    words = (*CLASSIFY, *train, *options, *store, "--max-epoch", 1, "--save-dir", tmp_path)
    log = run("fairseq-train", data, *words, gpu=True)
    assert "CUDA enviroments for all 1 workers" in log  # so fairseq spells it
    assert best_matthews(log) > 90
    words = ("--path", tmp_path / "checkpoint_best.pt", "--gen-subset", "valid", *store)
    predicted = [run("iel", "predict", data, *words, *cpu, gpu=not cpu) for cpu in ((), ("--cpu",))]
    [on_gpu, on_cpu] = [re.findall(r"^(\d+)\t(\d)", output, re.MULTILINE) for output in predicted]
    assert len(on_gpu) == 61
    assert sum(ours == theirs for ours, theirs in zip(on_gpu, on_cpu, strict=True)) >= 60
