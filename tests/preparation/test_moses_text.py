"""Raw text to Moses tokens and back, with a truecaser that is learned from text."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from sacremoses import MosesTruecaser

from iel_fairseq.errors import IELError
from iel_fairseq.preparation.moses_text import MosesText, count_cases, write_truecaser

SENTENCES = ["The dog saw Paul .", "Paul saw the dog . The end", "&quot; They saw THE dog", "the Dog"]


def test_cases_are_counted_inside_sentences_only():
    assert dict(count_cases(SENTENCES)) == {
        "dog": 3, "saw": 3, "Paul": 1, "the": 1, "end": 1, "THE": 1, "Dog": 1,
    }  # fmt: skip


def test_the_truecaser_gives_first_words_their_usual_case(tmp_path):
    model = str(tmp_path / "truecaser.en")
    write_truecaser(count_cases(SENTENCES), model)
    text = MosesText("en", model)
    assert text.encode("The dog saw Paul. The Cat.") == "the dog saw Paul . the Cat ."
    assert text.truecase("Unknown words stay") == "Unknown words stay"
    assert text.truecase("a THE dog , Dog or DOG . DOG") == "a THE dog , Dog or dog . dog"  # Moses: known cases stay
    assert text.decode("&quot; the dog &quot; saw Paul . the cat isn &apos;t &amp; it @-@ self") == (
        '"The dog" saw Paul. The cat isn\'t & it-self'
    )
    assert MosesText("en").decode("the dog .") == "the dog."
    # Between cases that are equally frequent the first one wins, however many processes have counted.
    assert (tmp_path / "truecaser.en").read_text().splitlines()[:3] == [
        *("dog (3/4) Dog (1)", "saw (3/3)", "Paul (1/1)"),
    ]


def test_a_model_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "model").write_text("dog (x/4)\n")
    for name in ("model", "none"):
        with pytest.raises(IELError, match=f"{name}: not a readable truecaser model"):
            MosesText("en", str(tmp_path / name))


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("fr", unicodedata.normalize("NFD", "Le café est fermé à Noël.")),
        ("yo", "ẹ̀kọ́, ẹ̀kọ́"),  # of which no character is composed
        ("th", "ฉันชอบ น้ำ"),
        ("hi", "हिन्दी में"),
        ("fa", "می\N{ZERO WIDTH NON-JOINER}خواهم"),
    ],
)
def test_marks_stay_with_their_letters(language, sentence):
    text = MosesText(language)
    encoded = text.encode(sentence)
    assert len(encoded.split()) == len(sentence.split()) + sentence.count(",") + sentence.count(".")
    assert text.decode(encoded) == sentence


def test_marks_of_what_is_no_letter_stay_with_it():
    text = MosesText("en")
    assert text.encode("I \u2764\ufe0flove it, \u2714\ufe0fFree") == "I \u2764\ufe0f love it , \u2714\ufe0f Free"
    assert text.encode("\ufe0fodd (cafe\u0301)") == "\ufe0fodd ( cafe\u0301 )"


def test_folders_of_before_are_read_as_they_were_written():
    assert MosesText("fr-CA", as_sacremoses=True).encode("L'homme aimé".replace("é", "e\u0301")).split() == [
        *("L", "&apos;", "homme", "aime", "\u0301"),
    ]


@pytest.mark.parametrize("language", ["fr", "fr-CA", "fr_FR", "FR"])
def test_a_region_makes_no_difference(language):
    text = MosesText(language)
    assert text.encode("L'homme est là, c'est tout.") == "L&apos; homme est là , c&apos; est tout ."
    assert text.decode("L&apos; homme est là , c&apos; est tout .") == "L'homme est là, c'est tout."


def test_a_large_truecaser_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(MosesTruecaser, "MAX_MODEL_ENTRIES", 2)
    write_truecaser(Counter({"dog": 2, "Paul": 1, "a": 1, "the": 3}), str(tmp_path / "model"))
    assert MosesText("en", str(tmp_path / "model")).encode("The dog") == "the dog"


def test_others_may_read_a_truecaser(tmp_path):
    write_truecaser(Counter({"dog": 1}), str(tmp_path / "model"))
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o644
