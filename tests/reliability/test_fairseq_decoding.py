"""What fairseq promises of its decoding holds in two passes: what comes out is what the two steps by hand give.

By hand: x' written out as text, plain ``translation`` on it. Positions are off, which text cannot have.
"""

from __future__ import annotations

import pytest
import torch
from commands import IEL, PLAIN, lines, load
from two_steps import assert_same, decode, preprocess_test_set

pytestmark = pytest.mark.parametrize(
    "arch", ["transformer", pytest.param("fconv", marks=pytest.mark.slow)], indirect=True
)


DECODINGS = {
    "batches": ("--batch-size", 3, "--left-pad-source", "--required-seq-len-multiple", 8),  # padding on the right
    "batches by tokens": ("--max-tokens", 60),
    "search": ("--prefix-size", 2, "--lenpen", 0.5, "--min-len", 5, "--no-repeat-ngram-size", 2, "--unkpen", 1),
    "diverse beams": ("--diverse-beam-groups", 2, "--beam", 4, "--nbest", 4),
    "scores of the references": ("--score-reference",),
    "sources truncated": ("--truncate-source", "--max-source-positions", 6),
}


@pytest.mark.parametrize("options", DECODINGS.values(), ids=DECODINGS)
def test_generate(data, trained, arch, by_hand, tmp_path, options):
    checkpoint, _ = trained(arch, "words")
    together = decode("generate", data, checkpoint, *IEL, *options, cwd=tmp_path)
    assert_same(together, decode("generate", by_hand, checkpoint, *PLAIN, *options, cwd=tmp_path))


INTERACTIVE = {
    "sampling": ("--sampling", "--sampling-topk", 5, "--beam", 3, "--nbest", 3, "--seed", 7),
    "constraints": ("--constraints", "--beam", 3),
    "constraints, and no order": ("--constraints", "unordered", "--beam", 3, "--buffer-size", 20, "--batch-size", 6),
}


@pytest.mark.parametrize("options", INTERACTIVE.values(), ids=INTERACTIVE)
def test_interactive(corpus, data, trained, arch, by_hand, tmp_path, options):
    """Sentence by sentence, where draws are to be the same: other batches, other draws."""
    checkpoint, _ = trained(arch, "words")
    sources, enhanced = ((folder / "test.src").read_text().splitlines()[:20] for folder in (corpus, by_hand.parent))
    wanted = ["\tV1.1 V1.2\tN3"] * 20 if "--constraints" in options else [""] * 20
    texts = ["".join(f"{x}{w}\n" for x, w in zip(side, wanted, strict=True)) for side in (sources, enhanced)]
    together = decode("interactive", data, checkpoint, *IEL, *options, stdin=texts[0], cwd=tmp_path)
    apart = decode("interactive", data, checkpoint, *PLAIN, *options, stdin=texts[1], cwd=tmp_path)
    assert_same(together, apart, 20)
    if "--constraints" in options:
        assert all("V1.1 V1.2" in fields[1] and "N3" in fields[1] for fields in lines(together, "H").values())


def test_an_extractor_that_looks_at_nothing_leaves_one_pass(data, trained, arch, tmp_path):
    """It says </s> at once: x' = x."""
    state = torch.load(trained(arch, "baseline")[0])
    silence(state["model"])
    torch.save(state, tmp_path / "silent.pt")
    checkpoint, _ = trained(arch, "words")
    both = decode("generate", data, checkpoint, *IEL, "--attn-model", tmp_path / "silent.pt", cwd=tmp_path)
    assert_same(both, decode("generate", data, checkpoint, *PLAIN, cwd=tmp_path))


def silence(weights: dict[str, torch.Tensor]) -> None:
    """Make </s> the most probable word at every step, in place."""
    if "decoder.fc3.bias" in weights:
        weights["decoder.fc3.bias"][2] = 1e4
        return
    norm, eos = "decoder.layers.0.final_layer_norm", weights["decoder.output_projection.weight"][2]
    eos.mul_(100)
    weights[f"{norm}.weight"].zero_()
    weights[f"{norm}.bias"].copy_(eos)


def test_a_sentence_that_is_too_long(data, trained, arch, tmp_path):
    """fairseq's own message, as plain translation has it, but in one line; or skipped as there."""
    checkpoint, _ = trained(arch, "words")
    options = ("--max-source-positions", 5)
    messages = []
    for task, folder in ((IEL, data), (PLAIN, data)):
        with pytest.raises(AssertionError) as caught:
            decode("generate", folder, checkpoint, *task, *options, cwd=tmp_path)
        messages.append(str(caught.value).splitlines()[-1])
    told = messages[1].removeprefix("Exception: ")
    assert messages[0] == f"iel_fairseq: error: {told}"
    assert "skip this example with --skip-invalid-size-inputs-valid-test" in told
    skip = "--skip-invalid-size-inputs-valid-test"
    kept = [
        lines(decode("generate", data, checkpoint, *task, *options, skip, cwd=tmp_path), "H") for task in (IEL, PLAIN)
    ]
    assert 0 < len(kept[0]) < 100
    assert kept[0].keys() == kept[1].keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raw", "lazy", "cached"])
def test_kinds_of_data_folders(corpus, data, trained, arch, by_hand, tmp_path, kind):
    folder = preprocess_test_set(corpus, data, tmp_path / "bin", "--dataset-impl", kind)
    checkpoint, _ = trained(arch, "words")
    found = decode("generate", folder, checkpoint, *IEL, "--dataset-impl", kind, cwd=tmp_path)
    assert_same(found, decode("generate", by_hand, checkpoint, *PLAIN, cwd=tmp_path))


def test_an_ensemble(data, trained, arch, by_hand, tmp_path):
    """Of two models that differ."""
    checkpoint, _ = trained(arch, "words")
    state = torch.load(checkpoint)
    generator = torch.Generator().manual_seed(1)
    for weight in state["model"].values():
        if weight.dim() > 1:
            weight += 0.03 * torch.randn(weight.shape, generator=generator)
    torch.save(state, tmp_path / "other.pt")
    paths = f"{checkpoint}:{tmp_path / 'other.pt'}"
    together = decode("generate", data, paths, *IEL, cwd=tmp_path)
    assert_same(together, decode("generate", by_hand, paths, *PLAIN, cwd=tmp_path))
    alone = decode("generate", data, checkpoint, *IEL, cwd=tmp_path)
    assert lines(alone, "P") != lines(together, "P")


def test_columns_are_a_multiple_in_both_passes(data, trained, arch):
    checkpoint, _ = trained(arch, "words")
    model, task = load(checkpoint, data)
    task.cfg.required_seq_len_multiple = 8
    task.load_dataset("test", task_cfg=task.cfg)
    dataset = task.dataset("test")
    for count in (1, 5):
        sample = dataset.collater([dataset[i] for i in range(count)])
        enhanced, first = task.first_pass(sample, model)
        assert sample["net_input"]["src_tokens"].size(1) % 8 == 0
        assert enhanced["net_input"]["src_tokens"].size(1) == -(-int(first.enhanced.lengths.max()) // 8) * 8
