"""Words as coloured text: what is drawn is what was found."""

from __future__ import annotations

import io

import pytest

from iel_fairseq.classification.plots import WIDTH, importance_figure, importance_html, pieces
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import Explanation

TEXT = "A <dog>.\tThe cat"
FOUND = Explanation.of(TEXT, [0, -1, 0.5, 2], 1)


def test_every_character_is_there_and_the_important_word_is_marked():
    parts = pieces(FOUND)
    assert "".join(part for part, _, _ in parts) == TEXT
    assert [part for part, _, important in parts if important] == ["cat"]
    colours = {part: colour for part, colour, _ in parts if colour}
    assert list(colours) == ["A", "<dog>", "The", "cat"]
    red, blue = (int(colours["cat"][place : place + 2], 16) for place in (1, 5))
    assert red > blue  # speaks for the prediction
    red, blue = (int(colours["<dog>"][place : place + 2], 16) for place in (1, 5))
    assert red < blue


def test_page():
    page = importance_html({"lime": [FOUND], "shap": [FOUND]}, ["label: <1>"])
    assert page.count("<b>cat</b>") == 2
    assert "&lt;dog&gt;" in page
    assert "label: &lt;1&gt;" in page


def test_picture(tmp_path):
    text = "word " * 50
    figure = importance_figure({"lime": [Explanation.of(text, range(50), 1), Explanation.of("", [], 1)]}, ["a", "b"])
    drawn = [label for label in figure.axes[0].texts if label.get_text() == "word"]
    assert len(drawn) == 50
    assert max(label.get_position()[0] for label in drawn) <= WIDTH
    figure.savefig(tmp_path / "picture.png")


def test_a_dollar_is_no_formula():
    text = r"$10$ or $\foo$"
    figure = importance_figure({"lime": [Explanation.of(text, range(3), 1)]}, [r"$\bar$"])
    figure.savefig(io.BytesIO(), format="png")  # which parses formulas
    assert "$10$" in [label.get_text() for label in figure.axes[0].texts]


def test_a_text_none_of_whose_words_matters():
    parts = pieces(Explanation.of("a dog", [0, 0], 1))
    assert [(part, important) for part, _, important in parts] == [("a", True), (" ", False), ("dog", False)]
    assert parts[0][1] == parts[2][1]


def test_scripts_that_matplotlibs_own_font_has_not(monkeypatch):
    """One line, not boxes, where no font has them; where one has, wide characters take two columns."""
    found = Explanation.of("the 好电影 film", [0, 1, 2], 1)
    monkeypatch.setattr("iel_fairseq.fonts.font_manager.fontManager.ttflist", [])
    with pytest.raises(IELError, match="no installed font has the characters 好影电; install one"):
        importance_figure({"lime": [found]}, ["a"])
    monkeypatch.setattr("iel_fairseq.classification.plots.fonts_for", lambda text, own="DejaVu Sans": [own])
    figure = importance_figure({"lime": [found]}, ["a"])
    places = {label.get_text(): label.get_position()[0] for label in figure.axes[0].texts}
    assert places["film"] - places["好电影"] == 7
