"""Rounds of bootstrapping (paper, section 4.3): extract with the best model so far, fine-tune it on what it found.

A round lasts a number of epochs, or until its score grows no more. What a restarted training needs to know of the
rounds lies in the save directory, and nowhere else::

    bootstrapping.json         a record for each round that has begun
    extractor.round3.pt        the extractor of round 3: the best checkpoint when that round began
"""

from __future__ import annotations

import glob
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, TypeVar

import torch.distributed
from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterating
from fairseq.distributed.utils import get_global_rank
from fairseq.file_io import PathManager

from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.config import AttnEnhancedTranslationConfig
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.files import writing
from iel_fairseq.json_data import write_json
from iel_fairseq.training_start import resumed_checkpoint

logger = logging.getLogger(__name__)

Decision = TypeVar("Decision")


class Bootstrapping:
    """The rounds of a training: their plan, where it stands, and their record."""

    def __init__(self, cfg: AttnEnhancedTranslationConfig):
        """
        Args:
            cfg: the options of a training with more than one round
        """
        self._cfg = cfg
        self.number = 1
        """The round that the data are of."""
        self.weights_of = 1
        """The round that the model's weights are of."""
        self.changed: float | None = None
        """Share of the training set's attention words that are new in the current round; None when not known."""
        self.over = False
        """Whether the last round has ended."""
        self._entered = False

    @staticmethod
    def check_options(cfg: AttnEnhancedTranslationConfig) -> None:
        """
        Args:
            cfg: the options of a training, with one round or more

        Raises:
            IELError: options that do nothing with one round, or with which no round can end well
        """
        if cfg.bootstrap_rounds == 1:
            for name, default in (("epochs", 1), ("epoch_patience", 0), ("patience", 0), ("restart", False)):
                if getattr(cfg, f"bootstrap_{name}") != default:
                    raise IELError(f"--bootstrap-{name.replace('_', '-')}: it does nothing without --bootstrap-rounds")
            return
        for name, least in (("rounds", 1), ("epochs", 1), ("epoch_patience", 0), ("patience", 0)):
            value = getattr(cfg, f"bootstrap_{name}")
            if value < least:
                raise IELError(f"--bootstrap-{name.replace('_', '-')} {value}: it is at least {least}")
        if cfg.best_checkpoint_metric == "bleu":
            if not cfg.eval_bleu:
                raise IELError("--best-checkpoint-metric bleu: it is measured with --eval-bleu only; add that")
            if not cfg.maximize_best_checkpoint_metric:
                raise IELError(
                    "--best-checkpoint-metric bleu: each round would read the worst model; "
                    "add --maximize-best-checkpoint-metric"
                )
        for option in ("no_save", "disable_validation", "validate_after_updates"):
            if getattr(cfg, option):
                raise IELError(
                    f"--{option.replace('_', '-')}: a round reads the best checkpoint of those before; "
                    f"leave the option out"
                )
        if cfg.no_save_optimizer_state and not cfg.bootstrap_restart:
            raise IELError(
                "--no-save-optimizer-state: a round goes on with the optimizer of the best checkpoint; "
                "leave the option out, or add --bootstrap-restart"
            )
        if cfg.checkpoint_suffix:
            raise IELError(
                f"--checkpoint-suffix {cfg.checkpoint_suffix}: a round reads checkpoint_best.pt; leave the option out"
            )
        validated, saved = cfg.validate_interval_updates, cfg.save_interval_updates
        if validated > 0 and (saved <= 0 or validated % saved):
            raise IELError(
                f"--validate-interval-updates {validated}: the scores of a round are those of checkpoints; "
                f"give --save-interval-updates {validated}, too"
            )
        both = math.lcm(cfg.save_interval, cfg.validate_interval)
        if cfg.save_interval_updates <= 0 and both > cfg.bootstrap_epochs:
            raise IELError(
                f"--save-interval {cfg.save_interval}, --validate-interval {cfg.validate_interval}: a round reads the "
                f"best checkpoint of those before, and no epoch of the first, which has {cfg.bootstrap_epochs}, "
                f"has both; give less, or more --bootstrap-epochs"
            )
        if cfg.bootstrap_epoch_patience > 0 and cfg.validate_interval % cfg.save_interval:
            raise IELError(
                f"--bootstrap-epoch-patience {cfg.bootstrap_epoch_patience}: a round may end after any validation, and "
                f"the next one goes on from what is saved; give a --save-interval that divides --validate-interval "
                f"{cfg.validate_interval}"
            )

    def enter(self, epoch: int, first_extractor: str) -> bool:
        """Make the round that *epoch* belongs to the current one.

        Args:
            epoch: from 1
            first_extractor: the first round's

        Returns:
            whether that is another round than before, or the first since the start: its data must be loaded

        Raises:
            IELError: there is no checkpoint for the round to read
        """
        number, self.over = _as_the_first_rank_decides(lambda: self._round_at(epoch, first_extractor))
        if self.over or (self._entered and number == self.number):
            return False
        self.number, self._entered = number, True
        self.changed = _as_the_first_rank_decides(lambda: self.record.round(number).changed)
        return True

    def _round_at(self, epoch: int, first_extractor: str) -> tuple[int, bool]:
        """The round that *epoch* belongs to, which begins if it has not begun, or else whether the last has ended."""
        if not self._entered and resumed_checkpoint(self._cfg) is None:
            self._forget_an_earlier_training()
        number = self._number_at(epoch)
        if 0 < self._cfg.max_epoch < epoch:  # fairseq looks when it has the data of the epoch
            begun = len(self.record.rounds)
            logger.info(f"--max-epoch {self._cfg.max_epoch}: over in round {begun} of {self._cfg.bootstrap_rounds}")
            return number, True
        if number in [each.number for each in self.record.rounds]:
            return number, False
        if number > 1:
            logger.info(self.summary(number - 1))
            self._remove_extractors_that_nothing_needs(number)
        best = getattr(checkpoint_utils.save_checkpoint, "best", None)  # where fairseq keeps it
        over = number > self._cfg.bootstrap_rounds or self._helps_no_more(number, best)
        if not over:
            self._begin(number, epoch, best, first_extractor)
        return number, over

    @property
    def extractor(self) -> str | None:
        """The extractor of the current round; None for the first round, whose extractor is given."""
        return self._extractor(self.number) if self.number > 1 else None

    def resume(self, last: str, number: int) -> None:
        """Go on with a training.

        Args:
            last: the checkpoint that it goes on from
            number: the round that its weights are of; 0: of none

        Raises:
            IELError: that round is not in the record
        """
        number = max(1, number)  # without bootstrapping there was one round, and no record
        if number > max(1, len(self.record.rounds)):
            raise IELError(
                f"{self._file('bootstrapping.json')}: does not know round {number}, which {last} is of; bring the file "
                f"along, and each extractor.round*.pt, or begin anew in another --save-dir"
            )
        self.weights_of = number

    def load_best(self, trainer: Any) -> None:
        """When a round begins, go on from the weights of its extractor, the best so far.

        Args:
            trainer: fairseq's, at the beginning of an epoch
        """
        if self.weights_of >= self.number:
            return
        restart, seconds = self._cfg.bootstrap_restart, trainer._local_cumulative_training_time()
        trainer.load_checkpoint(
            self._extractor(self.number), reset_optimizer=restart, reset_lr_scheduler=restart, reset_meters=True
        )
        # Not that of the checkpoint: what came after it, this round's extraction as well, has taken its time.
        trainer._previous_training_time, trainer._start_time = seconds, time.time()
        if restart:
            trainer._build_optimizer()
            trainer.set_num_updates(0)
        self.weights_of = self.number

    # --- the record ------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """What has been recorded so far.

        Raises:
            IELError: it is damaged
        """
        path = self._file("bootstrapping.json")
        if os.path.exists(path):
            return Record.read(path)
        return Record(self._cfg.best_checkpoint_metric, self._cfg.maximize_best_checkpoint_metric, [])

    def note_changed(self, changed: float) -> None:
        """Record what share of the training set's attention words is new in the current round."""
        self.changed = changed
        self._note(self.number, lambda noted: replace(noted, changed=changed))

    def note_validation(self, epoch: int, results: dict[str, Any]) -> None:
        """Record the validation in *epoch*, which belongs to the current round; of several in it, the best.

        Args:
            epoch: from 1
            results: as fairseq reports them, the loss among them

        Raises:
            IELError: the checkpoint metric is not among them
        """
        metric = self._cfg.best_checkpoint_metric
        if metric not in results:
            raise IELError(f"--best-checkpoint-metric {metric}: validation gives {', '.join(results)}; choose of these")
        score, loss = float(results[metric]), float(results["loss"])

        def noted(before: Round) -> Round:
            earlier = before.scores.get(str(epoch))
            if earlier is not None and self.record.better([earlier, score]) == earlier:
                return before
            return replace(
                before, scores={**before.scores, str(epoch): score}, losses={**before.losses, str(epoch): loss}
            )

        self._note(self.number, noted)

    def summary(self, number: int) -> str:
        """One line about round *number*, which has ended."""
        record = self.record
        ended = record.round(number)
        score = "no score"
        if ended.scores:
            best = record.better(ended.scores.values())
            score = f"{record.metric} {best:.4g}"
            if record.metric != "loss":
                epoch = next(epoch for epoch, each in ended.scores.items() if each == best)
                score += f", loss {ended.losses[epoch]:.4g}"
        changed = "" if ended.changed is None else f"; {ended.changed:.1%} of the attention words changed"
        return f"round {number} of {self._cfg.bootstrap_rounds}: {score}; extractor {ended.extractor}{changed}"

    def _note(self, number: int, noted: Callable[[Round], Round]) -> None:
        if get_global_rank() == 0:
            self._write([noted(each) if each.number == number else each for each in self.record.rounds])

    def _write(self, rounds: list[Round]) -> None:
        record = asdict(replace(self.record, rounds=rounds))
        with writing(self._cfg.save_dir):
            os.makedirs(self._cfg.save_dir, exist_ok=True)
            write_json(self._file("bootstrapping.json"), record)

    # --- the beginning of a round ----------------------------------------------------------------------------------

    def _number_at(self, epoch: int) -> int:
        begun = [each for each in self.record.rounds if each.first_epoch <= epoch]
        if not begun:
            return 1
        return begun[-1].number + self._has_ended(begun[-1], epoch)

    def _has_ended(self, current: Round, epoch: int) -> bool:
        """Whether *epoch* is too late for the round *current*."""
        patience = self._cfg.bootstrap_epoch_patience
        scores = [current.scores[each] for each in sorted(current.scores, key=int) if int(each) < epoch]
        brought_nothing = len(scores) - 1 - scores.index(self.record.better(scores)) if scores else 0
        return epoch - current.first_epoch >= self._cfg.bootstrap_epochs or 0 < patience <= brought_nothing

    def _helps_no_more(self, number: int, best: float | None) -> bool:
        """Whether the rounds before *number*, as many as the patience, have not bettered the score *best*."""
        patience = self._cfg.bootstrap_patience
        record = self.record
        earlier = [each.best for each in record.rounds if each.number == number - patience]
        if not patience or not earlier or earlier[0] is None or best is None:
            return False
        return record.better([best, earlier[0]]) == earlier[0]

    def _forget_an_earlier_training(self) -> None:
        with suppress(FileNotFoundError):
            os.remove(self._file("bootstrapping.json"))
        self._remove_extractors_that_nothing_needs(1)

    def _begin(self, number: int, epoch: int, best: float | None, first_extractor: str) -> None:
        extractor = self._extractor(number)
        if number == 1:
            extractor = os.path.abspath(first_extractor)
        else:
            best_checkpoint = self._file("checkpoint_best.pt")
            if not os.path.exists(best_checkpoint):
                raise IELError(
                    f"{best_checkpoint}: round {number} reads the best checkpoint so far, and there is none; "
                    f"bootstrapping needs a validation set, and checkpoints that are saved"
                )
            PathManager.copy(best_checkpoint, extractor)  # fairseq writes over its own files
        before = [each for each in self.record.rounds if each.number < number]
        self._write([*before, Round(number, epoch, extractor, best)])

    def _remove_extractors_that_nothing_needs(self, number: int) -> None:
        """Remove those that no checkpoint in the save directory remembers, but not that of round *number*, nor those of
        rounds that a restart would go through again."""
        extractors = set(self._extractors())
        removable = extractors - {self._extractor(number)}
        if not removable:
            return
        # Averaged ones, of any name, among them.
        checkpoints = set(glob.glob(os.path.join(glob.escape(self._file("")), "*.pt"))) - extractors
        try:
            remembered = [Enhancement.from_checkpoint(checkpoint) for checkpoint in checkpoints]
            last = resumed_checkpoint(self._cfg)
            begun = number if last is None else self._round_of(Enhancement.from_checkpoint(last))
        except IELError as error:
            logger.warning(f"{error}; all extractors of earlier rounds stay")
            return
        # By their names: the save directory may have been moved, or have another path as well.
        needed = [each.extractor for each in remembered if each.extractor is not None and not each.reads_itself]
        kept = {self._file(os.path.basename(extractor)) for extractor in needed}
        kept |= {self._extractor(each) for each in range(begun + 1, number)}
        for path in sorted(removable - kept):
            logger.info(f"{path}: no checkpoint needs this extractor any more; removed")
            os.remove(path)

    def _round_of(self, remembered: Enhancement) -> int:
        """The round of a checkpoint, by its extractor's name, wherever the save directory was; 0: of none."""
        name = os.path.basename(remembered.extractor or "")
        return next((each.number for each in self.record.rounds if os.path.basename(each.extractor) == name), 0)

    def _file(self, name: str) -> str:
        return os.path.abspath(os.path.join(self._cfg.save_dir, name))

    def _extractor(self, number: int) -> str:
        return self._file(f"extractor.round{number}.pt")

    def _extractors(self) -> list[str]:
        return glob.glob(glob.escape(self._file("extractor.round")) + "*.pt")


class NoMoreEpochs(EpochBatchIterating):
    """What fairseq gets for its next epoch when the last round has ended: its loop ends as after ``--max-epoch``."""

    next_epoch_idx = math.nan  # not at most any number of epochs, nor infinity
    first_batch: dict = {}
    iterations_in_epoch = 0

    def __init__(self, epoch: int):
        self.epoch = epoch

    def __len__(self) -> int:
        return 0

    def next_epoch_itr(self, *args: Any, **kwargs: Any) -> Any:
        return iter(())

    def end_of_epoch(self) -> bool:
        return True

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def _as_the_first_rank_decides(decide: Callable[[], Decision]) -> Decision:
    """What *decide* returns, or raises as :class:`IELError`, on the first rank: the same on all ranks."""
    if not torch.distributed.is_initialized():
        return decide()
    told: list[Any] = [None]
    if get_global_rank() == 0:
        try:
            told = [decide()]
        except IELError as error:
            told = [error]
    torch.distributed.broadcast_object_list(told)
    if isinstance(told[0], IELError):
        raise told[0]
    return told[0]
