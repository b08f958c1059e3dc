"""The plan and the record of the rounds (DESIGN line 14); the trainings themselves are in system/."""

from __future__ import annotations

import json
import math
import shutil
import time
from argparse import Namespace
from unittest.mock import Mock, call

import pytest
import torch
from fairseq import checkpoint_utils

from iel_fairseq.bootstrapping import Bootstrapping, NoMoreEpochs
from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.tasks.attn_enhanced_translation import AttnEnhancedTranslationTask


def bootstrapping(save_dir, **options) -> Bootstrapping:
    defaults = {"rounds": 3, "epochs": 2, "epoch_patience": 0, "patience": 0, "restart": False}
    values = {f"bootstrap_{name}": options.pop(name, default) for name, default in defaults.items()}
    others = {
        **{"best_checkpoint_metric": "bleu", "maximize_best_checkpoint_metric": True, "eval_bleu": True},
        **{"no_save": False, "save_interval": 1, "save_interval_updates": 0, "validate_interval": 1},
        **{"disable_validation": False, "restore_file": "checkpoint_last.pt", "continue_once": None},
        **{"reset_dataloader": False, "checkpoint_suffix": "", "validate_interval_updates": 0, "max_epoch": 0},
        **{"no_save_optimizer_state": False, "validate_after_updates": 0},
    }
    cfg = Namespace(save_dir=str(save_dir), **values, **{**others, **options})
    Bootstrapping.check_options(cfg)
    return Bootstrapping(cfg)


@pytest.fixture
def best(tmp_path, monkeypatch):
    """best(score, extractor): as if fairseq had saved a better checkpoint, whose extractor has that path."""

    def save(score: float, extractor: str | None = None) -> None:
        state = {"model": {}, "task_state": Enhancement(extractor=extractor).to_task_state(), "cfg": None}
        torch.save({**state, "score": score}, tmp_path / "checkpoint_best.pt")
        monkeypatch.setattr(checkpoint_utils.save_checkpoint, "best", score, raising=False)

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


@pytest.mark.parametrize("restart", [False, True])
def test_a_round_goes_on_with_the_best_checkpoints_optimizer_or_with_a_new_one(tmp_path, best, restart):
    plan, trainer = bootstrapping(tmp_path, restart=restart), Mock()
    trainer._local_cumulative_training_time.return_value = 50.0
    for epoch in (1, 2):
        plan.enter(epoch, "base.pt")
        plan.load_best(trainer)
        best(20.0)
    assert not trainer.mock_calls
    for epoch in (3, 4):
        plan.enter(epoch, "base.pt")
        plan.load_best(trainer)
    reset = {"reset_optimizer": restart, "reset_lr_scheduler": restart, "reset_meters": True}
    loaded = call.load_checkpoint(str(tmp_path / "extractor.round2.pt"), **reset)
    [clock, *calls] = trainer.mock_calls
    assert clock == call._local_cumulative_training_time()
    assert calls == [loaded, *([call._build_optimizer(), call.set_num_updates(0)] if restart else [])]
    assert trainer._previous_training_time == 50.0  # not the checkpoint's
    assert time.time() - trainer._start_time < 60


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


def test_a_round_whose_score_grows_goes_on_beyond_its_ninth_epoch(tmp_path, best):
    plan = bootstrapping(tmp_path, rounds=2, epochs=99, epoch_patience=2)
    for epoch in range(1, 13):
        plan.enter(epoch, "base.pt")
        assert (plan.number, plan.over) == (1, False)
        plan.note_validation(epoch, {"bleu": float(epoch), "loss": 1.0})
        best(float(epoch))


def test_a_validation_within_an_epoch_does_not_end_its_round_after_a_restart(tmp_path, best):
    plan = bootstrapping(tmp_path, rounds=2, epochs=99, epoch_patience=2)
    for epoch, score in enumerate([20.0, 19.0, 18.0], start=1):
        plan.enter(epoch, "base.pt")
        plan.note_validation(epoch, {"bleu": score, "loss": 1.0})
    best(20.0)
    shutil.copy(tmp_path / "checkpoint_best.pt", tmp_path / "checkpoint_last.pt")  # of the third epoch, not at its end
    again = bootstrapping(tmp_path, rounds=2, epochs=99, epoch_patience=2)
    again.enter(3, "base.pt")
    assert again.number == 1
    again.enter(4, "base.pt")
    assert again.number == 2


@pytest.mark.parametrize("earlier", [0, 2])
def test_extractors_stay_that_a_restart_goes_through_again(tmp_path, best, earlier):
    """Where no checkpoint has been saved since an earlier round, and none remembers them.

    The first extractor is plain, or of an earlier round of another bootstrapping.
    """
    plan = bootstrapping(tmp_path, rounds=4, epochs=1)
    plan.enter(1, "base.pt")
    best(20.0)
    state = {
        "model": {},
        "task_state": Enhancement(extractor="/base.pt", round=earlier + 1).to_task_state(),
        "cfg": None,
    }
    torch.save(state, tmp_path / "checkpoint_last.pt")
    for epoch in (2, 3, 4):
        plan.enter(epoch, "base.pt")
    assert sorted(path.name for path in tmp_path.glob("extractor*")) == [f"extractor.round{n}.pt" for n in (2, 3, 4)]
    again = bootstrapping(tmp_path, rounds=4, epochs=1)
    again.enter(2, "base.pt")
    assert again.extractor == str(tmp_path / "extractor.round2.pt")


def test_a_training_that_goes_on_from_another_file_goes_on_with_its_rounds(tmp_path, best):
    """``--restore-file``; but with ``--reset-dataloader`` it begins anew."""
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    for cfg, number in (({"restore_file": "checkpoint_best.pt"}, 2), ({"continue_once": "checkpoint_best.pt"}, 2)):
        again = bootstrapping(tmp_path)
        vars(again._cfg).update({name: str(tmp_path / file) for name, file in cfg.items()})
        again.enter(4, "base.pt")
        assert again.number == number
        assert len(again.record.rounds) == 2
    again._entered, again._cfg.reset_dataloader = False, True
    again.enter(1, "base.pt")
    assert [each.number for each in again.record.rounds] == [1]


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


@pytest.mark.parametrize("maximize", [True, False])
def test_of_several_validations_in_an_epoch_the_best_is_recorded(tmp_path, maximize):
    plan = bootstrapping(tmp_path, epoch_patience=1)
    plan._cfg.maximize_best_checkpoint_metric = maximize
    plan.enter(1, "base.pt")
    for score, loss in ((20.0, 4.0), (30.0, 3.0), (20.0, 2.0), (30.0, 1.0)):
        plan.note_validation(1, {"bleu": score, "loss": loss})
    [only] = plan.record.rounds
    assert (only.scores, only.losses) == (({"1": 30.0}, {"1": 3.0}) if maximize else ({"1": 20.0}, {"1": 4.0}))


def test_a_round_that_is_not_recorded_cannot_be_resumed(tmp_path, best):
    """Its checkpoint alone was brought from another machine."""
    plan = bootstrapping(tmp_path)
    for number in (0, 1):  # of a training on plain sources, or on attention words without bootstrapping
        plan.resume("last.pt", number)
        assert plan.weights_of == 1
    for begun in ((), (1,)):
        for epoch in begun:
            plan.enter(epoch, "base.pt")
        with pytest.raises(IELError, match=r"bootstrapping.json: does not know round 2, which last.pt is of; bring"):
            plan.resume("last.pt", 2)
    best(20.0)
    plan.enter(3, "base.pt")
    again = bootstrapping(tmp_path)
    again.resume("last.pt", 2)
    assert again.weights_of == 2


def test_extractors_are_found_whatever_the_save_directory_is_called(tmp_path):
    folder = tmp_path / "run[1]"
    folder.mkdir()
    (folder / "extractor.round2.pt").touch()  # of an earlier training
    bootstrapping(folder).enter(1, "base.pt")
    assert not list(folder.glob("extractor.*"))


def test_a_training_from_the_start_forgets_an_earlier_one(tmp_path, best):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    again = bootstrapping(tmp_path)  # there is no checkpoint_last.pt
    assert again.enter(1, "other.pt")
    assert [(each.number, each.extractor[-8:]) for each in again.record.rounds] == [(1, "other.pt")]
    assert not list(tmp_path.glob("extractor.*"))


@pytest.mark.parametrize("before", ["", "/where/the/folder/was/"])
def test_an_extractor_that_a_checkpoint_needs_is_known_by_its_name(tmp_path, best, before):
    """The save directory may have been moved, or be named by way of a link."""
    plan = bootstrapping(tmp_path, rounds=4)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    best(30.0, f"{before or tmp_path}/extractor.round2.pt")
    plan.enter(5, "base.pt")
    (tmp_path / "checkpoint_best.pt").rename(tmp_path / "averaged.pt")
    best(40.0)
    plan.enter(7, "base.pt")
    assert sorted(path.name for path in tmp_path.glob("extractor.*")) == ["extractor.round2.pt", "extractor.round4.pt"]
    again = bootstrapping(tmp_path, rounds=4)  # there is no checkpoint_last.pt
    again.enter(1, "base.pt")
    assert sorted(path.name for path in tmp_path.glob("extractor.*")) == ["extractor.round2.pt"]
    best(25.0)
    again.enter(3, "base.pt")
    assert torch.load(again.extractor)["score"] == 25.0


def test_a_checkpoint_that_cannot_be_read_costs_no_extractor(tmp_path, best, caplog):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(3, "base.pt")
    (tmp_path / "checkpoint7.pt").write_text("half a file")
    plan.enter(5, "base.pt")
    assert sorted(path.name for path in tmp_path.glob("extractor.*")) == ["extractor.round2.pt", "extractor.round3.pt"]
    assert "checkpoint7.pt: not a readable fairseq checkpoint" in caplog.text


def test_without_a_checkpoint_there_is_no_second_round(tmp_path):
    plan = bootstrapping(tmp_path)
    plan.enter(1, "base.pt")
    with pytest.raises(IELError, match=r"checkpoint_best.pt: round 2 reads the best checkpoint so far, and there is"):
        plan.enter(3, "base.pt")


def test_of_several_validation_sets_the_first_scores_a_round(tmp_path):
    for language in ("src", "tgt"):
        (tmp_path / f"dict.{language}.txt").write_text("w 1\n")
    task, noted = AttnEnhancedTranslationTask.of_data_folder(str(tmp_path), "src", "tgt"), []
    task._bootstrapping = Namespace(note_validation=lambda *results: noted.append(results))
    for epoch in (3, 4):
        task.begin_valid_epoch(epoch, None)
        task.post_validate(None, {"loss": 2.0}, None)
        task.post_validate(None, {"loss": 1.0}, None)
    assert noted == [(3, {"loss": 2.0}), (4, {"loss": 2.0})]


ROUND = {"number": 1, "first_epoch": 1, "extractor": "a.pt", "best": None, "changed": None, "scores": {}, "losses": {}}


@pytest.mark.parametrize(
    "rounds",
    [
        [{}],
        [{**ROUND, "number": 2}],
        [ROUND, {**ROUND, "number": 2}],  # from the same epoch
        [{**ROUND, "scores": {"1": 2.0}}],  # whose loss is not there
        [{**ROUND, "scores": {"x": 2.0}, "losses": {"x": 1.0}}],
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, rounds):
    record = {"metric": "bleu", "maximize": True}
    (tmp_path / "bootstrapping.json").write_text(json.dumps({**record, "rounds": [ROUND]}))
    assert Record.read(str(tmp_path / "bootstrapping.json")).rounds[0].extractor == "a.pt"
    (tmp_path / "bootstrapping.json").write_text(json.dumps({**record, "rounds": rounds}))
    with pytest.raises(IELError, match="no record of bootstrapping, or a damaged one") as caught:
        Record.read(str(tmp_path / "bootstrapping.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("max_epoch", [1, 1000, math.inf])
def test_fairseqs_loop_ends_at_no_more_epochs(max_epoch):
    epochs = NoMoreEpochs(epoch=7)
    epochs.load_state_dict({"epoch": 7})
    assert not epochs.next_epoch_idx <= max_epoch
    assert (epochs.epoch, len(epochs), list(epochs.next_epoch_itr())) == (7, 0, [])


def test_the_best_of_a_metric_to_be_minimised_is_the_lowest():
    assert Record("loss", False, [Round(1, 1, "base.pt")]).better([3.0, 2.0]) == 2.0


def test_a_round_may_save_within_its_epochs(tmp_path):
    for intervals in ({"save_interval": 3}, {"validate_interval": 3}, {"save_interval": 2, "validate_interval": 3}):
        with pytest.raises(IELError, match=r"no epoch of the first, which has \d, has both; give less, or more"):
            bootstrapping(tmp_path, epochs=max(intervals.values()) - (len(intervals) == 1), **intervals)
    bootstrapping(tmp_path, epochs=6, save_interval=2, validate_interval=3)
    bootstrapping(tmp_path, save_interval=3, save_interval_updates=100)


def test_what_a_round_ends_with_is_saved(tmp_path):
    with pytest.raises(IELError, match=r"^--bootstrap-epoch-patience 1: .* that divides --validate-interval 2$"):
        bootstrapping(tmp_path, epochs=6, epoch_patience=1, save_interval=4, validate_interval=2)
    bootstrapping(tmp_path, epochs=6, epoch_patience=1, save_interval=2, validate_interval=4)


@pytest.mark.parametrize(("validate", "save", "refused"), [(4, 0, True), (4, 8, True), (4, 4, False), (8, 4, False)])
def test_a_score_of_a_round_is_that_of_a_checkpoint(tmp_path, validate, save, refused):
    options = {"validate_interval_updates": validate, "save_interval_updates": save}
    if not refused:
        bootstrapping(tmp_path, **options)
        return
    with pytest.raises(IELError, match=r"--validate-interval-updates 4: .* give --save-interval-updates 4, too$"):
        bootstrapping(tmp_path, **options)


def test_another_name_of_the_best_checkpoint_is_refused(tmp_path):
    with pytest.raises(IELError, match=r"--checkpoint-suffix _x: a round reads checkpoint_best\.pt; leave"):
        bootstrapping(tmp_path, checkpoint_suffix="_x")


def test_no_round_begins_after_the_last_epoch(tmp_path, best, caplog):
    caplog.set_level("INFO")
    plan = bootstrapping(tmp_path, max_epoch=2)
    plan.enter(1, "base.pt")
    best(20.0)
    plan.enter(2, "base.pt")
    assert not plan.over
    assert not plan.enter(3, "base.pt")
    assert plan.over
    assert "--max-epoch 2: over in round 1 of 3" in caplog.text
    assert not (tmp_path / "extractor.round2.pt").exists()
    (tmp_path / "checkpoint_last.pt").touch()
    more = bootstrapping(tmp_path, max_epoch=4)
    assert more.enter(3, "base.pt")
    assert (more.number, more.over) == (2, False)
