"""Heat maps and pages of attention (paper, figures 1 and 2)."""

from __future__ import annotations

import io
import json
import re
import warnings

import pytest
from commands import standard_input
from matplotlib import font_manager
from test_readings import LINE

from iel_fairseq.attention_plots import attention_figure, attention_page
from iel_fairseq.cli import main
from iel_fairseq.errors import IELError
from iel_fairseq.readings import Reading

ABC = {"source": ["a", "b"], "hypothesis": ["c"], "positions": [2], "attention": [[0.25, 0.5, 0.25]]}


def test_heat_map_frames_the_attention_words():
    figure = attention_figure(Reading.of(json.dumps(LINE)))
    panel, below = figure.axes[:2]
    [image] = panel.get_images()
    assert image.get_array().tolist() == LINE["attention"]
    frames = [(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in panel.patches]
    assert frames == [(position - 1, row) for row, position in enumerate(LINE["positions"])]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["ter@@", "rier", "court", "</s>"]
    assert [label.get_text() for label in panel.get_yticklabels()] == LINE["hypothesis"]
    texts = [text.get_text() for text in below.texts]
    assert texts[:14] == ["ter@@", "1", "rier", "2", "court", "3", "rier", "2", "rier", "2", "court", "3", "ter@@", "1"]
    assert [text.get_color() for text in below.texts[:14]] == ["black"] * 6 + ["C1"] * 8


def test_long_sentences_are_wrapped_and_empty_ones_drawn():
    words = [f"word{number}" for number in range(120)]
    reading = Reading.of(json.dumps({"source": words, "hypothesis": words[:100], "positions": list(range(100, 0, -1))}))
    below = attention_figure(reading).axes[1]
    shown = [text for text in below.texts if text.get_text().startswith("word")]
    assert len(shown) == 220
    assert len({text.get_position()[1] for text in shown}) > 10
    assert all(0 <= text.get_position()[0] <= 80 for text in shown)
    attention_figure(Reading.of(json.dumps({"source": [], "hypothesis": [], "positions": []}))).savefig(io.BytesIO())


def test_right_to_left_scripts_are_drawn_with_letters_that_exist():
    reading = Reading.of(json.dumps({**ABC, "source": ["שלום", "مرحبا"], "hypothesis": ["привет"]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning of matplotlib's
        attention_figure(reading).savefig(io.BytesIO())


def test_a_dollar_is_no_formula():
    words = [r"$\foo$", "$10$"]
    figure = attention_figure(Reading.of(json.dumps({**ABC, "source": words, "hypothesis": [r"$\bar$"]})))
    figure.savefig(io.BytesIO())  # which parses formulas
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][:2] == words


def test_a_character_that_no_font_has_is_one_line(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])  # but matplotlib's own
    with pytest.raises(IELError, match="no installed font has the characters \U0001252e; install one"):
        attention_figure(Reading.of(json.dumps({**ABC, "hypothesis": ["\U0001252e"]})))


def test_page_has_weights_positions_and_text_that_is_only_text():
    hostile = {**ABC, "source": ["<script>alert(1)</script>", '"b"'], "hypothesis": ["&lt;"]}
    page = attention_page(
        [
            Reading.of(json.dumps(ABC)),
            Reading.of(json.dumps(hostile)),
            Reading.of(json.dumps({**ABC, "attention": None})),
        ]
    )
    assert page.count("<script>") == 1  # our own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&amp;lt;" in page
    assert page.count("<section>") == page.count('class="source" dir="auto"') == 3
    found = re.findall(r'data-positions="(.*?)" data-weights="(.*?)"', page)
    assert [(json.loads(at), json.loads(weights)) for at, weights in found] == [
        ([2], [0.25, 0.5, 0.25]),
        ([2], [0.25, 0.5, 0.25]),
        ([2], []),
    ]
    assert re.findall(r"<ruby.*?</ruby>", page)[:3] == [
        "<ruby>a<rt>1</rt></ruby>",
        "<ruby>b<rt>2</rt></ruby>",
        '<ruby class="word">b<rt>2</rt></ruby>',
    ]
    assert not re.search(r"(src|href)=", page)  # it needs no other file


def test_the_command_draws_one_sentence_or_a_page_of_all(tmp_path, monkeypatch):
    file = tmp_path / "words.jsonl"
    file.write_text(f"{json.dumps(LINE)}\n{json.dumps(ABC)}\n")
    for name in ("map.png", "map.svg", "page.html"):
        main(["plot", "attention", str(file), "--sentence", "1", "--remove-bpe", "--output", str(tmp_path / name)])
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "map.svg").read_text()
    assert "terrier" in (tmp_path / "page.html").read_text()
    monkeypatch.setattr("sys.stdin", standard_input(json.dumps(ABC).encode()))
    main(["plot", "attention", "-", "--output", str(tmp_path / "piped.html")])
    assert (tmp_path / "piped.html").read_text().count("<section>") == 1
    monkeypatch.setattr("sys.stdin", standard_input(b"\xe9\n"))
    with pytest.raises(IELError, match=r"^standard input, line 1: not UTF-8"):
        main(["plot", "attention", "-", "--output", str(tmp_path / "never.html")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "none.jsonl: cannot be read"),
        (["latin1.jsonl"], "latin1.jsonl, line 1: not UTF-8"),
        (["text"], "; for text, give the checkpoint that reads it with --path"),
        (["words.jsonl", "--sentence", "1"], "--sentence 1: words.jsonl has the sentences 0 to 0"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.jsonl").write_text(json.dumps(ABC))
    (tmp_path / "text").write_text("Ein Hund läuft.")
    (tmp_path / "latin1.jsonl").write_bytes(b"\xe9\n")
    with pytest.raises(IELError, match=re.escape(message)):
        main(["plot", "attention", *arguments, "--output", "map.png"])


def test_no_sentence_is_before_the_first(tmp_path):
    (tmp_path / "words.jsonl").write_text(f"{json.dumps(ABC)}\n{json.dumps(ABC)}\n")
    words = ["plot", "attention", str(tmp_path / "words.jsonl"), "--output", str(tmp_path / "a.png"), "--sentence"]
    for number in ("-1", "2"):
        with pytest.raises(IELError, match=f"--sentence {number}: .* has the sentences 0 to 1"):
            main([*words, number])


def test_a_page_says_its_encoding_first():
    page = attention_page([Reading.of(json.dumps({**ABC, "source": ["ñ", "b"]}))])
    assert '<meta charset="utf-8">' in page.partition("<title>")[0]
