"""Checkpoints that are damaged or made up: the weights that were written, or one line; and nothing in them runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils
from mutations import COUNTS, ODD_VALUES, damaged, damaged_json, damaged_values, read_damaged
from tiny_bert import make_classifier
from tiny_models import checkpoint_of

from iel_fairseq.checkpoint_safety import value_of
from iel_fairseq.classification.checkpoint import WordEnhancement, load_classifier
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.cli import main
from iel_fairseq.enhancement import KEY
from iel_fairseq.errors import IELError
from iel_fairseq.extractor import load_extractor
from iel_fairseq.tasks.attn_enhanced_translation import AttnEnhancedTranslationTask

CPU = torch.device("cpu")
ODD = [value for value in ODD_VALUES if value != 2**70]  # which pickle has, but torch's loader does not read


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for language in ("src", "tgt"):
        (folder / f"dict.{language}.txt").write_text("".join(f"w{number} 1\n" for number in range(10)))
    return folder


@pytest.fixture
def readers(data, tmp_path) -> list[Callable[[], torch.nn.Module]]:
    """A checkpoint, as an extractor and as a model that decodes."""
    path = str(tmp_path / "model.pt")
    task = AttnEnhancedTranslationTask.of_data_folder(str(data), "src", "tgt")
    return [
        lambda: load_extractor(path, task).model,
        lambda: checkpoint_utils.load_model_ensemble_and_task([path])[0][0],
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_bytes(data, readers, tmp_path, record_property, count):
    path, state = tmp_path / "model.pt", checkpoint_of(data)
    torch.save(state, path)
    for read in readers:
        read()
    tried, accepted = read_damaged(path, damaged(path.read_bytes(), 1, 2 * count), readers[0])
    record_property("inputs", tried)
    for _, model in accepted:  # the bytes that do not matter
        assert all(torch.equal(tensor, state["model"][name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("count", COUNTS)
def test_parts_that_are_something_else(data, readers, tmp_path, record_property, count):
    path, state = tmp_path / "model.pt", checkpoint_of(data)
    parts = [
        *((("cfg", name), state["cfg"][name]) for name in ("task", "model", "common")),
        *(((name,), state[name]) for name in ("task_state", "extra_state", "optimizer_history")),
    ]
    rng = random.Random(1)
    tried = 0
    for where, part in parts:
        mutants = [mutant for _, mutant in damaged_values(part, ODD)]
        for mutant in rng.sample(mutants, min(len(mutants), count // 2)):
            put = {**state, where[0]: {**state["cfg"], where[1]: mutant} if len(where) > 1 else mutant}
            torch.save(put, path)
            # it may be about the data, or the dictionary, that it asks for
            tried += sum(read_damaged(path, [path.read_bytes()], read, names="")[0] for read in readers)
    record_property("inputs", tried)


@pytest.mark.parametrize("part", ["cfg", "model", "task_state", "extra_state", "optimizer_history"])
def test_a_part_that_is_missing_or_all_something_else(data, readers, tmp_path, part):
    path, state = tmp_path / "model.pt", checkpoint_of(data)
    torch.save({name: value for name, value in state.items() if name != part}, path)
    for read in readers:
        read_damaged(path, [path.read_bytes()], read)
    for value in (5, "x", [1], {"x": 1}, {1: torch.zeros(1)}):
        torch.save({**state, part: value}, path)
        for read in readers:
            read_damaged(path, [path.read_bytes()], read)


def test_a_flipped_bit_in_a_weight_is_found(data, readers, tmp_path):
    path, state = tmp_path / "model.pt", checkpoint_of(data)
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    weight = state["model"]["encoder.layers.0.fc1.weight"].numpy().tobytes()
    content[content.index(weight) + 5] ^= 1
    path.write_bytes(content)
    for read in readers:
        with pytest.raises(IELError, match=r"model\.pt: not a readable fairseq checkpoint"):
            read()


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        *(("fconv", name) for name in ("encoder_layers", "decoder_layers", "decoder_attention")),
        ("fconv_self_att", "pretrained"),
        *(("transformer", name) for name in ("adaptive_softmax_cutoff", "cross_self_attention")),
        ("lstm", "decoder_attention"),
        ("lightconv", "encoder_kernel_size_list"),
    ],
)
def test_a_setting_that_is_a_program_is_not_run(data, readers, tmp_path, model, setting):
    """fairseq calls eval on these when it builds a model."""
    sign = tmp_path / "executed"
    program = f"__import__('os').mkdir({str(sign)!r}) or [(16, 3)]"
    path, state = tmp_path / "model.pt", checkpoint_of(data)
    state["cfg"]["model"].update({"_name": model, "arch": model, "criterion": "cross_entropy", setting: program})
    torch.save(state, path)
    for read in readers:
        read_damaged(path, [path.read_bytes()], read)
    assert not sign.exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[(512, 3)] * 9 + [(1024, 3)] * 4", [(512, 3)] * 9 + [(1024, 3)] * 4),
        ("(0.9, 0.98)", (0.9, 0.98)),
        ("True", True),
        ("-1e-4", -0.0001),
        ("2 * [3]", [3, 3]),
        ("{'a': [1]}", {"a": [1]}),
        ("10, 20", (10, 20)),
    ],
)
def test_what_a_setting_may_be(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "exit()",
            "[x for x in (1,)]",
            "a",
            "(1).real",
            "f'{1}'",
            "lambda: 1",
            "1 if 1 else 2",
            "9 ** 9 ** 9",
            "",
            "(",
        ),
        *(
            "[0] * 10 ** 10",
            "[0] * 10000000000",
            "(" * 900,
            "'a' * 99999",
            "{**{}}",
            "1 + 'a'",
            "[1] * [1]",
            "1" * 2000,
        ),
    ],
)
def test_what_a_setting_may_not_be(text):
    with pytest.raises(IELError, match="refused; a setting is numbers, lists, or sums and products of these"):
        value_of(text)


@pytest.mark.parametrize("text", ["[1] * 1001", "1001 * [1]", "1001 * (1,)", "1001 * 'a'", "2 * (501 * [1])"])
def test_no_setting_grows_whichever_way_it_is_written(text):
    with pytest.raises(IELError, match="refused"):
        value_of(text)
    assert len(value_of(text.replace("1001", "1000").replace("501", "500"))) == 1000


# --- classifiers ---------------------------------------------------------------------------------------------------


def save_classifier(path: Path, classifier, pretrained: Pretrained) -> None:
    state = {
        "cfg": {"task": {"_name": "importance_enhanced_classification"}, "model": {"_name": "hf_sequence_classifier"}},
        "model": classifier.model.state_dict(),
        "optimizer_history": [{"optimizer_name": "A", "lr_scheduler_state": {}, "num_updates": 1}],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": WordEnhancement("CoLA", pretrained).to_task_state(),
    }
    torch.save(state, path)


@pytest.fixture
def classifier(tmp_path):
    return make_classifier(tmp_path / "bert")


def test_settings_with_which_nothing_is_a_number_are_those_of_the_file(classifier, tmp_path):
    path, pretrained = tmp_path / "classifier.pt", classifier.model.pretrained
    config = {**json.loads(pretrained.config), "layer_norm_eps": -10.0}
    save_classifier(path, classifier, replace(pretrained, config=json.dumps(config)))
    with pytest.raises(IELError, match=rf"^{path}: what it says of 'text' is not finite"):
        load_classifier(str(path), CPU)


def test_a_word_without_an_embedding_is_found_before_a_text_has_it(classifier, tmp_path):
    path, pretrained = tmp_path / "classifier.pt", classifier.model.pretrained
    described = json.loads(pretrained.tokenizer["tokenizer.json"])
    described["model"]["vocab"]["film"] = 10**6
    save_classifier(
        path,
        classifier,
        replace(pretrained, tokenizer={**pretrained.tokenizer, "tokenizer.json": json.dumps(described)}),
    )
    message = r"its tokenizer gives numbers up to 1,000,000, the model has \d+ embeddings; take the tokenizer"
    with pytest.raises(IELError, match=rf"^{path}: no classifier can be made .*{message}"):
        load_classifier(str(path), CPU)


@pytest.mark.parametrize("count", COUNTS)
def test_configuration_and_tokenizer(classifier, tmp_path, record_property, count):
    path, pretrained = tmp_path / "classifier.pt", classifier.model.pretrained

    def read() -> list[float]:
        return load_classifier(str(path), CPU).scores(["the film was good", "a"]).ravel().tolist()

    save_classifier(path, classifier, pretrained)
    read()
    config = pretrained.config.encode()
    mutants = [
        replace(pretrained, config=mutant.decode("utf-8", errors="replace"))
        for mutant in [*damaged(config, 1, count), *damaged_json(config, 1, count)]
    ]
    for name, text in pretrained.tokenizer.items():
        changed = [*damaged(text.encode(), 1, count), *damaged_json(text.encode(), 1, count)]
        mutants += [
            replace(pretrained, tokenizer={**pretrained.tokenizer, name: mutant.decode("utf-8", errors="replace")})
            for mutant in changed
        ]
    mutants = random.Random(1).sample(mutants, min(len(mutants), 2 * count))
    for mutant in mutants:
        save_classifier(path, classifier, mutant)
        read_damaged(path, [path.read_bytes()], read)
    record_property("inputs", len(mutants))


def test_code_beside_a_tokenizer_is_not_run(classifier, tmp_path):
    sign = tmp_path / "executed"
    path, pretrained = tmp_path / "classifier.pt", classifier.model.pretrained
    code = f"import os\nos.mkdir({str(sign)!r})\n"
    brings = {
        "AutoConfig": "evil.X",
        "AutoModelForSequenceClassification": "evil.X",
        "AutoTokenizer": ["evil.X", "evil.X"],
    }
    for name in ("config", "tokenizer_config.json"):
        tokenizer, config = {**pretrained.tokenizer, "evil.py": code, "../../evil.py": code}, pretrained.config
        if name == "config":
            config = json.dumps({**json.loads(config), "auto_map": brings})
        else:
            changed = {**json.loads(tokenizer[name]), "auto_map": brings, "tokenizer_class": "X"}
            tokenizer[name] = json.dumps(changed)
        save_classifier(path, classifier, Pretrained(config, tokenizer))
        read_damaged(path, [path.read_bytes()], lambda: load_classifier(str(path), CPU))
    assert not sign.exists()


def test_a_checkpoint_of_the_other_half(data, classifier, tmp_path):
    torch.save(checkpoint_of(data), tmp_path / "model.pt")
    with pytest.raises(IELError, match=r"model\.pt: not a checkpoint of the task importance_enhanced_classification"):
        load_classifier(str(tmp_path / "model.pt"), CPU)
    with pytest.raises(IELError, match=r"model\.pt: not a checkpoint of the task importance_enhanced_classification"):
        main(["predict", "GLUE", "--path", str(tmp_path / "model.pt"), "--cpu"])
    save_classifier(tmp_path / "model.pt", classifier, classifier.model.pretrained)
    with pytest.raises(IELError, match=r"model\.pt: not trained on attention words"):
        main(["translate", "text", "--path", str(tmp_path / "model.pt"), "--cpu"])


@pytest.mark.parametrize("memory", [5, {"attn_heads": "x"}, {"extractor": 1}, {"unknown": 1}])
def test_a_damaged_memory_for_translation(data, tmp_path, memory):
    torch.save({**checkpoint_of(data), "task_state": {KEY: memory}}, tmp_path / "model.pt")
    with pytest.raises(IELError, match=r"model\.pt: damaged \(ValueError: "):
        main(["translate", "text", "--path", str(tmp_path / "model.pt"), "--cpu"])
