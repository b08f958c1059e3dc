"""The plan and the record of the rounds (DESIGN line 14); the trainings themselves are in system/."""

from __future__ import annotations

import math
import shutil
from argparse import Namespace

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import ListDataset

from iel_fairseq.bootstrapping import Bootstrapping, NoMoreEpochs, share_of_new
from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.errors import IELError


def positions(*rows: list[int]) -> ListDataset:
    return ListDataset([torch.tensor(row, dtype=torch.int64) for row in rows], np.array([len(row) for row in rows]))


def bootstrapping(save_dir, **options) -> Bootstrapping:
    defaults = {"rounds": 3, "epochs": 2, "epoch_patience": 0, "patience": 0, "restart": False}
    values = {f"bootstrap_{name}": value for name, value in {**defaults, **options}.items()}
    metric = {"best_checkpoint_metric": "bleu", "maximize_best_checkpoint_metric": True}
    return Bootstrapping(Namespace(save_dir=str(save_dir), **values, **metric))


@pytest.fixture
def best(tmp_path, monkeypatch):
    """best(score): as if fairseq had saved a better checkpoint."""

    def save(score: float) -> None:
        state = {"model": {}, "task_state": {}, "cfg": None, "args": None}
        torch.save(
            {**state, "extra_state": {}, "optimizer_history": [], "score": score}, tmp_path / "checkpoint_best.pt"
        )
        monkeypatch.setattr(checkpoint_utils.save_checkpoint, "best", score, raising=False)

    monkeypatch.setattr(checkpoint_utils, "load_checkpoint_to_cpu", lambda path: torch.load(path))
    return save


def test_a_round_lasts_its_epochs_and_reads_what_was_best_when_it_began(tmp_path, best):
    plan = bootstrapping(tmp_path)
    assert [plan.enter(epoch, "base.pt") for epoch in (1, 2)] == [True, False]
    assert (plan.number, plan.extractor) == (1, None)
    best(20.0)
    assert plan.enter(3, "base.pt")
    best(30.0)
    assert not plan.enter(4, "base.pt")
    assert (plan.number, plan.extractor) == (2, str(tmp_path / "extractor.round2.pt"))
    assert torch.load(plan.extractor)["score"] == 20.0
    assert plan.enter(5, "base.pt")
    assert torch.load(plan.extractor)["score"] == 30.0
    assert not plan.enter(6, "base.pt")
    assert not plan.over
    assert not plan.enter(7, "base.pt")
    assert plan.over
    assert [(each.number, each.first_epoch, each.best) for each in plan.record.rounds] == [
        (1, 1, None),
        (2, 3, 20.0),
        (3, 5, 30.0),
    ]


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_restart_finds_the_round_that_had_begun(tmp_path, best, epoch):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    plan.note_changed(0.25)
    (tmp_path / "checkpoint_last.pt").touch()
    best(30.0)  # within the round
    again = bootstrapping(tmp_path)
    assert again.enter(epoch, "base.pt")
    assert torch.load(again.extractor)["score"] == 20.0
    assert [(each.best, each.changed) for each in again.record.rounds] == [(None, None), (20.0, 0.25)]
    assert (plan.changed, again.changed) == (0.25, 0.25)
    (tmp_path / "checkpoint_last.pt").unlink()
    assert again.enter(5, "base.pt")
    assert again.changed is None  # of this round it is not known yet


def test_patience_counts_rounds_without_a_better_score(tmp_path, best):
    plan = bootstrapping(tmp_path, rounds=20, epochs=1, patience=2)
    begun = []
    for epoch, score in enumerate([None, 20, 21, 21, 22, 22, 22], start=1):
        if score is not None:
            best(score)
        begun.append(plan.enter(epoch, "base.pt"))
    assert begun == [True] * 6 + [False]  # 22 three times: two rounds brought nothing
    assert plan.over


@pytest.mark.parametrize("restarted", [False, True])
def test_a_round_ends_by_its_own_patience(tmp_path, best, restarted):
    """Two epochs without a better score in the round end it; the score of the rounds before does not count."""
    begun = {}
    plan = bootstrapping(tmp_path, rounds=2, epochs=9, epoch_patience=2)
    for epoch, score in enumerate([20, 21, 21, 20.5, 15, 16, 15, 16], start=1):
        if restarted:
            plan = bootstrapping(tmp_path, rounds=2, epochs=9, epoch_patience=2)
        plan.enter(epoch, "base.pt")
        assert not plan.over
        begun[epoch] = plan.number
        plan.note_validation(epoch, {"bleu": score, "loss": 1.0})
        best(score)
        shutil.copy(tmp_path / "checkpoint_best.pt", tmp_path / "checkpoint_last.pt")
    assert begun == {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 7: 2, 8: 2}
    plan.enter(9, "base.pt")
    assert plan.over
    assert [each.first_epoch for each in plan.record.rounds] == [1, 5]


def test_scores_are_recorded_with_their_round_and_summed_up(tmp_path, best):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    plan.note_validation(1, {"bleu": 20.0, "loss": 3.5, "ppl": 9})
    plan.note_validation(2, {"bleu": 19.0, "loss": 3.25, "ppl": 8})
    best(20.0)
    plan.enter(3, "base.pt")
    plan.note_validation(3, {"bleu": 21.5, "loss": 3.0, "ppl": 7})
    plan.note_changed(0.125)
    assert [each.scores for each in plan.record.rounds] == [{"1": 20.0, "2": 19.0}, {"3": 21.5}]
    assert [each.losses for each in plan.record.rounds] == [{"1": 3.5, "2": 3.25}, {"3": 3.0}]
    assert plan.summary(1).startswith("round 1 of 3: bleu 20, loss 3.5; extractor /")
    extractor = tmp_path / "extractor.round2.pt"
    assert plan.summary(2) == (
        f"round 2 of 3: bleu 21.5, loss 3; extractor {extractor}; 12.5% of the attention words changed"
    )


def test_a_training_from_the_start_forgets_an_earlier_one(tmp_path, best):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    again = bootstrapping(tmp_path)  # there is no checkpoint_last.pt
    assert again.enter(1, "other.pt")
    assert [(each.number, each.extractor[-8:]) for each in again.record.rounds] == [(1, "other.pt")]
    assert not list(tmp_path.glob("extractor.*"))


def test_without_a_checkpoint_there_is_no_second_round(tmp_path):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    with pytest.raises(IELError, match=r"checkpoint_best.pt: round 2 reads the best checkpoint so far, and there is"):
        plan.enter(3, "base.pt")


def test_a_damaged_record_is_one_line(tmp_path):
    (tmp_path / "bootstrapping.json").write_text('{"metric": "bleu", "maximize": true, "rounds": [{}]}')
    with pytest.raises(IELError, match="no record of bootstrapping, or a damaged one") as caught:
        Record.read(str(tmp_path / "bootstrapping.json"))
    assert "\n" not in str(caught.value)


def test_share_of_new_words():
    assert share_of_new(positions([1, 2, 3, 3], [1]), positions([1, 2, 2], [1, 4])) == pytest.approx(2 / 5)
    assert share_of_new(positions([1, 2]), positions([1, 2])) == 0
    assert share_of_new(positions([], []), positions([1], [])) == 0


@pytest.mark.parametrize("max_epoch", [1, 1000, math.inf])
def test_fairseqs_loop_ends_at_no_more_epochs(max_epoch):
    epochs = NoMoreEpochs(epoch=7)
    epochs.load_state_dict({"epoch": 7})
    assert not epochs.next_epoch_idx <= max_epoch
    assert (epochs.epoch, len(epochs), list(epochs.next_epoch_itr())) == (7, 0, [])


def test_the_best_of_a_metric_to_be_minimised_is_the_lowest():
    assert Record("loss", False, [Round(1, 1, "base.pt")]).better([3.0, 2.0]) == 2.0
