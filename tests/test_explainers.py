"""LIME, SHAP and attention: the packages' own results, the planted word, and every odd text (DESIGN lines 16, 17)."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_bert import make_classifier, plant

from iel_fairseq.explainers import EXPLAINERS, Explanation
from iel_fairseq.explainers.lime import lime_explainer
from iel_fairseq.explainers.result import seed_of
from iel_fairseq.explainers.shap import WordMasker
from iel_fairseq.explainers.together import answer_together

TEXTS = ["the dog is playing.", "a film, a good house!", "cat", "the very bad cat was a dog, was it?"]
PAIRS = ["the dog.\ta cat", "a film is good.\tthe film is bad"]
ODD = ["", "... !", "👍", "👍 👍", "good " * 600, "x", "\u200b", "a 👍\U0001f3fd dog"]


@pytest.fixture(scope="module", params=["CoLA", "STS-B"])
def classifier(request, tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("bert"), request.param)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant(make_classifier(tmp_path_factory.mktemp("planted")))


def explain(name: str, classifier, texts, samples: int = 40, seed: int = 1) -> list[Explanation]:
    found = dict(EXPLAINERS[name].explain(classifier, texts, samples, seed))
    return [found[row] for row in range(len(texts))]


@pytest.mark.parametrize("name", ["attention", "lime", "shap"])
@pytest.mark.parametrize(
    "text", ["the film was very good.", "good", "a dog\tthe house is good", "a good dog\tthe cat", "GOOD film!"]
)
def test_the_planted_word_is_found(planted, name, text):
    assert planted.scores([text])[0, 1] > 0.8
    assert planted.scores([text.lower().replace("good", "bad")])[0, 1] < 0.5
    (found,) = explain(name, planted, [text], 64)
    assert found.prediction == 1
    assert found.important_word.lower() == "good"


@pytest.mark.parametrize("texts", [TEXTS, PAIRS])
def test_lime_is_the_packages_own(classifier, texts):
    for text, found in zip(texts, explain("lime", classifier, texts), strict=True):
        theirs = lime_explainer(text, seed=1).explain_instance(
            text, classifier.scores, top_labels=1, num_features=len(found.words), num_samples=40
        )
        weights = dict(theirs.as_list(theirs.top_labels[0]))
        np.testing.assert_allclose(found.scores, [weights[word.text] for word in found.words], atol=1e-5)
        label = classifier.scores([text])[0]
        assert found.prediction == pytest.approx(label[0] if len(label) == 1 else label.argmax(), abs=1e-5)


@pytest.mark.parametrize("texts", [[text for text in TEXTS if " " in text], PAIRS])
def test_shap_is_the_packages_own(classifier, texts):
    import shap

    explainer = shap.Explainer(classifier.scores, WordMasker("[MASK]"), algorithm="partition")
    for text, found in zip(texts, explain("shap", classifier, texts), strict=True):
        np.random.seed(seed_of(text, 1))
        values = explainer([text], max_evals=40, silent=True).values[0]
        chosen = int(classifier.scores([text])[0].argmax())
        np.testing.assert_allclose(found.scores, values[:, chosen], atol=1e-4)


def test_shap_values_add_up(classifier):
    texts = ["the dog is playing.", "cat"]
    masker = WordMasker("[MASK]")
    for text, found in zip(texts, explain("shap", classifier, texts, 500), strict=True):
        hidden = masker(np.zeros(len(found.words), dtype=bool), text)[0][0]
        whole, nothing = classifier.scores([text, hidden])
        assert found.scores.sum() == pytest.approx((whole - nothing)[whole.argmax()], abs=1e-5)


@pytest.mark.parametrize("samples", [17, 60])
def test_lime_asks_for_as_many_perturbations_as_it_is_told_to(samples):
    asked = []
    scores = lambda texts: asked.extend(texts) or np.zeros((len(texts), 2))  # noqa: E731
    explain("lime", SimpleNamespace(scores=scores), [" ".join(f"w{number}" for number in range(30))], samples)
    assert len(asked) == samples


@pytest.mark.parametrize(("mask_token", "hidden"), [("[MASK]", "[MASK]"), (None, "...")])
def test_shap_hides_words_behind_something(classifier, monkeypatch, mask_token, hidden):
    asked = []
    tokenizer = SimpleNamespace(mask_token=mask_token)
    scores = lambda texts: asked.extend(texts) or np.zeros((len(texts), 2))  # noqa: E731
    model = SimpleNamespace(model=SimpleNamespace(tokenizer=tokenizer), scores=scores, glue=classifier.glue)
    explain("shap", model, ["a dog."])
    assert f"{hidden} {hidden}." in asked


def test_shap_hides_words_and_nothing_else():
    masker = WordMasker("[MASK]")
    seen = np.array([True, False, True, False])
    assert masker(seen, "A dog.\tThe cat, -")[0][0] == "A [MASK].\tThe [MASK], -"


@pytest.mark.parametrize("name", ["attention", "lime", "shap", "random"])
def test_a_text_is_explained_the_same_in_any_company(classifier, name):
    together = explain(name, classifier, TEXTS)
    for row, text in enumerate(TEXTS):
        (alone,) = explain(name, classifier, [text])
        np.testing.assert_allclose(alone.scores, together[row].scores, atol=1e-4)
    backwards = explain(name, classifier, TEXTS[::-1])[::-1]
    for one, other in zip(together, backwards, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


@pytest.mark.parametrize("name", ["attention", "lime", "shap", "random"])
def test_odd_texts(classifier, name):
    found = explain(name, classifier, ODD, 10)
    assert [found[row].important_word for row in (0, 1)] == [None, None]
    assert [found[row].important_word for row in (2, 3, 4, 5)] == ["👍", "👍", "good", "x"]
    assert [len(explanation.words) for explanation in found] == [0, 0, 1, 2, 600, 1, 0, 3]
    assert all(np.isfinite(explanation.scores).all() for explanation in found)
    explain(name, classifier, ["\t", "a dog\t", "\ta dog"], 10)
    [with_nul] = explain(name, classifier, ["a good\0 dog"], 10)
    assert [word.text for word in with_nul.words] == ["a", "good\0", "dog"]


@pytest.mark.parametrize("name", ["lime", "shap"])
def test_a_short_text_has_no_more_perturbations_than_subsets(classifier, name, monkeypatch):
    asked: list[str] = []
    scores = type(classifier).scores

    def counting(self, texts, appended=None):
        asked.extend(dict.fromkeys(texts))  # of equal ones one is computed
        return scores(self, texts, appended)

    monkeypatch.setattr(type(classifier), "scores", counting)
    explain(name, classifier, ["the dog plays"], 200)
    assert len(asked) <= 2**3


def test_seeds_are_different_and_repeatable(classifier):
    text = ["the very bad cat was a dog, was it? the film is good"]
    one, again, other = (explain("lime", classifier, text, 20, seed)[0] for seed in (1, 1, 2))
    assert (one.scores == again.scores).all()
    assert (one.scores != other.scores).any()


def test_numpys_random_state_is_left_alone(classifier):
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    explain("shap", classifier, TEXTS)
    assert np.random.rand() == expected


def test_the_first_of_equal_words_is_the_important_one():
    assert Explanation.of("a b c", [1, 2, 2], 0).important_word == "b"


def test_an_error_in_one_explanation_comes_out():
    def fails(ask):
        ask(["text"])
        raise KeyError("wrong")

    def goes_on(ask):
        for _ in range(3):
            ask(["text"])

    before = set(threading.enumerate())
    with pytest.raises(KeyError, match="wrong"):
        list(answer_together([fails, goes_on], lambda texts: np.zeros((len(texts), 2)), at_once=2))
    for thread in set(threading.enumerate()) - before:  # of the explanation that nobody waits for any more
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("turns", [1, 2])
def test_no_more_than_so_many_are_under_way(turns):
    def question(ask) -> float:
        return sum(float(ask(["text"])[0, 0]) for _ in range(turns))

    sizes: list[int] = []

    def answer(texts) -> np.ndarray:
        sizes.append(len(texts))
        return np.ones((len(texts), 2))

    found = dict(answer_together([question] * 10, answer, at_once=4))
    assert found == dict.fromkeys(range(10), turns)
    assert sizes == [4] * (2 * turns) + [2] * turns


def test_a_tie_is_between_different_words():
    def tie(text: str, *scores: float) -> bool:
        return Explanation.of(text, scores, 1).is_tie

    assert tie("a dog plays", 1, 0.5, 1)
    assert not tie("a dog plays", 1, 0.5, 0.5)
    assert not tie("dog or dog", 1, 0, 1)
    assert not tie("...")


def test_numpys_random_state_goes_on_where_an_explanation_left_it():
    """Though others draw in between."""

    def draws(ask):
        first = np.random.rand()
        ask(["text"])
        return first, np.random.rand()

    answers = answer_together([draws] * 3, lambda texts: np.zeros((len(texts), 2)), at_once=2, seeds=[1, 2, 1])
    found = dict(answers)
    assert found[0] == found[2] == tuple(np.random.RandomState(1).rand(2))
    assert found[1] == tuple(np.random.RandomState(2).rand(2))


def test_random_words_are_in_all_places():
    classifier = SimpleNamespace(
        scores=lambda texts: np.zeros((len(texts), 1)), predictions=lambda scores: scores[:, 0]
    )
    found = explain("random", classifier, [f"w{number} b c d" for number in range(400)], samples=0)
    wins = np.bincount([explanation.scores.argmax() for explanation in found], minlength=4)
    assert len(wins) == 4
    assert all(60 < count < 140 for count in wins)
