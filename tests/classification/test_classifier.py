"""A classifier as a function of texts: together as alone, equal texts once, attention as transformers gives it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_bert import LIMIT, make_classifier

from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS

TEXTS = ["the dog is playing.", "a cat", "", "👍", "the " * 600, "a dog, very bad!", "the dog is playing.", "... !"]
PAIRS = [f"{a}\t{b}" for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]


@pytest.fixture(scope="module", params=["CoLA", "STS-B"])
def classifier(request, tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("bert"), request.param)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def alone(classifier, text: str, **options):
    """What transformers itself gives for a text."""
    lists = [[sentence] for sentence in text.split("\t")]
    inputs = classifier.model.tokenizer(*lists, return_tensors="pt", truncation=True, max_length=LIMIT)
    with torch.no_grad():
        return classifier.model.hf.eval()(**inputs, **options)


@pytest.mark.parametrize("texts", [TEXTS, PAIRS])
def test_scores_are_those_of_each_text_alone(classifier, texts, two_threads):
    expected = torch.cat([alone(classifier, text).logits for text in texts])
    expected = expected if classifier.glue.regression else expected.softmax(-1)
    np.testing.assert_allclose(classifier.scores(texts), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("text", ["a cat", "a cat\tthe dog"])
def test_an_appended_word_is_read_as_one_of_the_text(classifier, text):
    read = classifier.scores([text] * 3, ["dog", None, "bad"])
    np.testing.assert_allclose(read, classifier.scores([f"{text} dog", text, f"{text} bad"]), atol=1e-6)
    assert np.abs(np.diff(read, axis=0)).max(axis=1).min() > 1e-4


def test_equal_texts_are_computed_once(classifier, monkeypatch):
    rows = []
    forward = type(classifier.model).forward
    monkeypatch.setattr(
        type(classifier.model), "forward", lambda *a, **k: rows.append(len(k["input_ids"])) or forward(*a, **k)
    )
    assert len(classifier.scores(["a dog", "a cat"] * 50)) == 100
    assert sum(rows) == 2


@pytest.mark.parametrize("texts", [TEXTS, PAIRS])
def test_attention_is_the_last_layers_of_cls_summed_over_heads_and_pieces(classifier, texts, two_threads):
    found = dict(EXPLAINERS["attention"].explain(classifier, texts, 0, 1))
    assert sorted(found) == list(range(len(texts)))
    classifier.model.hf.set_attn_implementation("eager")
    for row, text in enumerate(texts):
        words = found[row].words
        if len(words) > LIMIT:  # cut: words that the model did not see have no score
            assert found[row].scores[LIMIT:600].sum() == 0
            continue
        weights = alone(classifier, text, output_attentions=True).attentions[-1][0, :, 0].sum(0)
        inputs = classifier.model.tokenizer(*([sentence] for sentence in text.split("\t")))
        assert found[row].scores.sum() <= weights.sum() + 1e-5  # [CLS] and [SEP] have the rest
        expected = np.zeros(len(words))
        shift = (0, text.find("\t") + 1)
        for position, (number, weight) in enumerate(zip(inputs.sequence_ids(0), weights.tolist(), strict=True)):
            if number is None:
                continue
            start = inputs.token_to_chars(position).start + shift[number]
            for index, word in enumerate(words):
                expected[index] += weight if word.start <= start < word.end else 0
        np.testing.assert_allclose(found[row].scores, expected, atol=1e-5)
    classifier.model.hf.set_attn_implementation("sdpa")


def test_several_may_read_attention_at_once(classifier):
    before = classifier.model.hf.config._attn_implementation
    alone = dict(classifier.attention(TEXTS))
    for (one, attention), (other, another) in zip(*(classifier.attention(TEXTS) for _ in range(2)), strict=True):
        assert one == other
        assert (attention.weights == alone[one].weights).all()
        assert (another.weights == alone[one].weights).all()
    some, more = classifier.attention(TEXTS), classifier.attention(TEXTS)
    next(some)
    next(more)
    some.close()
    assert len(list(more)) == len(TEXTS) - 1
    assert classifier.model.hf.config._attn_implementation == before != "eager"


def test_a_model_without_cls_first_is_one_line(tmp_path):
    classifier = make_classifier(tmp_path)
    classifier.model.tokenizer.cls_token = "[MASK]"
    with pytest.raises(IELError, match=r"does not begin with \[CLS\]"):
        list(classifier.attention(["a dog"]))
