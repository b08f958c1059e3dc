"""Half precision reads nearly the same attention words, and trains to nearly the same BLEU, as float32."""

from __future__ import annotations

import pytest
import torch
from commands import IEL, MODELS, bleu, generate, load, run, training
from conftest import known_pairs

from iel_fairseq.attention_store import read_attention_positions
from iel_fairseq.attention_words import extract_attention_words

PRECISIONS = {
    "bf16 on the CPU": ("--bf16", "cpu"),
    "fp16 on the CPU": ("--fp16", "cpu"),
    "bf16 on a GPU": pytest.param("--bf16", "cuda", marks=pytest.mark.gpu),
    "fp16 on a GPU": pytest.param("--fp16", "cuda", marks=pytest.mark.gpu),
}
ALL = pytest.mark.parametrize(("half", "device"), PRECISIONS.values(), ids=PRECISIONS)


@ALL
def test_attention_words(data, trained, half, device):
    """Of 100 sentences, as they are decoded; in bfloat16 a number has 8 bits, and a tie is soon made."""
    model, task = load(trained("transformer", "baseline")[0], data)
    task.load_dataset("test")
    dataset = task.dataset("test")
    sources = dataset.collater([dataset[i] for i in range(100)])["net_input"]["src_tokens"].to(device)
    exact = extract_attention_words(model.to(device), sources)
    found = extract_attention_words(model.to(torch.float16 if half == "--fp16" else torch.bfloat16), sources)
    same = sum(
        ours[:count].tolist() == theirs[:other].tolist()
        for ours, count, theirs, other in zip(
            found.positions, found.lengths, exact.positions, exact.lengths, strict=True
        )
    )
    assert same >= 85
    assert found.scores.dtype == torch.float32


@pytest.mark.slow
@ALL
def test_extraction_and_fine_tuning(data, trained, tmp_path, half, device):
    """By commands. Decoding is in float32."""
    baseline, _ = trained("transformer", "baseline")
    cpu, gpu = ("--cpu",) if device == "cpu" else (), device != "cpu"
    store = ("--gen-subset", "valid", "--attn-store", tmp_path)
    run("iel", "extract", data, "--path", baseline, *store, half, *cpu, gpu=gpu)
    stored = read_attention_positions(tmp_path)
    assert stored.precision == {"--fp16": "float16", "--bf16": "bfloat16"}[half]
    words = [word for word in training(data, tmp_path / "save") if cpu or word != "--cpu"]
    options = (*IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--max-epoch", 2, half)
    if (half, device) == ("--fp16", "cpu"):
        return  # fairseq trains in it on a GPU only
    log = run("fairseq-train", *words, *options, "--attn-store", tmp_path, gpu=gpu)
    assert "valid: sentences" not in log  # it is in the store
    assert "train: sentences" in log
    assert ("CUDA enviroments for all 1 workers" in log) is gpu  # so fairseq spells it
    references = [pair.known()[1] for pair in known_pairs()]
    assert bleu(generate(data, tmp_path / "save" / "checkpoint_best.pt", *IEL), references) > 90
