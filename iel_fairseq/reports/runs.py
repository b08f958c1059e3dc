"""Finished runs: what a recipe left in its folder.

WORK/data-bin/                                  the prepared data
WORK/raw/SPLIT.LANGUAGE                         the raw text
WORK/ARCHITECTURE/SYSTEM/checkpoint_best.pt     with finished beside it
WORK/ARCHITECTURE/SYSTEM/train.log
WORK/ARCHITECTURE/SYSTEM/SPLIT.TARGET           its translations, raw text
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from fairseq import checkpoint_utils

from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.data_folder import language_pairs
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import checked
from iel_fairseq.preparation.prepared_folder import FILE, PreparedFolder
from iel_fairseq.text_files import numbered_lines

logger = logging.getLogger(__name__)

ORDER = ("baseline", "control", "attention-words", "attention-positions", "bootstrap-control", "bootstrap")
"""Of the systems in a table; others follow, by name."""

Curve = list[tuple[int, float]]
"""Validation loss by number of updates."""


@dataclass(frozen=True)
class Training:
    """What a checkpoint says of its own training.

    Attributes:
        seed: of the training
        updates: of the optimiser; None: it was restarted, and the checkpoint knows those since then alone
        metric: by which the best checkpoint was chosen
        best: its best score; None: there was no validation
        seconds: wall-clock time; None: it does not say
    """

    seed: int
    updates: int | None
    metric: str
    best: float | None
    seconds: float | None

    @classmethod
    def of(cls, path: str) -> Training:
        """Read it; only once as long as the file does not change.

        Raises:
            IELError: the file cannot be read, or does not say it
        """
        return _training(path, os.stat(path).st_mtime_ns if os.path.exists(path) else 0)


@cache
def _training(path: str, changed: int) -> Training:
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    with in_one_line(path, "damaged, it does not say how it was trained"):
        restarted = state["cfg"]["task"].get("bootstrap_restart", False)
        seconds = state["extra_state"].get("previous_training_time")
        said = {
            "seed": state["cfg"]["common"]["seed"],
            "updates": None if restarted else state["optimizer_history"][-1]["num_updates"],
            "metric": state["cfg"]["checkpoint"]["best_checkpoint_metric"],
            "best": state["extra_state"].get("best"),
            "seconds": None if seconds is None else float(seconds),  # a tensor after a training of several ranks
        }
        return checked(said, Training)


@dataclass(frozen=True)
class System:
    """One trained system.

    Attributes:
        name: e.g. ``control``
        folder: its save directory
    """

    name: str
    folder: Path

    @property
    def _training(self) -> Training:
        return Training.of(str(self.folder / "checkpoint_best.pt"))

    @property
    def parameters(self) -> int | None:
        """Number of the model's weights, shared ones once; None where its log does not say."""
        found = re.search(r"num\. shared model params: ([\d,]+)", self._log)
        return int(found[1].replace(",", "")) if found else None

    @property
    def seed(self) -> int:
        return self._training.seed

    @property
    def seeds(self) -> tuple[int, int]:
        """That of the baseline beside it, and its own, which with noise is in its name and the same in each run."""
        baseline = self.folder.parent / "baseline"
        there = (baseline / "checkpoint_best.pt").exists()
        return System("baseline", baseline).seed if there else self.seed, self.seed

    @property
    def updates(self) -> int | None:
        """Optimiser updates behind the best checkpoint, those of the baseline included; None where nothing says."""
        own = self._training.updates
        return None if own is None else own + self._updates_before

    @property
    def _updates_before(self) -> int:
        return 0 if self.name == "baseline" else System("baseline", self.folder.parent / "baseline").updates or 0

    @property
    def training_seconds(self) -> float | None:
        """Wall-clock time of training until the best checkpoint, that of the baseline included, in seconds.

        Validation and the extraction of the training set are part of it; fairseq loads the validation set before it
        counts. None where the checkpoint does not say.
        """
        return self._training.seconds

    @property
    def extraction_seconds(self) -> float:
        """Wall-clock time that its training spent on extraction; 0 where all was in the store already."""
        return sum(
            float(seconds) for seconds in re.findall(r": sentences \S+ to \S+ of \S+ read in (\d+\.?\d*) s", self._log)
        )

    def curve(self) -> Curve:
        """Validation loss after each epoch, by number of updates, those of the baseline included."""
        found = re.findall(r"valid on 'valid' subset \| loss (\d+\.?\d*) .*?\| num_updates (\d+)", self._log)
        # fairseq's own log file repeats lines.
        return [(int(updates) + self._updates_before, float(loss)) for loss, updates in dict.fromkeys(found)]

    @cached_property
    def _log(self) -> str:
        path = self.folder / "train.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def translations(self, split: str, language: str) -> list[str]:
        """Its translations of a set, raw text, in the order of the set.

        Raises:
            IELError: they are not there, or not UTF-8
        """
        return [line for _, line in numbered_lines(str(self.folder / f"{split}.{language}"))]


@dataclass(frozen=True)
class Run:
    """What one recipe made with one seed.

    Attributes:
        folder: the recipe's WORK
        source: source language
        target: target language
        sets: the sets' own names, by fairseq's
    """

    folder: Path
    source: str
    target: str
    sets: dict[str, str]

    @classmethod
    def read(cls, folder: str) -> Run:
        """Find out what *folder* holds.

        Raises:
            IELError: it is no recipe's folder
        """
        data = Path(folder) / "data-bin"
        if (data / FILE).exists():
            prepared = PreparedFolder.read(str(data))
            return cls(Path(folder), prepared.source_lang, prepared.target_lang, prepared.sets)
        # Prepared by other means: everything but the sets' own names is told by the names of the files.
        for source, target in sorted(language_pairs(str(data))) if data.is_dir() else ():
            if not (data / f"valid.{source}-{target}.{target}.idx").exists():
                continue
            names = sorted(path.name.split(".")[0] for path in data.glob(f"test*.{source}-{target}.{target}.idx"))
            return cls(Path(folder), source, target, {name: name for name in ["valid", *names]})
        raise IELError(f"{folder}: no run of a recipe, it holds no data-bin with a validation set")

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.resolve().name

    @property
    def label(self) -> str:
        """Name of the experiment: that of the run, without the seed, as in ``multi30k.seed2``."""
        return re.sub(r"[.-]seed[.-]?\d+$", "", self.name)

    def architectures(self) -> dict[str, list[System]]:
        """Finished systems by architecture; one without all its translations is left out, which is logged."""
        found: dict[str, list[System]] = {}
        for finished in sorted(self.folder.glob("*/*/finished")):
            system = System(finished.parent.name, finished.parent)
            missing = [name for name in self.sets if not (system.folder / f"{name}.{self.target}").exists()]
            if missing:
                logger.warning(f"{system.folder}: left out, it has not translated {', '.join(missing)}")
                continue
            found.setdefault(finished.parent.parent.name, []).append(system)
        for systems in found.values():
            systems.sort(key=lambda system: place(system.name))
        return found

    def raw(self, split: str, language: str) -> list[str]:
        """The raw text of a set: the target side is what BLEU is computed against.

        Raises:
            IELError: it is not there, or not UTF-8
        """
        return [line for _, line in numbered_lines(str(self.folder / "raw" / f"{split}.{language}"))]


def place(name: str) -> tuple:
    """What systems are sorted by, from their names: as :data:`ORDER` has them, then by name and number."""
    numbers = [float(number) for number in re.findall(r"\d+\.?\d*", name)]
    return (ORDER.index(name) if name in ORDER else len(ORDER), re.sub(r"[\d.]+", "", name), numbers)


def control_of(system: str, finished: Collection[str]) -> str | None:
    """The system that *system* is compared with; None where there is none.

    The control has as many updates as the systems it is the control of. That of bootstrapping has more, and will do for
    the baseline where there is no other.

    Args:
        system: its name
        finished: names of the systems that there are
    """
    fitting = ["bootstrap-control"] if system.startswith("bootstrap") else ["control", "bootstrap-control"]
    return next((control for control in fitting if control in finished), None)


def control_score(save_dir: str, metric: str) -> float:
    """The best validation score of a control.

    Args:
        save_dir: its save directory
        metric: by which it must have chosen its checkpoint

    Raises:
        IELError: its checkpoint cannot be read, or was chosen by another metric
    """
    best = str(Path(save_dir) / "checkpoint_best.pt")
    training = Training.of(best)
    if training.metric != metric:
        raise IELError(f"{best}: the control's validation score is {training.metric}, not {metric}")
    if training.best is None:
        raise IELError(f"{best}: the control has no validation score; train it with a validation set")
    return training.best
