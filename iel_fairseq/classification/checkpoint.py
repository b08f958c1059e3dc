"""A classifier's checkpoint: what it remembers of its model and its input, and the classifier that is in it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from fairseq import checkpoint_utils

from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.glue import GLUE_TASKS
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.errors import IELError
from iel_fairseq.explainers import EXPLAINERS
from iel_fairseq.json_data import checked
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier
from iel_fairseq.remembered_extractor import checkpoint_sha256

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
        samples: perturbations of a text that were asked for; None: as many as the explainer takes by itself
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
        if remembered.importance not in (None, *EXPLAINERS):
            raise IELError(f"{path}: trained on words of {remembered.importance!r}, which is no explainer")
        return remembered

    def same_input(self, other: WordEnhancement) -> bool:
        """Whether models that remember *self* and *other* read the same input."""
        return self._input() == other._input()

    def _input(self) -> tuple:
        settings = EXPLAINERS[self.importance].settings(self.samples, self.seed) if self.importance else self.samples
        return self.glue_task, self.importance, self.extractor_sha256, settings

    def describe(self) -> str:
        """One phrase for a message to the user."""
        if self.importance is None:
            return f"the plain texts of {self.glue_task}"
        samples, seed = EXPLAINERS[self.importance].settings(self.samples, self.seed)
        drawn = (f", {samples:,} samples" if samples else "") + ("" if seed is None else f", seed {seed}")
        return f"{self.importance} of {self.extractor} (SHA-256 {self.extractor_sha256}){drawn}"


def load_classifier(path: str, device: torch.device, max_tokens: int | None = None) -> Classifier:
    """Load a checkpoint of the task ``importance_enhanced_classification``.

    Args:
        path: of the checkpoint
        device: where it shall compute
        max_tokens: as :class:`Classifier` has it

    Raises:
        IELError: missing, damaged or hostile file, or one of another task
    """
    sha256 = checkpoint_sha256(path, "checkpoint")
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    remembered = WordEnhancement.from_task_state(path, state["task_state"])
    with in_one_line(path, "no classifier can be made of its configuration, tokenizer and weights"):
        with torch.random.fork_rng(devices=[]):  # who calls this draws what was to be drawn
            model = HFSequenceClassifier(remembered.pretrained)
        model.load_state_dict(state["model"])
    glue = GLUE_TASKS[remembered.glue_task]
    with in_one_line(path, "it cannot read a text"):  # what some settings are shows only then
        Classifier(model, glue, torch.device("cpu"), path=path).scores(["text"])
        model.check_padding()
    return Classifier(model, glue, device, max_tokens, os.path.abspath(path), sha256, remembered.importance)
