"""A pretrained model as data, and what is wrong with options and checkpoints, each in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tiny_bert import make_classifier, make_folder, save
from tokenizers.processors import TemplateProcessing

from iel_fairseq.classification.checkpoint import WordEnhancement, load_classifier
from iel_fairseq.classification.config import ImportanceEnhancedClassificationConfig
from iel_fairseq.classification.dataset import ClassificationDataset
from iel_fairseq.classification.glue import GLUE_TASKS, Example
from iel_fairseq.classification.pretrained import Pretrained, embeddings_of, longest_input
from iel_fairseq.errors import IELError
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier
from iel_fairseq.tasks.importance_enhanced_classification import ImportanceEnhancedClassificationTask

NO_LIMIT = SimpleNamespace(model_max_length=10**30)
"""A tokenizer that does not know any."""


def setup(**options) -> ImportanceEnhancedClassificationTask:
    defaults = {"data": ".", "glue_task": "CoLA", "finetune_from_model": None}
    defaults |= {"best_checkpoint_metric": "loss", "maximize_best_checkpoint_metric": False}
    return ImportanceEnhancedClassificationTask.setup_task(
        ImportanceEnhancedClassificationConfig(**{**defaults, **options})
    )


@pytest.mark.parametrize("glue", ["CoLA", "STS-B"])
def test_a_checkpoint_is_all_that_is_needed(tmp_path, glue):
    classifier = make_classifier(tmp_path / "bert", glue)
    loaded = load_classifier(save(tmp_path / "model.pt", classifier), torch.device("cpu"))
    texts = ["a good dog", "the cat is playing."]
    assert (loaded.scores(texts) == classifier.scores(texts)).all()
    assert loaded.glue == classifier.glue
    assert loaded.model.hf.config.problem_type.startswith("regression" if glue == "STS-B" else "single_label")


@pytest.mark.parametrize(
    "name", ["bert", "electra", "roberta", "camembert", "xlm-roberta-xl", "mpnet", "data2vec-text", "luke"]
)
def test_the_limit_is_what_the_position_embeddings_hold(name):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = AutoConfig.for_model(name, vocab_size=20, max_position_embeddings=14, pad_token_id=1, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    limit = longest_input(model, NO_LIMIT)
    assert limit == (14 if name in ("bert", "electra") else 12)
    model(input_ids=torch.full((1, limit), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 5))


def test_the_limit_of_models_without_position_embeddings():
    model = torch.nn.Module()
    model.config = SimpleNamespace(max_position_embeddings=14)
    assert longest_input(model, NO_LIMIT) == 14
    model.config = SimpleNamespace()
    assert longest_input(model, SimpleNamespace(model_max_length=9)) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": None}, "DATA: give the folder"),
        ({"glue_task": None}, "--glue-task: give one of CoLA"),
        ({}, "--hf-model: give a pretrained encoder"),
        (
            {"hf_model": "no/such/folder"},
            "no/such/folder: no such folder here, and no model of that name",
        ),
        (
            {"best_checkpoint_metric": "accuracy", "hf_model": "bert"},
            "--best-checkpoint-metric accuracy: for CoLA it is one of loss, matthews",
        ),
        (
            {"best_checkpoint_metric": "matthews", "hf_model": "bert"},
            "--best-checkpoint-metric matthews: the worst would count as the best; add --maximize",
        ),
        (
            {"maximize_best_checkpoint_metric": True, "hf_model": "bert"},
            "--best-checkpoint-metric loss: the worst would count as the best; leave out --maximize",
        ),
        ({"importance": "lime", "hf_model": "bert"}, "--importance lime: no extractor without"),
        ({"importance_samples": 1, "hf_model": "bert"}, "--importance-samples 1: it is at least 2"),
        ({"importance_samples": 9, "hf_model": "bert"}, "--importance-samples 9: it does nothing without --importance"),
        ({"importance_model": "x", "hf_model": "bert"}, "--importance-model x: it does nothing without --importance"),
        ({"finetune_from_model": "no.pt"}, "no.pt: no such checkpoint file"),
        ({"finetune_from_model": "tests"}, "tests: a folder; give a checkpoint file"),
        (
            {"finetune_from_model": "no.pt", "hf_model": "bert"},
            "--hf-model bert: --finetune-from-model has a model of its own; leave one of them out",
        ),
    ],
)
def test_bad_options_are_one_line(options, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(IELError) as error:
        setup(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_out_of_memory_is_no_fault_of_the_model(tmp_path, monkeypatch):
    make_folder(tmp_path / "folder")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: [0] * (1 << 60))
    with pytest.raises(MemoryError):
        Pretrained.from_name(str(tmp_path / "folder"), GLUE_TASKS["CoLA"])


def test_a_batch_that_is_too_small_for_a_text_is_one_line(tmp_path):
    classifier = make_classifier(tmp_path / "bert")
    task = setup(finetune_from_model=save(tmp_path / "model.pt", classifier))
    dataset = ClassificationDataset([Example("a good dog", 1), Example("cat", 0)], classifier.model)
    assert len(task.get_batch_iterator(dataset, max_tokens=5).next_epoch_itr()) == 2
    with pytest.raises(IELError, match=r"--max-tokens 4: a text has 5; give at least as many, or --batch-size$"):
        task.get_batch_iterator(dataset, max_tokens=4)


def test_checkpoints_that_are_none_of_ours(tmp_path):
    classifier = make_classifier(tmp_path / "bert")
    path = save(tmp_path / "model.pt", classifier)
    with pytest.raises(IELError, match=f"{path}: this checkpoint is for CoLA, not for RTE"):
        setup(glue_task="RTE", finetune_from_model=path)
    state = torch.load(path)
    torch.save({**state, "task_state": {}}, path)
    with pytest.raises(IELError, match="not a checkpoint of the task importance_enhanced_classification"):
        load_classifier(path, torch.device("cpu"))
    path = save(tmp_path / "model.pt", classifier)
    state = torch.load(path)
    state["model"].pop("hf.classifier.bias")
    torch.save(state, path)
    with pytest.raises(
        IELError,
        match=r"no classifier can be made of its configuration, tokenizer and weights \(RuntimeError: (Missing|size)",
    ):
        load_classifier(path, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_encoder_published_in_half_precision_is_trained_and_read_in_float32(tmp_path, dtype):
    from transformers import AutoModelForSequenceClassification

    folder = make_folder(tmp_path / "bert")
    AutoModelForSequenceClassification.from_pretrained(folder).to(dtype).save_pretrained(folder)
    pretrained = Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
    assert str(dtype).removeprefix("torch.") in pretrained.config
    trained = pretrained.build_model(str(folder))
    again = pretrained.build_model()
    for model in (trained, again):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def half(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: tensor[..., : tensor.size(-1) // 2].contiguous()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (half, "bert.embeddings.word_embeddings.weight and 36 more"),
        (lambda name, tensor: {f"other.{name}": tensor}, "bert.embeddings.word_embeddings.weight and 36 more"),
        (
            lambda name, tensor: {} if "layer.0.attention.self.query" in name else {name: tensor},
            "bert.encoder.layer.0.attention.self.query.weight and 1 more",
        ),
        (lambda name, tensor: {} if "pooler" in name or "classifier" in name else {name: tensor}, None),
    ],
    ids=["other sizes", "other names", "one missing", "no pooler"],
)
def test_an_encoder_that_would_be_random_is_refused(tmp_path, change, message):
    from safetensors.torch import load_file, save_file

    folder = make_folder(tmp_path / "bert")
    pretrained = Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
    [path] = folder.glob("*.safetensors")
    changed = [change(name, tensor) for name, tensor in load_file(path).items()]
    save_file({name: tensor for each in changed for name, tensor in each.items()}, path, {"format": "pt"})
    if message is None:
        pretrained.build_model(str(folder))
        return
    with pytest.raises(IELError, match=rf"^{folder}: its weights do not fit its configuration: {message} would be "):
        pretrained.build_model(str(folder))


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = make_folder(tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["quite", "new"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(IELError, match=rf"{folder}: its tokenizer gives numbers up to \d+, the model has \d+ emb"):
        Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
    tokenizer = AutoTokenizer.from_pretrained(make_folder(tmp_path / "bert"))
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(IELError, match=f"{folder}: its tokenizer has no padding token"):
        Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
    bare = AutoTokenizer.from_pretrained(make_folder(tmp_path / "bert")).backend_tokenizer
    bare.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]").save_pretrained(folder)
    with pytest.raises(IELError, match=f"{folder}: its tokenizer adds no token to a text"):
        Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])


@pytest.mark.parametrize(("key", "value"), [("pad_token_id", None), ("return_dict", False)])
def test_what_a_configuration_leaves_open_is_filled_in(tmp_path, key, value):
    folder = tmp_path / "bert"
    usual = make_classifier(folder)
    made = json.loads(make_folder(folder).joinpath("config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**made, key: value}))
    pretrained = Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
    assert json.loads(pretrained.config)["pad_token_id"] == 0
    model = HFSequenceClassifier(pretrained, str(folder))
    model.load_state_dict(usual.model.state_dict())
    texts, classifier = ["a good dog", "the cat"], replace(usual, model=model.eval())
    assert (classifier.scores(texts) == usual.scores(texts)).all()
    for (_, found), (_, expected) in zip(classifier.attention(texts), usual.attention(texts), strict=True):
        assert (found.weights == expected.weights).all()


def test_the_embeddings_of_a_model_are_counted():
    """I-BERT's are of a kind of their own; CANINE has no vocabulary."""
    from transformers import AutoModelForSequenceClassification as Auto
    from transformers import BertConfig, CanineConfig, IBertConfig

    sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    for config, count in (
        (BertConfig(vocab_size=50, **sizes), 50),
        (IBertConfig(vocab_size=50, **sizes), 50),
        (CanineConfig(**sizes), None),
    ):
        assert embeddings_of(Auto.from_config(config)) == count


def test_what_a_reading_asks_for_must_be_what_the_checkpoint_knows():
    lime = WordEnhancement("CoLA", Pretrained("{}"), "lime", "m.pt", "ab", "m.pt", samples=9)
    plain = WordEnhancement("CoLA", Pretrained("{}"))
    for remembered, options, message in (
        (lime, {"importance_samples": 8}, r"--importance-samples 8: the checkpoint was trained with 9; leave"),
        (replace(lime, samples=None), {"importance_samples": 8}, "trained with the number that its explainer has by"),
        (plain, {"importance_samples": 8}, "trained with the number that its explainer has by"),
        (
            plain,
            {"importance_model": "m.pt"},
            "--importance-model m.pt: the checkpoint of --path reads texts",
        ),
    ):
        config = ImportanceEnhancedClassificationConfig(data=".", glue_task="CoLA", **options)
        task = ImportanceEnhancedClassificationTask.setup_task(config, from_checkpoint=True)
        with pytest.raises(IELError, match=message):
            task.load_state_dict(remembered.to_task_state())
    for importance, samples in (("lime", 5000), ("attention", 8)):  # its own number; it takes none
        config = ImportanceEnhancedClassificationConfig(data=".", glue_task="CoLA", importance_samples=samples)
        task = ImportanceEnhancedClassificationTask.setup_task(config, from_checkpoint=True)
        task._remember = lambda enhancement: None
        task.load_state_dict(replace(lime, importance=importance, samples=None).to_task_state())


def test_what_makes_another_model():
    def model(words: str = "ab", **config) -> Pretrained:
        known = {"model_type": "bert", "hidden_size": 8, "dtype": "float32", **config}
        vocabulary = {word: number for number, word in enumerate(words)}
        tokenizer = json.dumps({"version": config.get("dtype"), "model": {"vocab": vocabulary}})
        return Pretrained(json.dumps(known), {"tokenizer.json": tokenizer, "other.json": config.get("dtype", "")})

    assert model().same_model(model(dtype="float16", _name_or_path="y", transformers_version="6", learned=1))
    assert not model().same_model(model(hidden_size=9))
    assert not model().same_model(model("ba"))
    assert not model().same_model(Pretrained(model().config, {"vocab.txt": "a"}))
    assert Pretrained("{}", {"vocab.txt": "a"}).same_model(Pretrained("{}", {"vocab.txt": "a"}))


def test_what_makes_another_training():
    plain = WordEnhancement("CoLA", Pretrained("{}"))
    lime = replace(plain, importance="lime", extractor="m.pt", extractor_sha256="ab", samples=9)
    assert plain.same_input(replace(plain, seed=2))
    assert not plain.same_input(lime)
    assert not lime.same_input(replace(lime, samples=8))
    assert not lime.same_input(replace(lime, seed=2))
    assert replace(lime, samples=None).same_input(replace(lime, samples=5000))  # its own number
    attention = replace(lime, importance="attention")
    assert attention.same_input(replace(attention, samples=8, seed=2))  # it takes neither
    assert not attention.same_input(lime)
    assert lime.describe() == "lime of m.pt (SHA-256 ab), 9 samples, seed 1"
    assert replace(lime, samples=None).describe() == "lime of m.pt (SHA-256 ab), 5,000 samples, seed 1"
    assert attention.describe() == "attention of m.pt (SHA-256 ab)"
    assert plain.describe() == "the plain texts of CoLA"


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ({"glue_task": "WNLI"}, "'WNLI', which is no task of GLUE"),
        ({"importance": "gradient"}, "'gradient', which is no"),
    ],
)
def test_what_a_newer_version_may_have_trained_for(unknown, message):
    remembered = replace(WordEnhancement("CoLA", Pretrained("{}")), **unknown)
    with pytest.raises(IELError, match=rf"^m\.pt: trained (for|on words of) {message}"):
        WordEnhancement.from_task_state("m.pt", remembered.to_task_state())


def test_a_classifier_for_as_many_classes_keeps_its_last_layer_and_other_classes_get_a_new_one(tmp_path):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = make_folder(tmp_path / "bert")
    for labels, same in ((["entailment", "not_entailment"], True), (["a", "b", "c"], False)):
        config = AutoConfig.from_pretrained(folder, id2label=dict(enumerate(labels)))
        classifier = AutoModelForSequenceClassification.from_config(config)
        torch.nn.init.normal_(classifier.classifier.weight)
        classifier.save_pretrained(folder)
        model = Pretrained.from_name(str(folder), GLUE_TASKS["RTE"]).build_model(str(folder))
        assert len(model.classifier.weight) == 2
        assert torch.equal(classifier.classifier.weight[:2], model.classifier.weight) is same
    config = AutoConfig.from_pretrained(folder, id2label={0: "not_entailment", 1: "entailment"})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    with pytest.raises(IELError, match=rf"{folder}: a classifier whose classes are not_entailment, entailment, in"):
        Pretrained.from_name(str(folder), GLUE_TASKS["RTE"])


def test_a_model_that_brings_code_is_refused(tmp_path):
    folder = make_folder(tmp_path / "bert")
    config = (folder / "config.json").read_text()
    hostile = config.replace('"model_type": "bert"', '"model_type": "x", "auto_map": {"AutoConfig": "x.X"}')
    (folder / "config.json").write_text(hostile)
    with pytest.raises(IELError, match="not a model that transformers can load"):
        Pretrained.from_name(str(folder), GLUE_TASKS["CoLA"])
