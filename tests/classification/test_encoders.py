"""Encoders other than BERT: RoBERTa, DistilBERT, ELECTRA, DeBERTa, with the tokenizers that they come with; XLNet."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_bert import save
from tiny_encoders import ENCODERS, LIMIT, make_encoder

from iel_fairseq.classification.checkpoint import load_classifier
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.encoding import encode, pad, without_special_tokens
from iel_fairseq.classification.glue import GLUE_TASKS
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier

TEXT = "the film was playing!\tdon't you like dogs"
WORDS = ["the", "film", "was", "playing", "don't", "you", "like", "dogs"]
WORD_PIECES = "[CLS] the=0 film=1 was=2 play=3 ##ing=3 ! [SEP] [UNK]=4 '=4 [UNK]=4 [UNK]=5 [UNK]=6 dog=7 ##s=7 [SEP]"
PIECES = {  # of TEXT, and to which of WORDS each belongs
    "distilbert": WORD_PIECES,
    "electra": WORD_PIECES,
    "roberta": "<s> the=0 Ġfilm=1 Ġwas=2 Ġplay=3 in=3 g=3 ! </s> </s> don=4 't=4 Ġyou=5 Ġlike=6 Ġdogs=7 </s>",
    "deberta-v2": "[CLS] ▁=0 t=0 h=0 e=0 ▁f=1 i=1 l=1 m=1 ▁=2 w=2 a=2 s=2 ▁play=3 i=3 n=3 g=3 ! "
    "[SEP] ▁do=4 n=4 '=4 t=4 ▁=5 y=5 ou=5 ▁=6 l=6 i=6 k=6 e=6 ▁dog=7 s=7 [SEP]",
}


@pytest.fixture(scope="module", params=ENCODERS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def classifier(name, tmp_path_factory) -> Classifier:
    return classifier_of(make_encoder(tmp_path_factory.mktemp(name), name))


def classifier_of(encoder: Path) -> Classifier:
    glue, folder = GLUE_TASKS["RTE"], str(encoder)
    pretrained = Pretrained.from_name(folder, glue)
    torch.manual_seed(1)
    model = HFSequenceClassifier(pretrained, folder)
    for parameter in model.hf.parameters():
        if parameter.size(0) == glue.outputs and parameter.dim() == 2:  # the last layer, else almost 0
            torch.nn.init.normal_(parameter)
    return Classifier(model.eval(), glue, torch.device("cpu"), max_tokens=200)


def test_a_piece_counts_for_its_word(classifier, name):
    pieces = [piece.partition("=") for piece in PIECES[name].split()]
    tokenizer = classifier.model.tokenizer
    [encoded], _ = encode(tokenizer, [TEXT], LIMIT)
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids.tolist()) == [piece for piece, _, _ in pieces]
    hf = classifier.model.hf
    inputs, usual = pad([encoded], tokenizer), hf.config._attn_implementation
    hf.set_attn_implementation("eager")
    looked = hf(**inputs, output_attentions=True).attentions[-1][0, :, 0].sum(0).tolist()
    hf.set_attn_implementation(usual)
    expected = [0.0] * len(WORDS)
    for weight, (_, _, word) in zip(looked, pieces, strict=True):
        if word:
            expected[int(word)] += weight
    [(_, found)] = EXPLAINERS["attention"].explain(classifier, [TEXT], 0, 1)
    assert [word.text for word in found.words] == WORDS
    assert found.scores == pytest.approx(expected, abs=1e-5)
    assert sum(expected) > 0.01


def test_any_company_gives_a_text_the_same(classifier):
    texts = [TEXT, "a\tb", "the film was very good.\ta bad play, a good house!"]
    together = classifier.scores(texts)
    assert together == pytest.approx(np.concatenate([classifier.scores([text]) for text in texts]), abs=1e-5)
    assert np.ptp(together[:, 0]) > 1e-3


@pytest.mark.parametrize("explainer", ["lime", "shap"])
def test_each_word_has_its_importance(classifier, explainer):
    [(_, found)] = EXPLAINERS[explainer].explain(classifier, ["good dogs\tlike the house"], 16, 1)
    assert [word.text for word in found.words] == ["good", "dogs", "like", "the", "house"]
    assert np.isfinite(found.scores).all()
    assert np.ptp(found.scores) > 0


def test_the_appended_word_is_not_cut_off(classifier):
    text = "a bad play, a good house! " * 9 + "\tdon't you like the dog?"
    [encoded], cut = encode(classifier.model.tokenizer, [text], LIMIT, ["house"])
    assert cut == 1
    assert LIMIT - 4 < len(encoded.input_ids) <= LIMIT == classifier.model.limit
    assert classifier.model.tokenizer.decode(encoded.input_ids, skip_special_tokens=True).endswith("house")
    assert np.isfinite(classifier.scores([text], ["house"])).all()


def test_a_checkpoint_is_all_that_is_needed(classifier, tmp_path):
    loaded = load_classifier(save(tmp_path / "model.pt", classifier), torch.device("cpu"))
    assert loaded.scores([TEXT]) == pytest.approx(classifier.scores([TEXT]), abs=1e-6)


def test_a_model_that_reads_the_last_token_is_padded_on_the_left(tmp_path):
    """XLNet, whose input has no limit either."""
    classifier = classifier_of(make_encoder(tmp_path, "xlnet"))
    tokenizer = classifier.model.tokenizer
    assert tokenizer.padding_side == "left"
    encoded, _ = encode(tokenizer, ["the film was good\ta house", "a\tb"], classifier.model.limit)
    inputs = pad(encoded, tokenizer)
    assert inputs["input_ids"][:, -1].tolist() == [tokenizer.cls_token_id] * 2
    assert inputs["attention_mask"].sum(dim=1).tolist() == [len(row.input_ids) for row in encoded]
    test_any_company_gives_a_text_the_same(classifier)
    with pytest.raises(IELError, match=r"its input does not begin with \[CLS\]"):
        list(classifier.attention(["a\tb"]))


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_sides_of_a_tokenizer_that_do_not_fit_the_model(tmp_path, side):
    """Of a folder that somebody padded or cut on the left: where the input begins with ``[CLS]`` it is read there."""
    folder = make_encoder(tmp_path, "roberta")
    described = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**described, side: "left"}))
    classifier = classifier_of(folder)
    test_any_company_gives_a_text_the_same(classifier)
    texts = [TEXT, "a\tb"]
    for row, found in EXPLAINERS["attention"].explain(classifier, texts, 0, 1):
        [(_, alone)] = EXPLAINERS["attention"].explain(classifier, [texts[row]], 0, 1)
        assert found.scores == pytest.approx(alone.scores, abs=1e-5)
    [encoded], _ = encode(classifier.model.tokenizer, ["good film " * 30 + "\ta dog"], LIMIT, ["house"])
    assert classifier.model.tokenizer.decode(encoded.input_ids).startswith("<s>good film good film")


@pytest.mark.parametrize("explainer", ["attention", "lime", "shap", "random"])
def test_what_looks_like_a_special_token_is_none(classifier, explainer):
    """Nor is any of them the important word."""
    tokenizer = classifier.model.tokenizer
    special = tokenizer.all_special_tokens
    texts = without_special_tokens(tokenizer, [f"the {token} film\ta{token}b dogs" for token in special])
    first = special[0]
    assert texts[0] == f"the {first[0]} {first[1:]} film\ta{first[0]} {first[1:]}b dogs"
    plain, _ = encode(tokenizer, ["the film\ta dogs"], LIMIT)
    ids = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    for encoded in encode(tokenizer, texts, LIMIT)[0]:
        assert sum(int(token) in ids for token in encoded.input_ids) == sum(int(t) in ids for t in plain[0].input_ids)
    for _, found in EXPLAINERS[explainer].explain(classifier, texts, 20, 1):
        assert {word.text for word in found.words}.isdisjoint(special)
    untouched = ["a [b] <c> film, [ MASK] \t..."]
    assert without_special_tokens(tokenizer, untouched) == untouched


def test_an_encoder_that_reads_padding_is_refused(classifier, tmp_path):
    """ConvBERT's convolutions do."""
    classifier.model.check_padding()
    convolving = classifier_of(make_encoder(tmp_path / "convbert", "convbert"))
    path = save(tmp_path / "model.pt", convolving)
    message = f"^{path}: it cannot read a text .*what convbert says of a text is something else beside a longer one"
    with pytest.raises(IELError, match=message):
        load_classifier(path, torch.device("cpu"))
    pretrained, folder = convolving.model.pretrained, str(tmp_path / "convbert")
    task = SimpleNamespace(pretrained=pretrained, tokenizer=pretrained.build_tokenizer(), initial_weights=folder)
    with pytest.raises(IELError, match=f"^{folder}: no classifier .*what convbert says of a text is something else"):
        HFSequenceClassifier.build_model(None, task)


def test_attention_that_is_none_is_refused(tmp_path):
    classifier = classifier_of(make_encoder(tmp_path, "squeezebert"))
    with pytest.raises(IELError, match="what squeezebert gives as attention does not sum to 1; take lime or shap"):
        list(classifier.attention(["a\tb"]))


def test_attention_by_windows_is_none_that_can_be_read(tmp_path):
    classifier = classifier_of(make_encoder(tmp_path, "longformer"))
    assert np.isfinite(classifier.scores(["a\tb"])).all()
    with pytest.raises(IELError, match="longformer has no attention of each token to each; take lime or shap"):
        list(classifier.attention(["a\tb"]))
