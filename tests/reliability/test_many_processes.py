"""Several processes do what one does; when one of them is killed, the others take over, or end and say so."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from artefacts import artefacts
from commands import one_of_two_ranks
from disturbed_commands import COMMANDS
from forked import ForkedCommand, run_forked

pytestmark = pytest.mark.slow

OURS = ("--dropout", "0", "--max-epoch", "2", "--no-epoch-checkpoints")
"""Without dropout: its random numbers are those of a rank."""


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "work"  # the same for all runs: checkpoints hold its name
    folder.mkdir()
    return folder


def start_two_ranks(words: list[str], folder: Path) -> list[ForkedCommand]:
    together = [*words, *one_of_two_ranks()]
    return [ForkedCommand("fairseq-train", [*together, "--distributed-rank", str(rank)], folder) for rank in range(2)]


def finish_two_ranks(words: list[str], folder: Path) -> None:
    for rank in start_two_ranks(words, folder):
        assert rank.wait(300) == 0, rank.output[-3000:] + rank.error[-3000:]


def begin_anew(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def stores(folder: Path) -> dict[str, bytes]:
    found = folder.glob("stores/*/positions.*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "saved/checkpoint_last.pt")["model"]


def test_two_ranks_train_as_one_that_takes_both_their_batches(names, folder):
    words = [*COMMANDS["fine-tuning"].arguments(names), *OURS]
    run_forked("fairseq-train", [*words, "--update-freq", "2"], folder)
    one, stored = weights(folder), stores(folder)
    begin_anew(folder)
    finish_two_ranks(words, folder)
    assert len(stored) == 4
    assert stores(folder) == stored
    for name, weight in weights(folder).items():
        torch.testing.assert_close(weight, one[name], rtol=0, atol=1e-4)


def test_two_ranks_bootstrap_as_one_that_takes_both_their_batches(names, folder):
    words = [*COMMANDS["bootstrapping"].arguments(names), *OURS, "--bootstrap-epochs", "1"]
    run_forked("fairseq-train", [*words, "--update-freq", "2"], folder)
    one, rounds = weights(folder), json.loads((folder / "saved/bootstrapping.json").read_text())["rounds"]
    content = sorted(stores(folder).values())
    begin_anew(folder)
    finish_two_ranks(words, folder)
    assert sorted(stores(folder).values()) == content  # of round 2, too: no attention word hangs on the last bit
    for name, weight in weights(folder).items():
        torch.testing.assert_close(weight, one[name], rtol=0, atol=1e-4)
    again = json.loads((folder / "saved/bootstrapping.json").read_text())["rounds"]
    assert [each["changed"] for each in again] == [each["changed"] for each in rounds]
    assert [list(each["scores"]) for each in again] == [list(each["scores"]) for each in rounds]
    assert [list(each["scores"]) for each in rounds][:2] == [["1"], ["2"]]


@pytest.mark.parametrize("name", ["fine-tuning", "bootstrapping"])
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("moment", ["attention words for", "begin training epoch 3"])
def test_when_a_rank_is_killed_the_other_says_so_and_both_go_on_when_started_again(names, folder, name, victim, moment):
    words = [*COMMANDS[name].arguments(names), "--max-epoch", "4", "--log-format", "simple"]
    finish_two_ranks(words, folder)
    expected = artefacts(folder)
    begin_anew(folder)
    ranks = start_two_ranks(words, folder)
    while moment not in ranks[0].error and ranks[0].wait(0.05) is None:
        pass
    ranks[victim].kill()
    killed = time.monotonic()
    other = ranks[1 - victim]
    assert other.wait(60) == 1, other.error[-3000:]
    assert time.monotonic() - killed < 60
    assert "Traceback" not in other.error
    assert "iel_fairseq: error: another rank has ended, or cannot be reached" in other.error.splitlines()[-1]
    finish_two_ranks(words, folder)
    found = artefacts(folder)
    assert found == expected, sorted(found ^ expected)[:20]


def test_when_a_rank_is_killed_in_the_extraction_the_other_finishes_it_before_it_ends(names, folder):
    """What was extracted is kept: the next start reads it from the store."""
    words = [
        names["many"],
        *COMMANDS["fine-tuning"].arguments(names)[1:],
        "--disable-validation",
        "--max-tokens",
        "8000",
        "--max-update",
        "3",
    ]
    ranks = start_two_ranks(words, folder)
    shards = folder / "stores"
    while not list(shards.glob("*/shards/*.npz")):
        assert ranks[0].wait(0.05) is None, ranks[0].error[-3000:]
    ranks[1].kill()
    assert ranks[0].wait(300) == 1, ranks[0].error[-3000:]
    assert "iel_fairseq: error: another rank has ended" in ranks[0].error.splitlines()[-1]
    assert list(shards.glob("*/manifest.json"))
    alone = folder / "alone"
    alone.mkdir()
    COMMANDS["iel extract"].finish(names, alone)
    assert stores(folder) == stores(alone)


@pytest.mark.parametrize("shares", [False, True])
def test_of_four_that_extract_together_one_is_killed(names, folder, shares):
    """Others take over its shard; of a machine that has a share of its own, the next one that is started does."""
    COMMANDS["iel extract"].finish(names, folder)
    expected = artefacts(folder)
    begin_anew(folder)
    words = COMMANDS["iel extract"].arguments(names)
    share = [["--num-shards", "4", "--shard-id", str(number)] if shares else [] for number in range(4)]
    four = [ForkedCommand("iel", [*words, *each], folder) for each in share]
    while not list(folder.glob("stores/*/shards")):
        assert four[0].wait(0.01) is None, four[0].error
    time.sleep(0.3)
    four[0].kill()
    assert four[0].wait(60) == -9, "it had finished"
    for each in four[1:]:
        assert each.wait(300) == 0, each.error[-3000:]
    whole = bool(list(folder.glob("stores/*/manifest.json")))
    assert whole == (not shares)
    if shares:
        assert all("this share is finished" in each.error for each in four[1:])
        COMMANDS["iel extract"].finish(names, folder)
    assert artefacts(folder) == expected
