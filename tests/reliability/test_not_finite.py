"""NaN and infinity end in one line that says where, or in fairseq's own end of a training: never in a silent result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import IEL, MODELS, PLAIN, load, training
from fairseq.data import LanguagePairDataset
from forked import run_forked
from tiny_bert import make_classifier
from tiny_models import EOS, batch, make_fconv, make_task, make_transformer

from iel_fairseq.attention_words import NotFiniteError, extract_attention_words, read_attention_words
from iel_fairseq.classification.importance import ImportanceExtraction
from iel_fairseq.cli import main as iel
from iel_fairseq.criterions.glue import GlueCriterion
from iel_fairseq.dataset import CompleteLanguagePairDataset
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS, Explainer, Explanation
from iel_fairseq.extraction import DatasetExtraction
from iel_fairseq.extractor import Extractor
from iel_fairseq.readings import symbols_of

MAKE = pytest.mark.parametrize("make", [make_transformer, make_fconv])
BAD = 9
"""The word that breaks the models below; the others leave them as they are."""


def broken(make, part: str = "encoder", word: int = BAD):
    """A model that overflows: at once, where the source has the bad word, or in all its probabilities only."""
    model = make(max_positions=24)
    with torch.no_grad():
        if part == "encoder":
            model.encoder.embed_tokens.weight[BAD] = torch.inf
        else:
            last = model.decoder.fc3.bias if make is make_fconv else model.decoder.output_projection.weight
            last[word] = torch.inf
    return model


def extraction(model, texts: list[list[int]], **options) -> DatasetExtraction:
    dictionary = make_task().source_dictionary
    sources, sizes = [torch.tensor([*text, EOS]) for text in texts], [len(text) + 1 for text in texts]
    dataset = CompleteLanguagePairDataset(LanguagePairDataset(sources, sizes, dictionary, sources, sizes, dictionary))
    extractor = Extractor(model, path="model.pt", sha256="0" * 64, round=0)
    return DatasetExtraction(dataset, "train", extractor, torch.device("cpu"), max_tokens=20, **options)


@MAKE
def test_the_end_of_a_sentence(make):
    """Which adds nothing: without a check the sentence would have no attention words, and nobody would know why."""
    model = broken(make, "decoder", word=EOS)
    with pytest.raises(NotFiniteError):
        extract_attention_words(model, batch([4, 5, 6]))


@MAKE
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("options", [{}, {"all_weights": True}, {"beam": 2}, {"force_target": True}])
def test_a_sentence_of_a_data_set(make, threads, options, tmp_path):
    """Its number in the set, the split and the extractor; nothing is stored."""
    # Longer ones are read in batches of few before it.
    found = extraction(broken(make), [[4, 5, 6, 7]] * 20 + [[4, BAD, 5]] + [[6]] * 9, **options)
    torch.set_num_threads(threads)
    try:
        with pytest.raises(IELError, match=r"^model\.pt, sentence 21 of train: attention or probabilities are not "):
            found.store(str(tmp_path)).fill(found.positions)
    finally:
        torch.set_num_threads(1)
    assert not list(tmp_path.rglob("*.npz"))
    assert not list(tmp_path.rglob("manifest.json"))


@MAKE
def test_a_row_of_a_batch(make):
    """Attention of the good ones stays what it is."""
    model = broken(make)
    with pytest.raises(NotFiniteError, match="sentence 2 of the batch") as caught:
        extract_attention_words(model, batch([4, 5, 6, 7], [BAD], [5, 5]))
    assert (caught.value.batch, caught.value.row) == (None, 1)
    with pytest.raises(NotFiniteError, match="sentence 3 of the batch"):
        read_attention_words(model, batch([4, 5], [6, 6], [BAD]), torch.tensor([[4, 5]] * 3))
    healthy = extract_attention_words(make(max_positions=24), batch([4, 5, 6, 7], [5, 5]))
    assert torch.equal(extract_attention_words(model, batch([4, 5, 6, 7], [5, 5])).positions, healthy.positions)


@MAKE
def test_probabilities_alone(make):
    """Attention is finite then, and what is generated is no word that the model chose."""
    with pytest.raises(NotFiniteError):
        extract_attention_words(broken(make, "decoder"), batch([4, 5, 6]))


def test_decoding_in_two_passes(data, trained):
    """fairseq-interactive knows a sentence by its words, fairseq-generate by its number."""
    model, task = load(trained("transformer", "words")[0], data)
    task.load_dataset("test", task_cfg=task.cfg)
    dataset = task.dataset("test")
    sample = dataset.collater([dataset[i] for i in (3, 7)])
    extractor = task.extractor()
    first = int(sample["id"][0])
    with torch.no_grad():
        extractor.model.encoder.embed_tokens.weight[dataset.src[first][0]] = torch.inf
    with pytest.raises(IELError, match=rf"^{extractor.path}, sentence {first + 1}: attention or probabilities are not"):
        task.first_pass(sample, model)
    del sample["id"]
    text = " ".join(symbols_of(dataset.src[first], task.source_dictionary))
    with pytest.raises(IELError, match=rf"^{extractor.path}, '{text}': attention or probabilities are not"):
        task.first_pass(sample, model)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights(data, trained, tmp_path, value):
    """Whoever reads the checkpoint, and for whatever."""
    path = tmp_path / "astray.pt"
    state = torch.load(trained("transformer", "words")[0])
    state["model"]["decoder.layers.0.fc1.weight"][3, 5] = value
    torch.save(state, path)
    message = rf"^{path}: decoder\.layers\.0\.fc1\.weight holds numbers that are not finite \(NaN or infinity\)"
    with pytest.raises(IELError, match=message):
        iel(["extract", str(data), "--path", str(path), "--cpu", "--attn-store", str(tmp_path / "store")])
    assert not (tmp_path / "store").exists()
    options = (*training(data, tmp_path / "save"), *IEL, *MODELS["transformer"], "--max-epoch", "1")
    for words in (("--finetune-from-model", str(path)), ("--restore-file", str(path), "--reset-dataloader")):
        with pytest.raises(AssertionError, match=r"iel_fairseq: error: .*holds numbers that are not finite"):
            run_forked("fairseq-train", [*options, *words], tmp_path)
    with pytest.raises(AssertionError, match=r"iel_fairseq: error: .*holds numbers that are not finite"):
        run_forked("fairseq-generate", [str(data), *PLAIN, "--cpu", "--path", str(path)], tmp_path)


def test_a_training_that_goes_astray(data, trained, tmp_path):
    """fairseq ends it, with exit status 1, and writes no checkpoint by a usual name."""
    options = (*MODELS["transformer"], "--lr", "1e30", "--finetune-from-model", trained("transformer", "baseline")[0])
    words = (*training(data, tmp_path / "save"), *IEL, *options, "--max-epoch", "1")
    with pytest.raises(AssertionError, match="FloatingPointError: gradients are Nan/Inf"):
        run_forked("fairseq-train", [str(word) for word in words], tmp_path)
    assert sorted(file.name for file in (tmp_path / "save").iterdir()) == ["crash.pt", "training.lock"]


TEXTS = ["a dog", "the film", "a good cat"]


@pytest.fixture
def classifier(tmp_path):
    """It overflows where the text says "good"."""
    made = replace(make_classifier(tmp_path / "bert"), path="model.pt")
    embeddings = made.model.hf.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        embeddings[made.model.tokenizer.convert_tokens_to_ids("good")] = torch.nan
    return made


@pytest.mark.parametrize("importance", ["attention", "lime", "shap", "random"])
def test_importance(classifier, tmp_path, importance):
    """The checkpoint and the text, or the part of it that was asked about; nothing is stored."""
    found = ImportanceExtraction(TEXTS, "valid", classifier, importance, samples=20)
    with pytest.raises(IELError, match=r"^model\.pt: what it says of '[a ]*good[ cat]*' is not finite"):
        list(found.stored_explanations(str(tmp_path / "store")))
    assert not list((tmp_path / "store").rglob("*.npz"))


def test_importance_that_is_not_finite_itself(classifier, tmp_path, monkeypatch):
    def explain(classifier, texts, samples, seed):
        for row, text in enumerate(texts):
            yield row, Explanation.of(text, [np.nan if "film" in text else 1.0] * len(text.split()), 0)

    monkeypatch.setitem(EXPLAINERS, "strange", Explainer("strange", explain))
    found = ImportanceExtraction(TEXTS, "valid", classifier, "strange")
    message = r"^model\.pt, text 2 of valid: importance by strange is not finite"
    with pytest.raises(IELError, match=message):
        list(found.stored_explanations(str(tmp_path / "store")))


def test_predictions(classifier):
    assert classifier.scores(["a dog"]).shape == (1, 2)
    with pytest.raises(IELError, match=r"^model\.pt: what it says of 'good' is not finite"):
        classifier.scores(["a dog", "good"])


def test_validation_of_a_classifier(classifier):
    """NaN would be class 0."""

    class Task:
        glue = classifier.glue

    criterion = GlueCriterion(Task())
    ids = classifier.model.tokenizer(["a good dog"], return_tensors="pt")["input_ids"]
    sample = {"net_input": {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, "target": torch.zeros(1)}
    sample["ntokens"] = 5
    with pytest.raises(IELError, match=r"^the validation loss is not finite"):
        criterion(classifier.model.eval(), sample)
    loss, *_ = criterion(classifier.model.train(), sample)  # fairseq's to judge, which scales losses in half precision
    assert not loss.isfinite()
