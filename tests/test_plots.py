"""Pictures of results: what is drawn is what was measured."""

from __future__ import annotations

import json

import pytest
from commands import run

from iel_fairseq.plots import noise_figure


def record(system: str, bleu: float, name: str = "valid", model: str = "fconv") -> dict:
    return {"model": model, "system": system, "set": name, "bleu": bleu}


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


def test_the_command_writes_a_picture(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(RECORDS))
    run("iel", "plot", "noise", tmp_path / "results.json", "--output", tmp_path / "noise.png")
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
    log = run("iel", "plot", "noise", tmp_path / "results.json", "--output", tmp_path / "noise.png", fails=True)
    assert "Traceback" not in log
    assert message in log.splitlines()[-1]
    assert not (tmp_path / "noise.png").exists()


def test_results_that_are_missing_and_pictures_that_cannot_be_written_are_one_line(tmp_path):
    log = run("iel", "plot", "noise", tmp_path / "none.json", "--output", tmp_path / "noise.png", fails=True)
    assert "none.json: cannot be read (No such file or directory)" in log.splitlines()[-1]
    (tmp_path / "results.json").write_text(json.dumps(RECORDS))
    log = run("iel", "plot", "noise", tmp_path / "results.json", "--output", tmp_path / "noise.xyz", fails=True)
    assert "noise.xyz: cannot be written" in log.splitlines()[-1]
