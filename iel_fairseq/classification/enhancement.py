"""What a classifier's checkpoint remembers: its model, and where the word at the end of its input comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from iel_fairseq.classification.glue import GLUE_TASKS
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import checked

KEY = "iel_fairseq.classification"
"""Where in fairseq's task state the memory lies."""


@dataclass(frozen=True)
class WordEnhancement:
    """Plain data, so that torch's safe loader reads it.

    Attributes:
        glue_task: name of the task of GLUE
        pretrained: configuration and tokenizer
        importance: the explainer whose word is appended; None: the model reads the plain text
        extractor: absolute path of the extractor's checkpoint
        extractor_sha256: SHA-256 of that file
        importance_model: what ``--importance-model`` said in training, for the record
        samples: perturbations of a text, as the explainer has it
        seed: of the explainer
        store: absolute path of the folder that ``--importance-store`` named in training
    """

    glue_task: str
    pretrained: Pretrained = field(repr=False)
    importance: str | None = None
    extractor: str | None = None
    extractor_sha256: str | None = None
    importance_model: str | None = None
    samples: int | None = None
    seed: int = 1
    store: str | None = None

    def to_task_state(self) -> dict[str, Any]:
        """The entry for fairseq's task state."""
        return {KEY: asdict(self)}

    @classmethod
    def from_task_state(cls, path: str, task_state: dict[str, Any]) -> WordEnhancement:
        """Read the entry of the checkpoint at *path*.

        Raises:
            IELError: it has none, or a damaged one
        """
        values = task_state.get(KEY)
        if values is None:
            raise IELError(f"{path}: not a checkpoint of the task importance_enhanced_classification")
        try:
            remembered = checked(values, cls)
        except ValueError as error:
            raise IELError(f"{path}: damaged ({error})") from error
        if remembered.glue_task not in GLUE_TASKS:
            raise IELError(f"{path}: trained for {remembered.glue_task!r}, which is no task of GLUE")
        return remembered

    def same_input(self, other: WordEnhancement) -> bool:
        """Whether models that remember *self* and *other* read the same input."""
        return self._input() == other._input()

    def _input(self) -> tuple:
        from iel_fairseq.explainers import EXPLAINERS  # which are of classifiers, which remember this

        samples, seed = self.samples, None
        if self.importance is not None:
            explainer = EXPLAINERS[self.importance]
            samples, seed = explainer.samples_of(samples), self.seed if explainer.draws else None
        return self.glue_task, self.importance, self.extractor_sha256, samples, seed

    def describe(self) -> str:
        """One phrase for a message to the user."""
        if self.importance is None:
            return f"the plain texts of {self.glue_task}"
        samples = f", {self.samples} samples" if self.samples else ""
        return f"{self.importance} of {self.extractor} (SHA-256 {self.extractor_sha256}){samples}, seed {self.seed}"
