"""From which checkpoint a training goes on, and what fairseq does not take together."""

from __future__ import annotations

from argparse import Namespace

import pytest

from iel_fairseq.errors import IELError
from iel_fairseq.training_start import check_start, resumed_checkpoint

RESETS = ("dataloader", "lr_scheduler", "meters", "optimizer")


def options(save_dir, **given) -> Namespace:
    defaults = {"finetune_from_model": None, "restore_file": "checkpoint_last.pt", "continue_once": None}
    defaults |= {"checkpoint_suffix": ""}
    return Namespace(save_dir=str(save_dir), **{**defaults, **{f"reset_{name}": False for name in RESETS}, **given})


def test_a_training_is_fine_tuned_from_a_checkpoint_or_goes_on_from_one(tmp_path):
    check_start(options(tmp_path, finetune_from_model="base.pt"))
    check_start(options(tmp_path, restore_file="epoch7.pt", **{f"reset_{name}": True for name in RESETS}))
    with pytest.raises(IELError, match=r"^--restore-file epoch7\.pt: a training goes on from it, or begins with"):
        check_start(options(tmp_path, finetune_from_model="base.pt", restore_file="epoch7.pt"))
    for name in RESETS:
        with pytest.raises(IELError, match=f"^--reset-{name.replace('_', '-')}: fairseq does not take it with"):
            check_start(options(tmp_path, finetune_from_model="base.pt", **{f"reset_{name}": True}))


@pytest.mark.parametrize("option", ["finetune_from_model", "attn_model", "importance_model"])
def test_a_training_writes_not_over_what_it_begins_from(tmp_path, option, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    named = f"--{option.replace('_', '-')}"
    for path in ("checkpoint_best.pt", "./checkpoint3.pt", "link/checkpoint_2_500.pt", "extractor.round3.pt"):
        with pytest.raises(IELError, match=rf"^{named} {path}: the training writes files of such names into --save-d"):
            check_start(options(tmp_path, **{option: path}))
        check_start(options(tmp_path / "own", **{option: path}))
    check_start(options(tmp_path, **{option: "base.pt"}))
    (tmp_path / "checkpoint_last.pt").touch()
    check_start(options(tmp_path, **{option: "checkpoint_best.pt"}))  # it goes on


def test_which_checkpoint_it_is(tmp_path):
    assert resumed_checkpoint(options(tmp_path)) is None
    other = tmp_path / "other.pt"
    assert resumed_checkpoint(options(tmp_path, continue_once=str(other))) is None  # not there
    other.touch()
    assert resumed_checkpoint(options(tmp_path, continue_once=str(other))) == str(other)
    assert resumed_checkpoint(options(tmp_path, restore_file=str(other))) == str(other)
    assert resumed_checkpoint(options(tmp_path, restore_file=str(other), reset_dataloader=True)) is None
    last = tmp_path / "checkpoint_last.pt"
    last.touch()
    assert resumed_checkpoint(options(tmp_path, continue_once=str(other))) == str(last)
    assert resumed_checkpoint(options(tmp_path, checkpoint_suffix="_a")) is None
    suffixed = [tmp_path / name for name in ("checkpoint_last_a.pt", "other_a.pt")]
    for path in suffixed:
        path.touch()
    assert resumed_checkpoint(options(tmp_path, checkpoint_suffix="_a")) == str(suffixed[0])
    assert resumed_checkpoint(options(tmp_path, checkpoint_suffix="_a", restore_file=str(other))) == str(suffixed[1])
