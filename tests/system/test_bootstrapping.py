"""Rounds of bootstrapping inside one fairseq-train (DESIGN line 14)."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import BIN, CPU, IEL, MODELS, bleu, generate, lines, load, train, train_two_ranks, training
from fairseq import checkpoint_utils, tasks
from fairseq import options as fairseq_options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from iel_fairseq.dataset import AttnEnhancedDataset
from iel_fairseq.enhancement import KEY

ROUNDS = ("--bootstrap-rounds", 3, "--bootstrap-epochs", 2)
BLEU = ("--eval-bleu", "--eval-tokenized-bleu", "--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric")


def options(baseline: Path, stores: Path) -> tuple:
    model = (*IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--attn-model", baseline)
    return (*model, *ROUNDS, "--attn-store", stores, "--lr", "1e-3")


def record(folder: Path) -> list[dict]:
    return json.loads((folder / "bootstrapping.json").read_text())["rounds"]


def remembered(checkpoint: Path) -> dict:
    return torch.load(checkpoint)["task_state"][KEY]


@pytest.fixture(scope="module")
def undisturbed(data, trained, tmp_path_factory):
    """A bootstrapped training from beginning to end: its save directory, and its log."""
    folder = tmp_path_factory.mktemp("bootstrapped")
    baseline, _ = trained("transformer", "baseline")
    log = train(data, folder / "save", *options(baseline, folder / "stores"), "--num-workers", 2)
    return folder / "save", log


def test_all_rounds_run_in_one_command(undisturbed, trained):
    folder, log = undisturbed
    assert len(re.findall("begin training epoch", log)) == 6
    assert "done training" in log
    summaries = re.findall(
        r"round (\d) of 3: loss ([\d.]+); extractor (\S+?)(; [\d.]+% .*changed)?$", log, re.MULTILINE
    )
    assert [summary[0] for summary in summaries] == ["1", "2", "3"]
    assert [bool(summary[3]) for summary in summaries] == [False, True, True]
    rounds = record(folder)
    assert [each["number"] for each in rounds] == [1, 2, 3]
    assert [sorted(each["scores"]) for each in rounds] == [["1", "2"], ["3", "4"], ["5", "6"]]
    assert rounds[0]["extractor"] == str(trained("transformer", "baseline")[0])
    assert rounds[1]["best"] == min(rounds[0]["scores"].values())
    assert rounds[2]["best"] == min([*rounds[0]["scores"].values(), *rounds[1]["scores"].values()])
    assert all(0 <= each["changed"] < 0.5 for each in rounds[1:])


def test_each_round_reads_the_best_checkpoint_so_far_in_training_and_validation(undisturbed):
    folder, log = undisturbed
    read = re.findall(r"(train|valid): (\S+) \(SHA-256 (\w+)\) gave", log)
    extractors = [(split, Path(path).name) for split, path, _ in read]
    assert extractors == [
        ("valid", "checkpoint_best.pt"),
        ("train", "checkpoint_best.pt"),
        ("train", "extractor.round2.pt"),
        ("valid", "extractor.round2.pt"),
        ("train", "extractor.round3.pt"),
        ("valid", "extractor.round3.pt"),
    ]
    assert remembered(folder / "extractor.round3.pt")["round"] < 3
    last = remembered(folder / "checkpoint_last.pt")
    assert (last["round"], last["extractor"]) == (3, str(folder / "extractor.round3.pt"))


def test_a_round_goes_on_from_the_best_checkpoint(undisturbed):
    _, log = undisturbed
    loaded = re.findall(r"Loaded checkpoint \S+/(extractor\.round\d\.pt) \(epoch \d+ @ \d+ updates\)", log)
    assert loaded == ["extractor.round2.pt", "extractor.round3.pt"]


def test_extractors_that_are_needed_are_kept_and_the_best_decodes_with_the_right_one(undisturbed, data):
    folder, _ = undisturbed
    needed = {remembered(folder / name)["extractor"] for name in ("checkpoint_best.pt", "checkpoint_last.pt")}
    kept = {str(path) for path in folder.glob("extractor.round*.pt")}
    assert kept == {path for path in needed if "extractor.round" in path}
    output = generate(data, folder / "checkpoint_best.pt", *IEL)
    assert sorted(lines(output, "H")) == list(range(100))


def test_the_hub_reads_with_the_extractor_of_the_round_and_begins_none(undisturbed, data, trained):
    """Its options are those of the training, which was given the first round's."""
    folder, _ = undisturbed
    first = str(trained("transformer", "baseline")[0])
    assert torch.load(folder / "checkpoint_last.pt")["cfg"]["task"]["attn_model"] == first
    _, task = load(folder / "checkpoint_last.pt", data)
    assert task.extractor().path == str(folder / "extractor.round3.pt")
    written = (folder / "bootstrapping.json").stat().st_mtime_ns
    task.load_dataset("train")
    assert not isinstance(task.dataset("train"), AttnEnhancedDataset)
    assert (folder / "bootstrapping.json").stat().st_mtime_ns == written
    path = str(folder / "checkpoint_last.pt")
    for asked in (str(folder / "checkpoint_best.pt"), first):
        for other in ({"data": str(data), "attn_model": asked}, {"task": {"data": str(data), "attn_model": asked}}):
            _, _, task = checkpoint_utils.load_model_ensemble_and_task([path], other)
            assert task.extractor().path == asked


@pytest.mark.parametrize("model", ["FILE", "self"])
def test_a_round_loads_other_sets_as_they_were_loaded_and_forgets_the_earlier_ones(data, trained, tmp_path, model):
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(file)
        if file.name.startswith("test."):
            (tmp_path / file.name.replace("test.", "valid1.")).symlink_to(file)
    baseline = trained("transformer", "baseline")[0]
    words = [
        *training(tmp_path, tmp_path / "save"),
        *MODELS["transformer"],
        *IEL,
        "--bootstrap-rounds",
        2,
    ]
    words += ["--finetune-from-model", baseline, "--attn-model", {"FILE": baseline}.get(model, model)]
    parser = fairseq_options.get_training_parser()
    cfg = convert_namespace_to_omegaconf(fairseq_options.parse_args_and_arch(parser, [str(word) for word in words]))
    task = tasks.setup_task(cfg.task)
    task.load_dataset("valid", combine=True)
    both = len(task.dataset("valid"))
    assert both > 100
    earlier = task.dataset("valid")
    task.get_batch_iterator(earlier, max_sentences=8)
    task.enhancement = replace(task.enhancement, extractor_sha256="0" * 64)  # as if of the round before
    task.load_dataset("train", combine=True)
    assert len(task.dataset("valid")) == both
    assert task.dataset("valid") is not earlier
    assert set(task.dataset_to_epoch_iter) <= set(task.datasets.values())
    iterator = task.get_batch_iterator(task.dataset("train"), max_sentences=8, num_workers=1)
    kept = (iterator.persistent_workers, iterator.reuse_dataloader)
    assert kept == (False, False)  # each epoch has an iterator of its own, whose workers would stay


def test_the_same_command_again_changes_nothing(undisturbed, data, trained):
    folder, _ = undisturbed
    before = record(folder), torch.load(folder / "checkpoint_last.pt")["model"]
    log = train(data, folder, *options(trained("transformer", "baseline")[0], folder.parent / "stores"))
    assert "begin training epoch" not in log
    after = record(folder), torch.load(folder / "checkpoint_last.pt")["model"]
    assert before[0] == after[0]
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_checkpoints_that_were_brought_without_their_record_are_one_line(undisturbed, data, trained, tmp_path):
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        (tmp_path / name).symlink_to(undisturbed[0] / name)
    words = options(trained("transformer", "baseline")[0], undisturbed[0].parent / "stores")
    log = train(data, tmp_path, *words, fails=True)
    assert "bootstrapping.json: does not know round 3, which" in log.splitlines()[-1]
    assert "Traceback" not in log
    assert not (tmp_path / "bootstrapping.json").exists()


@pytest.mark.parametrize("killed_at", ["round 1 of 3", pytest.param("begin training epoch 4", marks=pytest.mark.slow)])
def test_killed_and_started_again_it_ends_as_if_undisturbed(undisturbed, data, trained, tmp_path, killed_at):
    """While the second round's attention words are extracted, and in the middle of one of its epochs."""
    baseline, _ = trained("transformer", "baseline")
    command = [BIN / "fairseq-train", *training(data, tmp_path / "save"), *options(baseline, tmp_path / "stores")]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=CPU
    )
    for line in process.stdout:
        if killed_at in line:
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    train(data, tmp_path / "save", *options(baseline, tmp_path / "stores"))
    expected, found = record(undisturbed[0]), record(tmp_path / "save")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["scores"] == theirs["scores"]
        assert ours["best"] == theirs["best"]
        assert ours["changed"] == theirs["changed"]
    weights = torch.load(tmp_path / "save" / "checkpoint_last.pt")["model"]
    undisturbed_weights = torch.load(undisturbed[0] / "checkpoint_last.pt")["model"]
    assert all(torch.equal(weights[name], undisturbed_weights[name]) for name in weights)


def test_two_ranks_read_the_same_round(data, trained, tmp_path):
    """No rank, and no worker process, goes on with the data of an earlier round."""
    baseline, _ = trained("transformer", "baseline")
    rounds = ("--bootstrap-rounds", 2, "--bootstrap-epochs", 1, "--num-workers", 2, *BLEU)
    logs = train_two_ranks(data, tmp_path / "save", *options(baseline, tmp_path / "stores"), *rounds)
    read = [re.findall(r"(train|valid): \S+?([\w.]+) \(SHA-256 (\w+)\) gave ([\d,]+)", log) for log in logs]
    assert read[0] == read[1]
    assert [(split, name) for split, name, *_ in read[0][-2:]] == [
        ("train", "extractor.round2.pt"),
        ("valid", "extractor.round2.pt"),
    ]
    assert [each["number"] for each in record(tmp_path / "save")] == [1, 2]
    assert remembered(tmp_path / "save" / "checkpoint_last.pt")["round"] == 2


def test_rounds_over_several_data_folders_begin_once_each(data, trained, tmp_path):
    """Though fairseq loads a folder's data in each epoch, and the last checkpoint may be of the round before."""
    (tmp_path / "more").mkdir()
    for file in data.glob("train.*"):
        (tmp_path / "more" / file.name).symlink_to(file)
    baseline, _ = trained("transformer", "baseline")
    words = (*options(baseline, tmp_path / "stores"), "--bootstrap-rounds", 2, "--save-interval", 2)
    log = train(f"{data}:{tmp_path / 'more'}", tmp_path / "save", *words)
    what = r"begin training epoch \d|Loaded checkpoint \S+/extractor\.round\d|train: \S+round\d.pt .* gave"
    happened = [found if "gave" not in found else "train" for found in re.findall(what, log)]
    folder = str(tmp_path / "save")
    assert happened == [
        *("begin training epoch 1", "begin training epoch 2"),
        *("train", f"Loaded checkpoint {folder}/extractor.round2", "begin training epoch 3"),
        *("train", "begin training epoch 4"),
    ]


def test_one_model_for_both_passes_needs_no_second_file(data, trained, tmp_path):
    """``--attn-model self``, on a mixture; rounds with a new optimizer each; BLEU chooses, and is that of decoding."""
    baseline, _ = trained("transformer", "baseline")
    log = train(
        *(data, tmp_path / "save", *options(baseline, tmp_path / "stores")),
        *("--bootstrap-restart", "--bootstrap-rounds", 2, "--bootstrap-epochs", 1),
        *("--attn-model", "self", "--attn-dropout", 0.3, *BLEU, "--eval-bleu-args", '{"beam": 5}'),
    )
    first, second = (int(count) for count in re.findall(r"\| train \| epoch \d+ \|.* num_updates (\d+)", log))
    assert second < 1.2 * first  # the second counts from the start
    assert re.findall(r"(train|valid): \S+ \(SHA", log) == ["train", "train"]
    assert not list((tmp_path / "save").glob("extractor*"))
    scores = [score for each in record(tmp_path / "save") for score in each["scores"].values()]
    summed_up = re.findall(r"round \d of 2: bleu ([\d.]+), loss [\d.]+; extractor", log)
    assert summed_up == [f"{score:.4g}" for score in scores]
    best = tmp_path / "save" / "checkpoint_best.pt"
    assert remembered(best)["reads_itself"] is True
    output = generate(data, best, *IEL, "--gen-subset", "valid")
    targets = [fields[0].replace("<<unk>>", "UNKNOWNREF").split() for _, fields in sorted(lines(output, "T").items())]
    assert max(scores) == pytest.approx(bleu(output, targets), abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bootstrap-rounds", 0), "--bootstrap-rounds 0: it is at least 1"),
        (("--bootstrap-epoch-patience", -1), "--bootstrap-epoch-patience -1: it is at least 0"),
        (("--disable-validation",), "--disable-validation: a round reads the best checkpoint of those before; leave"),
        (
            ("--validate-after-updates", 9),
            "--validate-after-updates: a round reads the best checkpoint of those before",
        ),
        (("--no-save",), "--no-save: a round reads the best checkpoint of those before; leave the option out"),
        (("--no-save-optimizer-state",), "--no-save-optimizer-state: a round goes on with the optimizer of the best"),
        (
            ("--validate-interval", 3),
            "--save-interval 1, --validate-interval 3: a round reads the best checkpoint of those before",
        ),
        (("--save-interval", 3), "no epoch of the first, which has 2, has both; give less, or more --bootstrap-epochs"),
        (("--best-checkpoint-metric", "bleu"), "--best-checkpoint-metric bleu: it is measured with --eval-bleu only"),
        (
            ("--best-checkpoint-metric", "bleu", "--eval-bleu"),
            "--best-checkpoint-metric bleu: each round would read the worst model; add --maximize-best-checkpoint",
        ),
        (
            ("--best-checkpoint-metric", "accuracy", "--bootstrap-epochs", 1),
            "--best-checkpoint-metric accuracy: validation gives loss, nll_loss, ",
        ),
        (("--bootstrap-rounds", 1), "--bootstrap-epochs: it does nothing without --bootstrap-rounds"),
        (
            ("--bootstrap-rounds", 1, "--bootstrap-epochs", 1, "--bootstrap-restart"),
            "--bootstrap-restart: it does nothing without --bootstrap-rounds",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(data, trained, tmp_path, words, message):
    baseline, _ = trained("transformer", "baseline")
    log = train(data, tmp_path / "save", *options(baseline, tmp_path / "stores"), *words, fails=True)
    assert message in log.splitlines()[-1]
    assert "Traceback" not in log
