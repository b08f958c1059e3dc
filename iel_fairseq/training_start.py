"""How fairseq begins a training, or goes on with one."""

import os
import re
from dataclasses import dataclass
from typing import Any, Optional  # the spelling that fairseq can read

from fairseq.dataclass import FairseqDataclass
from omegaconf import II

from iel_fairseq.errors import IELError

LAST = "checkpoint_last.pt"
"""What fairseq looks for in the save directory, unless told otherwise."""

WRITTEN = re.compile(r"checkpoint.*\.pt|extractor\.round\d+\.pt")
"""Names of the files that a training writes into it."""


@dataclass
class TrainingStart(FairseqDataclass):
    """fairseq's options that decide it, for the options of a task to inherit."""

    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    continue_once: Optional[str] = II("checkpoint.continue_once")
    checkpoint_suffix: str = II("checkpoint.checkpoint_suffix")
    reset_dataloader: bool = II("checkpoint.reset_dataloader")
    reset_lr_scheduler: bool = II("checkpoint.reset_lr_scheduler")
    reset_meters: bool = II("checkpoint.reset_meters")
    reset_optimizer: bool = II("checkpoint.reset_optimizer")


def check_start(cfg: Any) -> None:
    """Refuse what fairseq does not take together, before any work: it looks when the data have been read.

    Args:
        cfg: options of a training, :class:`TrainingStart` among them

    Raises:
        IELError: a training shall be fine-tuned from one checkpoint, and go on from another one; it would write over
            what it begins from
    """
    if resumed_checkpoint(cfg) is None:
        for option in ("finetune_from_model", "attn_model", "importance_model"):
            path = getattr(cfg, option, None)
            folder, name = os.path.split(path or "")
            if WRITTEN.match(name) and os.path.realpath(folder) == os.path.realpath(cfg.save_dir):
                raise IELError(
                    f"--{option.replace('_', '-')} {path}: the training writes files of such names into --save-dir; "
                    f"give another one"
                )
    if cfg.finetune_from_model is None:
        return
    if cfg.restore_file != LAST:
        raise IELError(
            f"--restore-file {cfg.restore_file}: a training goes on from it, or begins with --finetune-from-model; "
            f"leave one of them out"
        )
    for option in ("dataloader", "lr-scheduler", "meters", "optimizer"):
        if getattr(cfg, f"reset_{option.replace('-', '_')}"):
            raise IELError(
                f"--reset-{option}: fairseq does not take it with --finetune-from-model; leave one of them out"
            )


def resumed_checkpoint(cfg: Any) -> Optional[str]:
    """The checkpoint from which fairseq lets a training with the options *cfg* go on; None: it begins."""
    path: Optional[str] = cfg.restore_file
    path = path.replace(".pt", f"{cfg.checkpoint_suffix}.pt") if path else path
    if cfg.restore_file == LAST:
        path = os.path.join(cfg.save_dir, str(path))
        if not os.path.isfile(path):
            path = cfg.continue_once
    return path if path and os.path.isfile(path) and not cfg.reset_dataloader else None
