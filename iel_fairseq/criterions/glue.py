"""The criterion ``glue``: cross-entropy, or the squared error of a score, with GLUE's metrics beside it."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from fairseq.logging.meters import MetersDict

from iel_fairseq.classification.glue import GlueTask
from iel_fairseq.classification.metrics import METRICS, Metric
from iel_fairseq.errors import IELError


@register_criterion("glue", dataclass=FairseqDataclass)
class GlueCriterion(FairseqCriterion):
    """Train a classifier, and measure it as GLUE does.

    While validating, metrics are those of the whole set, whatever its batches and however many ranks share it: what
    is gathered are predictions and labels, not averages.
    """

    def __init__(self, task):
        super().__init__(task)
        self.glue: GlueTask = task.glue

    def forward(self, model, sample, reduce=True):
        """
        Args:
            model: gives float logits ``(B, classes)``, or scores ``(B, 1)``
            sample: batch of :class:`~iel_fairseq.classification.dataset.ClassificationDataset`; ``target``, float
                ``(B,)``, holds classes or scores
            reduce: sum the loss over the batch

        Returns:
            the loss, the number of sentences, and what is to be logged

        Raises:
            IELError: the split has no labels; or, while validating, the loss is not finite: metrics would take NaN for
                a class
        """
        if "target" not in sample:
            raise IELError("this split has no labels to validate with; iel predict writes its predictions")
        logits = model(**sample["net_input"]).float()
        target = sample["target"]
        reduction = "sum" if reduce else "none"
        if self.glue.regression:
            predictions = logits.squeeze(-1)
            loss = F.mse_loss(predictions, target.to(predictions), reduction=reduction)
        else:
            predictions = logits.argmax(-1)
            loss = F.cross_entropy(logits, target.long(), reduction=reduction)
        if not model.training and not loss.isfinite().all():
            raise IELError(
                "the validation loss is not finite (NaN or infinity), the training diverged; "
                "train with a smaller --lr, or without --fp16"
            )
        logged = {"loss": loss.detach(), "sample_size": len(target), "nsentences": len(target)}
        logged["ntokens"] = sample["ntokens"]
        if not model.training:
            logged["outcomes"] = torch.stack([predictions.detach().double(), target.double()], 1).cpu()
        return loss, len(target), logged

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Mean loss. The metrics are the task's, which knows which ones."""
        count = sum(output["sample_size"] for output in logging_outputs)
        loss = sum(float(output["loss"]) for output in logging_outputs)
        metrics.log_scalar("loss", loss / max(count, 1), count, round=4)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return False


def log_glue_metrics(glue: GlueTask, logging_outputs: list[dict]) -> None:
    """Log *glue*'s metrics over all outcomes since the aggregation began; nothing while training."""
    outcomes = [output["outcomes"] for output in logging_outputs if "outcomes" in output]
    if not outcomes:
        return
    metrics.log_concat_tensor("_outcomes", torch.cat(outcomes))
    for name in glue.metrics:
        metrics.log_derived(name, partial(_measure, METRICS[name]))


def _measure(metric: Metric, meters: MetersDict) -> float:
    predictions, labels = meters["_outcomes"].tensor.numpy().T
    return round(metric(predictions, labels), 2)
