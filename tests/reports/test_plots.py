"""Pictures of results: what is drawn is what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.cli import main
from iel_fairseq.errors import IELError
from iel_fairseq.reports.plots import NoiseRecord, bootstrapping_figure, noise_figure


def record(system: str, bleu: float, name: str = "valid", model: str = "fconv") -> NoiseRecord:
    return NoiseRecord(model, name, system, bleu)


RECORDS = [
    record("baseline", 30.0),
    record("control", 31.0),
    record("attention-words", 99.0),
    *(record(f"noise-{percent}-{seed}", 32 - percent / 50 + seed / 10) for percent in (100, 0, 50) for seed in (1, 2)),
    record("baseline", 20.0, "test"),
    record("noise-50-1", 21.0, "test"),
]


def test_a_panel_shows_means_seeds_spread_and_references():
    valid, test = noise_figure(RECORDS).axes
    assert (valid.get_title(), test.get_title()) == ("fconv, valid", "fconv, test")
    drawn = {line.get_label(): line for line in valid.get_lines()}
    mean = drawn["attention words, mean"]
    assert list(mean.get_xdata()) == [0, 50, 100]
    assert list(mean.get_ydata()) == pytest.approx([32.15, 31.15, 30.15])
    assert [list(drawn[system].get_ydata()) for system in ("baseline", "control")] == [[30, 30], [31, 31]]
    band, dots = valid.collections
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(32.2)
    assert sorted(map(tuple, dots.get_offsets())) == [(p, 32 - p / 50 + s / 10) for p in (0, 50, 100) for s in (1, 2)]
    assert "control" not in [line.get_label() for line in test.get_lines()]


def test_a_share_may_be_written_without_a_zero():
    [panel] = noise_figure([record("noise-.5-1", 30.0), record("noise-50-1", 29.0)]).axes
    assert list(panel.get_lines()[0].get_xdata()) == [0.5, 50]


def plot(*words: object) -> None:
    main(["plot", *map(str, words)])


def test_the_command_writes_a_picture(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps([asdict(each) for each in RECORDS]))
    plot("noise", tmp_path / "results.json", "--output", tmp_path / "noise.png")
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no system is called noise-PERCENT-SEED"),
        ("{", "not results as examples/ablation/run.sh writes them"),
        ('[{"system": 1}]', "not results as examples/ablation/run.sh writes them"),
    ],
)
def test_what_is_no_results_is_one_line(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(IELError, match=message):
        plot("noise", tmp_path / "results.json", "--output", tmp_path / "noise.png")
    assert not (tmp_path / "noise.png").exists()


def test_results_that_are_missing_and_pictures_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(IELError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        plot("noise", tmp_path / "none.json", "--output", tmp_path / "noise.png")
    (tmp_path / "results.json").write_text(json.dumps([asdict(each) for each in RECORDS]))
    with pytest.raises(IELError, match=r"^--output \S+noise\.xyz: its name ends in one of \.png, \.pdf, \.svg$"):
        plot("noise", tmp_path / "results.json", "--output", tmp_path / "noise.xyz")
    with pytest.raises(IELError, match=r"none/noise\.png: cannot be written \(No such file or directory\)"):
        plot("noise", tmp_path / "results.json", "--output", tmp_path / "none" / "noise.png")


def test_rounds_are_drawn_with_the_control():
    rounds = [
        Round(1, 1, "base.pt", scores={"1": 30.0, "2": 31.0}),
        Round(2, 3, "best.pt", best=31.0, changed=0.25, scores={"3": 32.0, "4": 29.0}),
        Round(3, 5, "best.pt", best=32.0, changed=0.1),  # it has just begun
    ]
    above, below = bootstrapping_figure(Record("bleu", True, rounds), {"baseline": 29.5, "control": 31.5}).axes
    best, baseline, control = above.get_lines()
    assert [list(best.get_xdata()), list(best.get_ydata())] == [[1, 2], [31, 32]]
    assert [list(line.get_ydata()) for line in (baseline, control)] == [[29.5, 29.5], [31.5, 31.5]]
    assert above.get_ylabel() == "validation bleu"
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in below.patches] == [(2, 25)]
    lowest = bootstrapping_figure(Record("loss", False, rounds), {"baseline": None}).axes[0].get_lines()
    assert [list(line.get_ydata()) for line in lowest] == [[30, 29]]


def test_a_folder_without_rounds_is_one_line(tmp_path):
    words = ("bootstrap", tmp_path, "--output", tmp_path / "rounds.png")
    with pytest.raises(IELError, match=r"bootstrapping\.json: cannot be read"):
        plot(*words)
    (tmp_path / "bootstrapping.json").write_text("{}")
    with pytest.raises(IELError, match=r"bootstrapping\.json: no record of bootstrapping, or a damaged one"):
        plot(*words)
