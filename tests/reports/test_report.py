"""``iel report`` on a run that is written by hand, whose numbers are known."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from conftest import known_pairs
from matplotlib.figure import Figure
from sacrebleu import corpus_bleu, corpus_chrf, corpus_ter

from iel_fairseq import cli
from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.errors import IELError
from iel_fairseq.preparation.prepared_folder import PreparedFolder
from iel_fairseq.reports import differences, report, scores
from iel_fairseq.reports.differences import most_different
from iel_fairseq.reports.pages import Picture, Sentences, Table, markdown_page, report_page
from iel_fairseq.reports.plots import training_figure
from iel_fairseq.reports.runs import Run, System, control_of, control_score, place
from iel_fairseq.reports.scores import compare

REFERENCES = ["the cat sat on the mat .", "a dog runs in the park", "she sells sea shells", "x < y & z | w"]
GOOD = REFERENCES
FAIR = ["the cat sat on a mat .", "a dog runs in a park", "she sells sea shells", "x < y & z | w"]
POOR = ["the cat was on a rug .", "one dog ran in a park", "he sells shells", "x < y"]


@pytest.fixture(autouse=True)
def few_trials(monkeypatch):
    """What significance is has tests of its own; ten times as many trials are most of the time here."""
    monkeypatch.setattr(scores, "TRIALS", 1000)


def checkpoint(path: Path, updates: int, seconds: float, seed: int) -> None:
    torch.save(
        {
            "cfg": {
                "common": {"seed": seed},
                "checkpoint": {"best_checkpoint_metric": "loss"},
                "model": {"_name": "transformer"},
                "task": {"_name": "translation"},
            },
            "model": {"weights": torch.zeros(5, 4)},
            "optimizer_history": [{"num_updates": updates, "optimizer_name": "adam", "lr_scheduler_state": {}}],
            "extra_state": {
                "previous_training_time": torch.tensor(seconds, dtype=torch.float64),  # as several ranks leave it
                "train_iterator": {"epoch": 1, "iterations_in_epoch": 0},
            },
        },
        path,
    )


LOG = """\
2026-01-01 | INFO | fairseq_cli.train | num. shared model params: 1,020 (num. trained: 1,000)
2026-01-01 | INFO | iel_fairseq.extraction | train: sentences 1 to 8,192 of 9,000 read in 12.5 s (655 sentences/s)
2026-01-01 | INFO | iel_fairseq.extraction | train: sentences 8,193 to 9,000 of 9,000 read in 1.5 s (539 sentences/s)
2026-01-01 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.5 | nll_loss 3 | ppl 8 | num_updates 10
2026-01-01 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.5 | nll_loss 3 | ppl 8 | num_updates 10
2026-01-01 | INFO | valid | epoch 002 | valid on 'valid' subset | loss 4.25 | nll_loss 3 | num_updates 20 | best 4.25
"""


def make_run(folder: Path, seed: int, enhanced: list[str] = FAIR) -> Path:
    (folder / "raw").mkdir(parents=True)
    (folder / "data-bin").mkdir()
    codes = {"fr": "codes", "en": "codes"}
    sets = {"valid": "valid", "test": "newstest"}
    PreparedFolder(str(folder / "data-bin"), "fr", "en", sets=sets, truecasers={}, codes=codes).write()
    for split in ("valid", "test"):
        (folder / f"raw/{split}.en").write_text("\n".join([*REFERENCES, ""]))
        (folder / f"raw/{split}.fr").write_text("un <b>\ndeux\ntrois\nquatre\n")
    made = {"baseline": (POOR, 100, 60.0), "control": (POOR, 50, 90.0), "attention-positions": (enhanced, 40, 95.0)}
    for system, (translations, updates, seconds) in made.items():
        save_dir = folder / "transformer" / system
        save_dir.mkdir(parents=True)
        checkpoint(save_dir / "checkpoint_best.pt", updates, seconds, seed)
        (save_dir / "train.log").write_text(LOG if system == "attention-positions" else "")
        (save_dir / "finished").touch()
        for split in ("valid", "test"):
            (save_dir / f"{split}.en").write_text("\n".join([*translations, ""]))
    return folder


@pytest.fixture
def run_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(
        report, "attention_words", lambda run, system, split, indices: {index: f"<mot>/{index}" for index in indices}
    )
    return make_run(tmp_path / "tiny.seed1", seed=1)


def test_every_number_of_a_report(run_folder, tmp_path, capsys):
    cli.main(["report", str(run_folder), "--output", str(tmp_path / "out/tiny")])
    markdown = capsys.readouterr().out
    assert markdown == (tmp_path / "out/tiny.md").read_text()
    data = json.loads((tmp_path / "out/tiny.json").read_text())
    by_system = {(record["system"], record["set"]): record for record in data}
    assert list(by_system) == [
        (system, name) for system in ("baseline", "control", "attention-positions") for name in ("valid", "newstest")
    ]
    ours = by_system["attention-positions", "newstest"]
    assert ours["bleu"] == pytest.approx(corpus_bleu(FAIR, [REFERENCES]).score)
    assert ours["chrf"] == pytest.approx(corpus_chrf(FAIR, [REFERENCES]).score)
    assert ours["ter"] == pytest.approx(corpus_ter(FAIR, [REFERENCES]).score)
    assert ours["ter"] == pytest.approx(100 * 2 / 24)  # two of 24 words have to be replaced
    assert (ours["updates"], ours["training_seconds"], ours["extraction_seconds"]) == (140, 95, 14)
    assert (ours["parameters"], ours["seed"], ours["control"], ours["model"]) == (1020, 1, "control", "transformer")
    assert ours["p"] == pytest.approx(2 / 2**4, abs=0.02)  # each of four sentences is better: two ways in all
    assert ours["ci"] > 0
    control = by_system["control", "newstest"]
    assert (control["updates"], control["p"], control["extraction_seconds"]) == (150, None, 0)
    assert control["parameters"] is None  # its log does not say
    assert by_system["baseline", "valid"]["p"] == pytest.approx(1)  # it translates as the control does
    assert by_system["baseline", "valid"]["updates"] == 100
    with open(tmp_path / "out/tiny.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["set"]) for row in rows] == list(by_system)
    assert float(rows[-1]["bleu"]) == ours["bleu"]
    row = next(line for line in markdown.splitlines() if line.startswith("| transformer | attention-positions | 140"))
    cell = f"{ours['bleu']:.1f} ± {ours['ci']:.1f} ({ours['p']:.3f})"
    assert row == f"| transformer | attention-positions | 140 | 1 | {cell} | {cell} |"
    assert "| transformer | attention-positions | 1,020 | 140 | 95 | 14.0 |" in markdown
    assert f"sacreBLEU {ours['signature']}" in markdown
    assert "![transformer: validation loss](tiny.tiny.fr-en.transformer.curves.png)" in markdown
    assert (tmp_path / "out/tiny.tiny.fr-en.transformer.curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_is_whole_and_escaped(run_folder):
    cli.main(["report", str(run_folder)])
    page = (run_folder / "results.html").read_text()
    assert "un &lt;b&gt;" in page
    assert "&lt;mot&gt;/0" in page
    assert "x &lt; y &amp; z | w" in page
    assert not re.findall(r"<(?!/?(?:!DOCTYPE|html|head|meta|title|style|body|h2|h3|table|tr|t[hd]|p|figure|img"
                          r"|figcaption|ol|li|dl|d[td])\b)", page)  # fmt: skip
    assert re.findall(r'src="([^"]{10})', page) == ["data:image"]
    assert "href" not in page


def test_reports_of_one_folder_leave_each_other_their_pictures(run_folder, tmp_path):
    other = make_run(tmp_path / "tiny.seed2", seed=2)
    memory = PreparedFolder.read(str(other / "data-bin"))
    replace(memory, sets={"valid": "valid", "test": "othertest"}).write()
    for name, folders in {"one": [run_folder, other], "two": [run_folder]}.items():
        cli.main(["report", *map(str, folders), "--output", str(tmp_path / "out" / name)])
    pictures = ("one.tiny.fr-en.", "one.tiny.fr-en.valid.othertest.", "two.tiny.fr-en.")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        f"{picture}transformer.curves.png" for picture in pictures
    ]
    markdown = (tmp_path / "out/one.md").read_text()
    assert re.findall("^## .*", markdown, re.MULTILINE) == ["## tiny, fr-en", "## tiny, fr-en, valid, othertest"]
    assert re.findall(r"\]\((.*)\)", markdown) == [f"{picture}transformer.curves.png" for picture in pictures[:2]]


def test_updates_before_a_new_optimizer_are_not_known(run_folder):
    """fairseq counts from 0 after ``--bootstrap-restart``: no number is better than a wrong one."""
    path = run_folder / "transformer/attention-positions/checkpoint_best.pt"
    state = torch.load(path)
    state["cfg"]["task"]["bootstrap_restart"] = True
    torch.save(state, path)
    cli.main(["report", str(run_folder)])
    records = json.loads((run_folder / "results.json").read_text())
    assert {record["system"]: record["updates"] for record in records} == {
        "baseline": 100, "control": 150, "attention-positions": None,
    }  # fmt: skip
    assert "| transformer | attention-positions | - | 1 |" in (run_folder / "results.md").read_text()
    assert not list(run_folder.glob("*.png"))


def test_other_texts_of_the_same_score_are_no_better():
    """sacreBLEU counts differences above the observed one, and there is nearly always one above nothing."""
    translations = {"control": POOR, "system": [text.replace("was", "is") for text in POOR]}
    score = compare("control", translations, REFERENCES)["system"]["BLEU"]
    assert translations["system"] != translations["control"]
    assert (score.score, score.p) == (corpus_bleu(POOR, [REFERENCES]).score, 1)


def test_seeds_are_one_experiment(run_folder, tmp_path):
    other = make_run(tmp_path / "tiny.seed2", seed=2, enhanced=GOOD)
    cli.main(["report", str(other), str(run_folder), "--output", str(tmp_path / "both")])
    markdown = (tmp_path / "both.md").read_text()
    assert re.findall("^## .*", markdown, re.MULTILINE) == ["## tiny, fr-en"]
    assert "### newstest, transformer: where attention-positions and control differ most (tiny.seed2)\n" in markdown
    assert "transformer: validation loss (tiny.seed2)" in markdown
    first = corpus_bleu(FAIR, [REFERENCES]).score
    mean, deviation = (first + 100) / 2, (100 - first) / 2**0.5
    row = next(
        line for line in markdown.splitlines() if line.startswith("| transformer | attention-positions | 140 | 2")
    )
    assert f"| {mean:.1f}, sd {deviation:.2f} (" in row
    with pytest.raises(IELError, match=r"both have seed 1 of transformer, baseline; give folders"):
        cli.main(["report", str(run_folder), str(make_run(tmp_path / "again" / "tiny", seed=1))])


def test_p_of_each_seed_is_in_the_order_of_the_seeds(run_folder, tmp_path):
    other = make_run(tmp_path / "tiny.seed2", seed=2, enhanced=POOR)  # as its control
    cli.main(["report", str(other), str(run_folder), "--output", str(tmp_path / "both")])
    markdown = (tmp_path / "both.md").read_text()
    [row, *_] = [line for line in markdown.splitlines() if line.startswith("| transformer | attention-positions | 140")]
    assert len(re.findall(r"\(0\.1\d\d 1\.000\)", row)) == 2


def test_systems_and_control_can_be_chosen(run_folder, tmp_path):
    options = ("--systems", "baseline", "attention-positions", "--control", "baseline", "--models", "transformer")
    cli.main(["report", str(run_folder), "--output", str(tmp_path / "some"), *options])
    records = json.loads((tmp_path / "some.json").read_text())
    assert {record["system"]: record["p"] is None for record in records} == {
        "baseline": True,
        "attention-positions": False,
    }
    with pytest.raises(
        IELError, match="no finished system noise-50-1; there are baseline, control, attention-positions"
    ):
        cli.main(["report", str(run_folder), "--systems", "control", "noise-50-1"])
    with pytest.raises(IELError, match="no finished system baselin; there are baseline, control, attention-positions"):
        cli.main(["report", str(run_folder), "--control", "baselin"])


def test_what_is_not_finished_is_left_out(run_folder, capfd):
    (run_folder / "transformer/control/test.en").unlink()
    cli.main(["report", str(run_folder)])
    log = capfd.readouterr().err
    assert "transformer/control: left out, it has not translated test" in log
    assert "no control for baseline, attention-positions: without it no gain means anything" in log
    records = json.loads((run_folder / "results.json").read_text())
    assert {record["p"] for record in records} == {None}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "transformer/control/test.en").write_text("one\n"), r"test\.en: 1 translations of 4"),
        (lambda run: (run / "raw/test.en").unlink(), r"raw/test\.en: cannot be read \(No such file"),
        (lambda run: [path.unlink() for path in run.glob("*/*/finished")], "no system is finished"),
        (lambda run: (run / "data-bin/preparation.json").unlink(), "no run of a recipe, it holds no data-bin"),
        (lambda run: (run / "data-bin/preparation.json").write_text("{"), r"preparation\.json: damaged"),
        (lambda run: (run / "transformer/control/checkpoint_best.pt").write_text(""), "not a readable fairseq checkp"),
    ],
)
def test_what_cannot_be_reported_is_one_line(run_folder, spoil, message):
    spoil(run_folder)
    with pytest.raises(IELError, match=message):
        cli.main(["report", str(run_folder)])


@pytest.mark.parametrize(("source", "target"), [("de", "en"), ("zh-CN", "en"), ("en", "pt-BR")])
def test_folders_prepared_by_other_means_are_read(tmp_path, source, target):
    (tmp_path / "data-bin").mkdir()
    for split in ("valid", "test", "test1"):
        for language in (source, target):
            (tmp_path / f"data-bin/{split}.{source}-{target}.{language}.idx").touch()
    assert Run.read(str(tmp_path)) == Run(
        tmp_path, source, target, {"valid": "valid", "test": "test", "test1": "test1"}
    )  # fmt: skip


def test_each_system_has_its_control():
    finished = ["baseline", "control", "bootstrap-control", "bootstrap"]
    assert [control_of(name, finished) for name in finished] == [
        *("control", "control", "bootstrap-control", "bootstrap-control"),
    ]
    assert control_of("baseline", ["baseline", "bootstrap-control"]) == "bootstrap-control"
    assert control_of("bootstrap", ["control"]) is None
    names = ["noise-100-1", "noise-20-1", "words", "bootstrap", "control", "baseline"]
    assert sorted(names, key=place) == ["baseline", "control", "bootstrap", "noise-20-1", "noise-100-1", "words"]


def test_sentences_that_differ_most():
    control = ["a b c", "same", "good morning", "x"]
    system = ["a b d", "same", "bad evening", "the reference"]
    found = most_different(system, control, ["a b c", "same", "good morning", "the reference"], count=1)
    assert [index for index, _, _ in found] == [3, 2]
    assert found[0][1] == 100
    assert found[1][2] == 100


def test_attention_words_that_cannot_be_read_are_left_out(run_folder, caplog):
    run = Run.read(str(run_folder))
    [systems] = run.architectures().values()
    (run_folder / "transformer/control/checkpoint_best.pt").unlink()
    assert differences.attention_words(run, systems[1], "test", [0]) == {}
    assert "no attention words are shown" in caplog.text


def test_pages_hold_what_they_are_given():
    table = Table("T", ["name", "n"], [["a|b", "1.0"], ["<c>", "-"]], "note & more")
    sections = [("S", [table, Picture("P", "p.png", b"png"), Sentences("Q", [[("source", "*x*")]])])]
    assert markdown_page(sections) == (
        "## S\n\n### T\n\n| name | n |\n|---|---:|\n| a\\|b | 1.0 |\n| <c> | - |\n\nnote & more\n\n"
        "![P](p.png)\n\n### Q\n\n1.\n\n    source: *x*\n"
    )
    page = report_page(sections)
    assert '<tr><td>&lt;c&gt;</td><td class="number">-</td></tr>' in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "<p>note &amp; more</p>" in page


def test_curves_are_drawn_as_they_were_measured():
    curves = {"baseline": [(10, 5.0), (20, 4.0)], "control": [(30, 3.5)]}
    left, right = training_figure(curves, "transformer").axes
    assert {line.get_label(): list(line.get_xdata()) for line in left.get_lines()} == {
        "baseline": [10, 20],
        "control": [30],
    }
    assert [list(line.get_ydata()) for line in right.get_lines()] == [[3.5]]


def test_a_curve_begins_where_the_baseline_ended(run_folder):
    assert System("attention-positions", run_folder / "transformer" / "attention-positions").curve() == [
        (110, 4.5),
        (120, 4.25),
    ]


def test_the_score_of_a_control_is_that_of_the_metric(run_folder):
    path = run_folder / "transformer" / "control" / "checkpoint_best.pt"
    with pytest.raises(IELError, match="the control has no validation score"):
        control_score(str(path.parent), "loss")
    state = torch.load(path)
    state["extra_state"]["best"] = 4.25
    path.unlink()
    torch.save(state, path)
    assert control_score(str(path.parent), "loss") == 4.25
    with pytest.raises(IELError, match="the control's validation score is loss, not bleu"):
        control_score(str(path.parent), "bleu")


def test_the_seed_is_no_part_of_an_experiments_name(tmp_path):
    assert Run.read(str(make_run(tmp_path / "tiny.seed12", seed=12))).label == "tiny"


@pytest.mark.parametrize("arch", ["transformer"], indirect=True)
def test_attention_words_of_sentences_are_those_that_were_read(data, corpus, trained, arch, extracted, tmp_path):
    (tmp_path / "data-bin").symlink_to(data)
    (tmp_path / "bpe").symlink_to(corpus)
    system = System("attention-words", trained(arch, "words")[0].parent)
    found = differences.attention_words(Run(tmp_path, "src", "tgt", {"test": "newstest"}), system, "test", [7, 0])
    for index in (7, 0):
        source, positions = known_pairs()[index].source, extracted[index][1]
        assert found[index] == " ".join(f"{source[position - 1]}/{position}" for position in positions)


def test_models_can_be_chosen(run_folder):
    shutil.copytree(run_folder / "transformer", run_folder / "fconv")
    cli.main(["report", str(run_folder), "--models", "fconv", "--systems", "control"])
    assert {record["model"] for record in json.loads((run_folder / "results.json").read_text())} == {"fconv"}
    with pytest.raises(IELError, match=r"^--models lstm: \S+ has no finished one of that name; there are fconv, tr"):
        cli.main(["report", str(run_folder), "--models", "fconv", "lstm"])


def test_noise_has_seeds_of_its_own_in_each_run(run_folder, tmp_path):
    """The same in all: they are told apart by the runs' seeds."""
    other = make_run(tmp_path / "tiny.seed2", seed=2)
    for run in (run_folder, other):
        shutil.copytree(run_folder / "transformer/baseline", run / "transformer/noise-50-1")
    cli.main(["report", str(run_folder), str(other), "--output", f"{tmp_path}/two tables/"])
    markdown = (tmp_path / "two tables/results.md").read_text()
    assert "| transformer | noise-50-1 | 200 | 2 |" in markdown


def test_seeds_may_share_a_baseline(run_folder, tmp_path):
    other = make_run(tmp_path / "tiny.seed2", seed=2)
    shutil.rmtree(other / "transformer/baseline")
    shutil.copytree(run_folder / "transformer/baseline", other / "transformer/baseline")
    cli.main(["report", str(run_folder), str(other), "--systems", "control", "--output", str(tmp_path / "two")])
    assert "| transformer | control | 150 | 2 |" in (tmp_path / "two.md").read_text()


def test_a_picture_has_an_address_that_markdown_can_read(run_folder, tmp_path):
    cli.main(["report", str(run_folder.rename(tmp_path / "my data (v2)"))])
    [address] = re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "my data (v2)/results.md").read_text())
    assert address == "results.my%20data%20%28v2%29.fr-en.transformer.curves.png"
    assert (tmp_path / "my data (v2)" / unquote(address)).exists()


def test_rounds_are_drawn_with_the_control_of_bootstrapping(run_folder, monkeypatch):
    for name, best in {"control": 4.5, "bootstrap-control": 4.25, "bootstrap": 4.0}.items():
        folder = run_folder / "transformer" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run_folder / "transformer/baseline", folder)
        state = torch.load(folder / "checkpoint_best.pt")
        state["extra_state"]["best"] = best
        torch.save(state, folder / "checkpoint_best.pt")
    record = Record("loss", False, [Round(1, 1, "a.pt", scores={"1": 4.0}, losses={"1": 4.0})])
    (run_folder / "transformer/bootstrap/bootstrapping.json").write_text(json.dumps(asdict(record)))
    drawn = []
    monkeypatch.setattr("iel_fairseq.reports.plots.bootstrapping_figure", lambda *of: drawn.append(of[1]) or Figure())
    cli.main(["report", str(run_folder)])
    assert drawn == [{"control": 4.25}]


def test_the_ablation_is_drawn_in_bleu(run_folder, monkeypatch):
    shutil.copytree(run_folder / "transformer/attention-positions", run_folder / "transformer/noise-50-1")
    drawn = []
    monkeypatch.setattr("iel_fairseq.reports.plots.noise_figure", lambda records: drawn.extend(records) or Figure())
    cli.main(["report", str(run_folder)])
    data = json.loads((run_folder / "results.json").read_text())
    assert [(each.system, each.set, each.bleu) for each in drawn] == [
        (record["system"], record["set"], record["bleu"]) for record in data
    ]


def test_sentences_are_of_the_test_set_and_records_have_each_metrics_own_figures(run_folder):
    cli.main(["report", str(run_folder)])
    shown = "newstest, transformer: where attention-positions and control differ most\n"
    assert shown in (run_folder / "results.md").read_text()
    [*_, ours] = json.loads((run_folder / "results.json").read_text())
    for metric in ("chrf", "ter"):
        assert 0 <= ours[f"{metric}_p"] <= 1 < ours[f"{metric}_ci"]


def test_each_architecture_has_its_sentences(run_folder):
    shutil.copytree(run_folder / "transformer", run_folder / "fconv")
    cli.main(["report", str(run_folder)])
    found = re.findall(
        "^### newstest, (.*): where .* differ most$", (run_folder / "results.md").read_text(), re.MULTILINE
    )
    assert sorted(found) == ["fconv", "transformer"]


@pytest.mark.parametrize("arch", ["transformer"], indirect=True)
def test_a_sentence_that_is_too_long_costs_the_others_no_attention_words(data, corpus, trained, arch, tmp_path):
    (tmp_path / "data-bin").symlink_to(data)
    (tmp_path / "bpe").mkdir()
    text = (corpus / "test.src").read_text()
    (tmp_path / "bpe/test.src").write_text(f"{text}{'n1 ' * 2000}\n")
    last = len(text.splitlines())
    system = System("attention-words", trained(arch, "words")[0].parent)
    found = differences.attention_words(Run(tmp_path, "src", "tgt", {"test": "newstest"}), system, "test", [0, last])
    assert found[0]
    assert not found.get(last)
