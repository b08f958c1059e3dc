"""Line 13a: as many hypotheses as source lines, with fairseq's default flags, whatever the size of the set."""

from __future__ import annotations

import re

import pytest
from commands import IEL, MODELS, generate, lines, preprocess, train
from synthetic import make_pairs, write_pairs

SIZES = {"test": 1, "test1": 7, "test2": 8, "test3": 9, "test4": 1014}


@pytest.fixture(scope="module")
def sets(data, tmp_path_factory):
    """A data folder with sets of awkward sizes: train of 1,014 sentences, valid of 7, tests of SIZES."""
    folder = tmp_path_factory.mktemp("sets")
    pairs = make_pairs(seed=5, count=1014)
    write_pairs(folder / "train", pairs)
    write_pairs(folder / "valid", pairs[:7])
    for name, size in SIZES.items():
        write_pairs(folder / name, pairs[:size])
    dictionaries = ("--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt")
    tests = ",".join(str(folder / name) for name in SIZES)
    return preprocess(folder, folder / "bin", *dictionaries, "--testpref", tests, splits=("train", "valid"))


@pytest.mark.parametrize("split", SIZES)
def test_every_sentence_is_translated_in_two_passes(sets, trained, split):
    checkpoint, _ = trained("transformer", "positions")
    output = generate(sets, checkpoint, *IEL, "--gen-subset", split)
    assert sorted(lines(output, "H")) == list(range(SIZES[split]))


@pytest.mark.parametrize("extractor", [True, False])
def test_every_sentence_is_extracted_trained_on_and_validated(sets, trained, tmp_path, extractor):
    """Counted by fairseq itself: sentences a batch times batches."""
    baseline, _ = trained("transformer", "baseline")
    options = ["--finetune-from-model", baseline] if extractor else []
    log = train(sets, tmp_path, *IEL, *MODELS["transformer"], *options, "--max-epoch", 1, "--max-tokens", 300)
    if extractor:
        assert "words for 1,014 sentences" in log
        assert "words for 7 sentences" in log
    else:
        assert "this is plain translation" in log
    batches = int(re.findall(r"grouped total_num_itrs = (\d+)", log)[-1])
    sentences = float(re.findall(r"INFO \| train \| .*\| bsz ([\d.]+)", log)[-1])
    assert batches * sentences == pytest.approx(1014, abs=batches * 0.05 + 0.01)  # bsz is printed with one decimal
    assert float(re.findall(r"'valid' subset .*\| bsz ([\d.]+)", log)[-1]) == 7


def test_batches_that_hold_no_enhanced_sentence_hold_plain_ones(sets, trained, tmp_path):
    """What has more tokens than ``--max-tokens`` fairseq leaves out in training, and ends at in validation."""
    baseline, _ = trained("transformer", "baseline")
    longest = max(len(side) + 1 for pair in make_pairs(seed=5, count=9) for side in (pair.source, pair.target))
    few = ("--train-subset", "test3", "--max-tokens", longest, "--finetune-from-model", baseline, "--max-epoch", 1)
    log = train(sets, tmp_path, *IEL, *MODELS["transformer"], *few)
    assert "invalid sizes" not in log
    assert re.search(rf"test3: .* [1-9]\d* words of [1-9] sentences are cut to fit {longest} tokens", log)
    assert float(re.findall(r"'valid' subset .*\| bsz ([\d.]+)", log)[-1]) > 0
