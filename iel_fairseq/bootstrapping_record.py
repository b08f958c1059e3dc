"""What a training records of its rounds of bootstrapping: ``bootstrapping.json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from iel_fairseq.errors import IELError
from iel_fairseq.json_data import read_json


@dataclass(frozen=True)
class Round:
    """What is known of a round.

    Attributes:
        number: from 1
        first_epoch: from 1
        extractor: its checkpoint
        best: the best validation score of the rounds before; None for the first
        changed: share of the attention words of the training set that are not those of the round before; None when
            that is not known
        scores: the best validation score in each of its epochs, as far as it has come; epochs as text, as JSON has them
        losses: the validation loss beside each
    """

    number: int
    first_epoch: int
    extractor: str
    best: float | None = None
    changed: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The rounds that have begun, and what their scores are.

    Attributes:
        metric: name of the validation score
        maximize: a better score is a higher one
        rounds: in their order
    """

    metric: str
    maximize: bool
    rounds: list[Round]

    def round(self, number: int) -> Round:
        """What is known of round *number*, which has begun."""
        [found] = [each for each in self.rounds if each.number == number]
        return found

    def better(self, scores: Iterable[float]) -> float:
        """The best of *scores*."""
        return (max if self.maximize else min)(scores)

    @classmethod
    def read(cls, path: str) -> Record:
        """Read a training's ``bootstrapping.json``.

        Raises:
            IELError: it cannot be read, or is damaged
        """
        try:
            record = read_json(path, cls)
            record._check()
        except OSError as error:
            raise IELError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise IELError(f"{path}: no record of bootstrapping, or a damaged one ({error})") from error
        return record

    def _check(self) -> None:
        """Raise ValueError unless the rounds follow each other, and have a loss for each score."""
        epoch = 0
        for number, each in enumerate(self.rounds, start=1):
            if each.number != number or each.first_epoch <= epoch:
                raise ValueError(f"round {each.number} from epoch {each.first_epoch} is not in its place")
            epoch = each.first_epoch
            if each.scores.keys() != each.losses.keys() or not all(map(str.isdecimal, each.scores)):
                raise ValueError(f"scores and losses of round {number} are not of the same epochs")
