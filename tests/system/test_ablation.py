"""The noise ablation through fairseq's own commands (DESIGN line 15)."""

from __future__ import annotations

import pytest
import torch
from commands import IEL, MODELS, generate, lines, load, train
from fairseq import checkpoint_utils

from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.enhancement import KEY
from iel_fairseq.noise import Noise


@pytest.fixture(scope="module")
def noisy(data, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    options = ("--finetune-from-model", trained("transformer", "baseline")[0], "--attn-noise", 0.5, "--attn-positions")
    train(data, folder, *IEL, *MODELS["transformer"], *options, "--max-epoch", 1)
    return folder / "checkpoint_best.pt"


def source_of(data, checkpoint, training: bool, **overrides):
    """x' and p' of the test set, as training reads it, or as decoding makes it."""
    overrides = {"data": str(data), **overrides}
    [model], cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides=overrides)
    if training:
        task = type(task).setup_task(cfg.task)
        task.build_model(cfg.model)
    task.load_dataset("test", **({} if training else {"task_cfg": cfg.task}))
    dataset = task.dataset("test")
    sample = dataset.collater([dataset[i] for i in range(len(dataset))])
    if not training:
        sample, _ = task.first_pass(sample, model.eval())
    return sample["net_input"]["src_tokens"], sample["net_input"].get("src_positions")


def test_decoding_makes_the_noise_of_training(data, noisy, tmp_path):
    stores = {"attn_store": str(tmp_path), "save_dir": str(tmp_path)}
    trained_on = source_of(data, noisy, training=True, **stores)
    decoded = source_of(data, noisy, training=False)
    clean = source_of(data, noisy, training=False, attn_noise=0.0)
    assert all(torch.equal(a, b) for a, b in zip(trained_on, decoded, strict=True))
    assert not torch.equal(clean[0], decoded[0])


def test_the_checkpoint_remembers_the_noise_and_an_option_overrides_it(data, noisy):
    remembered = torch.load(noisy)["task_state"]["iel_fairseq"]
    assert Noise(remembered["attn_noise"], remembered["attn_noise_seed"]) == Noise(0.5, 1)
    as_trained, clean = (generate(data, noisy, *IEL, *options) for options in ((), ("--attn-noise", 0)))
    assert sorted(lines(as_trained, "H")) == sorted(lines(clean, "H")) == list(range(100))
    assert lines(as_trained, "S") == lines(clean, "S")  # x
    assert lines(as_trained, "H") != lines(clean, "H")


def test_seeds_shares_and_limits_are_those_that_are_asked_for(data, trained, tmp_path):
    """Of the training set; validation leaves no attention words out, and has a limit of its own."""
    overrides = {"data": str(data), "attn_store": str(tmp_path), "save_dir": str(tmp_path), "train_subset": "test"}
    overrides |= {"seed": 7, "attn_noise": 0.5, "attn_dropout": 0.5, "max_tokens": 20, "max_tokens_valid": 18}
    [_], cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(trained("transformer", "words")[0])], arg_overrides=overrides
    )
    task = type(task).setup_task(cfg.task)
    task.build_model(cfg.model)
    for split, share, limit in (("test", 0.5, 20), ("valid", 0.0, 18)):
        task.load_dataset(split)
        dataset = task.dataset(split)
        assert dataset.noise == Noise(0.5, 7)
        assert dataset.dropout == AttnDropout(share, 7)
        assert dataset.limit == limit
    assert task.enhancement.attn_noise_seed == 7


def test_decoding_reads_the_layer_and_the_heads_that_training_read(data, trained, tmp_path):
    state = torch.load(trained("transformer", "words")[0])
    assert state["cfg"]["task"]["attn_heads"] is None
    state["task_state"][KEY] |= {"attn_layer": -1, "attn_heads": [0]}
    torch.save(state, tmp_path / "head.pt")
    assert load(tmp_path / "head.pt", data)[1].attention_choice() == {"layer": -1, "heads": (0,)}
    one_head = source_of(data, tmp_path / "head.pt", training=False)
    all_heads = source_of(data, trained("transformer", "words")[0], training=False)
    assert not torch.equal(one_head[0], all_heads[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--attn-noise", 1.5), "--attn-noise 1.5: it is a share of the attention words, 0 to 1"),
        (
            ("--attn-noise", 0.5),
            "--attn-noise: no extractor to train with; give --finetune-from-model or --attn-model FILE",
        ),
    ],
)
def test_noise_that_makes_no_sense_is_one_line(data, tmp_path, options, message):
    log = train(data, tmp_path, *IEL, *MODELS["transformer"], *options, "--max-epoch", 1, fails=True)
    assert "Traceback" not in log
    assert message in log.splitlines()[-1]


def test_noise_without_extractor_is_one_line(data, trained):
    log = generate(data, trained("transformer", "baseline")[0], *IEL, "--attn-noise", 0.5, fails=True)
    assert "error: --attn-noise: the checkpoint remembers no extractor; give --attn-model FILE" in log.splitlines()[-1]
