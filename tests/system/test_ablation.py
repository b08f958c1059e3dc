"""The noise ablation through fairseq's own commands (DESIGN line 15)."""

from __future__ import annotations

import pytest
import torch
from commands import IEL, MODELS, generate, lines, train
from fairseq import checkpoint_utils

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
    return sample["net_input"]["src_tokens"], sample["net_input"]["src_positions"]


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
