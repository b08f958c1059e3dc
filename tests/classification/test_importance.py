"""Algorithm 2 over a data set: stored, taken up again, fingerprinted (the engine is test_attention_store.py's)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import make_classifier

from iel_fairseq.classification import importance
from iel_fairseq.classification.importance import ImportanceExtraction
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS

TEXTS = ["a dog", "the cat is playing.", "...", "good good film", "👍"] * 2


@pytest.fixture(scope="module")
def extraction(tmp_path_factory) -> ImportanceExtraction:
    classifier = make_classifier(tmp_path_factory.mktemp("bert"), "STS-B")
    return ImportanceExtraction(TEXTS, "valid", classifier, "lime", samples=10)


def test_what_is_stored_is_what_was_found(extraction, tmp_path):
    found = extraction.explanations()
    for _ in range(2):  # extracted, then read
        stored = list(extraction.stored_explanations(str(tmp_path)))
        for one, other in zip(found, stored, strict=True):
            assert (one.words, one.prediction) == (other.words, other.prediction)
            assert (one.scores == other.scores).all()
    assert [explanation.important_word for explanation in stored[2:5]] == [None, found[3].important_word, "👍"]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_what_looks_like_a_special_token_is_none(extraction, name):
    texts = ["[MASK]", "a[SEP]dog"]
    found = replace(extraction, texts=texts, importance=name).explanations()
    assert [[word.text for word in each.words] for each in found] == [["MASK"], ["a", "SEP]dog"]]
    assert found[0].important_word == "MASK"
    broken = replace(extraction, texts=["[ MASK]", "a[ SEP]dog"], importance=name)
    assert broken.store("x").path == replace(broken, texts=texts).store("x").path


def test_a_killed_extraction_goes_on(extraction, tmp_path, monkeypatch):
    monkeypatch.setitem(EXPLAINERS, "lime", replace(EXPLAINERS["lime"], at_once=4))  # three shards
    asked: list[range] = []
    explanations = ImportanceExtraction.explanations

    def dies_once(self, sentences):
        asked.append(sentences)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return explanations(self, sentences)

    monkeypatch.setattr(ImportanceExtraction, "explanations", dies_once)
    with pytest.raises(KeyboardInterrupt):
        list(extraction.stored_explanations(str(tmp_path)))
    assert len(list(extraction.stored_explanations(str(tmp_path)))) == len(TEXTS)
    assert asked == [range(0, 4), range(4, 8), range(4, 8), range(8, 10)]


def test_another_request_is_another_store(extraction, tmp_path):
    def place(changed: ImportanceExtraction) -> str:
        return changed.store(str(tmp_path)).path

    others = [
        replace(extraction, samples=11),
        replace(extraction, seed=2),
        replace(extraction, importance="random"),
        replace(extraction, texts=TEXTS[:-1]),
        replace(extraction, texts=["ab", "c"]),
        replace(extraction, texts=["a", "bc"]),
        replace(extraction, classifier=replace(extraction.classifier, sha256="1" * 64)),
    ]
    places = {place(other) for other in [extraction, *others]}
    assert len(places) == 8
    assert Path(place(extraction)).name.startswith("important_words.valid.lime.")
    assert place(replace(extraction, classifier=replace(extraction.classifier, max_tokens=7))) == place(extraction)
    attention, chance = (replace(extraction, importance=name) for name in ("attention", "random"))
    assert place(replace(attention, samples=11, seed=2)) == place(attention)  # it draws nothing
    assert place(replace(chance, samples=11)) == place(chance) != place(replace(chance, seed=2))


def test_the_packages_own_number_of_samples_is_the_default(extraction):
    assert [EXPLAINERS[name].samples for name in ("lime", "shap", "attention", "random")] == [5000, 500, 0, 0]
    requests = {
        name: replace(extraction, importance=name, samples=None).store("x").request for name in ("lime", "shap")
    }
    assert (requests["lime"]["samples"], requests["shap"]["samples"]) == (5000, 500)
    assert requests["lime"]["package"].startswith("lime 0.")


def test_rows_hold_any_number(extraction):
    explanation = importance._from_row(
        "a b", importance._as_row(importance.Explanation.of("a b", [-1e-30, np.pi], -0.5))
    )
    assert explanation.prediction == -0.5
    assert explanation.scores.tolist() == np.array([-1e-30, np.pi], dtype=np.float32).tolist()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"texts": "one text"}, "'one text': one text, where a list of sentences is wanted; put it in brackets"),
        ({"texts": ["a dog\ta cat", "a dog"]}, "'a dog': a single text beside pairs, which have a tab; explain them"),
        ({"importance": "limes"}, "limes: no such explainer; take attention, "),
    ],
)
def test_what_cannot_be_explained_is_one_line(extraction, asked, message):
    with pytest.raises(IELError) as caught:
        replace(extraction, **asked)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_no_texts_have_no_explanations(extraction, name):
    assert replace(extraction, texts=[], importance=name).explanations() == []


@pytest.mark.parametrize("samples", [-1, 0, 1])
def test_too_few_samples_are_one_line(extraction, samples):
    with pytest.raises(IELError, match=f"--importance-samples {samples}: it is at least 2"):
        replace(extraction, samples=samples)
