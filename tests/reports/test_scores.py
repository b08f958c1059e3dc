"""The significance of a difference: as often too small as it says."""

from __future__ import annotations

import random

import pytest

from iel_fairseq.reports.scores import compare

WORDS = [f"w{number}" for number in range(200)]


def equally_good(rng: random.Random) -> float:
    """BLEU's p of two systems, each of which gets seven of ten words right."""
    references = [rng.choices(WORDS, k=12) for _ in range(150)]
    systems = {
        name: [" ".join(word if rng.random() < 0.7 else rng.choice(WORDS) for word in text) for text in references]
        for name in ("control", "system")
    }
    p = compare("control", systems, [" ".join(text) for text in references])["system"]["BLEU"].p
    assert p is not None
    return p


@pytest.mark.slow
def test_systems_that_are_equally_good_differ_as_often_as_p_says():
    rng = random.Random(1)
    found = [equally_good(rng) for _ in range(200)]
    for p, most in ((0.05, 0.08), (0.1, 0.14), (0.5, 0.6)):  # by the paired bootstrap 0.11, 0.25, 1.0
        assert sum(each < p for each in found) / len(found) < most
    assert max(found) > 0.9


def test_p_is_small_for_a_system_that_is_better_and_large_for_one_that_is_about_as_good():
    rng = random.Random(1)
    references = [" ".join(rng.choices(WORDS, k=12)) for _ in range(100)]
    worse = [" ".join(rng.choices(WORDS, k=6) + text.split()[6:]) for text in references]
    alike = [text if number % 2 else references[number] for number, text in enumerate(worse)]
    other = [references[number] if number % 2 else text for number, text in enumerate(worse)]
    scores = compare("worse", {"worse": worse, "better": references}, references)
    assert scores["better"]["BLEU"].p < 0.001
    assert scores["worse"]["BLEU"].p is None
    assert compare("alike", {"alike": alike, "other": other}, references)["other"]["BLEU"].p > 0.3


@pytest.mark.parametrize(
    ("language", "tokenizer"), [("zh", "zh"), ("zh-TW", "zh"), ("yue", "zh"), ("ja", "char"), ("de", "13a")]
)
def test_what_is_written_without_spaces_is_compared_by_characters(language, tokenizer):
    """References are segmented, as the text had to be; translations are detokenised."""
    references = ["他 今天 在 学校 学习 中文 。", "我 喜欢 猫 。"]
    translations = {"perfect": [text.replace(" ", "") for text in references]}
    found = compare(None, translations, references, language)["perfect"]
    assert f"|tok:{tokenizer}|" in found["BLEU"].signature
    assert (found["BLEU"].score, found["TER"].score) == pytest.approx((0, 100) if language == "de" else (100, 0))
    assert found["chrF"].score == 100


def test_each_reference_has_its_translation():
    with pytest.raises(ValueError, match="system: 2 translations for 3 references"):
        compare(None, {"system": ["a", "b"]}, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("better", "worse", "exact"), [(0, 0, 1), (1, 0, 1), (2, 0, 1 / 2), (4, 0, 1 / 8), (5, 1, 7 / 32)]
)
def test_p_where_few_sentences_differ(better, worse, exact):
    """Computed by hand: in each trial each of them goes to either side; as large, or larger, in so many of all ways."""
    references = [" ".join(f"a{number}" for number in range(10))] * 60
    half = " ".join(["b"] * 5 + references[0].split()[5:])
    system = references[:better] + [half] * (60 - better)
    control = [half] * (60 - worse) + references[:worse]
    found = compare("control", {"control": control, "system": system}, references)["system"]
    assert [found[metric].p for metric in ("BLEU", "TER")] == pytest.approx([exact] * 2, abs=0.02)
