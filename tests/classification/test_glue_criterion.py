"""Metrics are those of the whole set, whatever its batches and ranks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from tiny_bert import make_classifier

from iel_fairseq.classification.dataset import ClassificationDataset
from iel_fairseq.classification.glue import GLUE_TASKS, Example
from iel_fairseq.classification.metrics import METRICS
from iel_fairseq.criterions.glue import GlueCriterion, log_glue_metrics
from iel_fairseq.errors import IELError

LOGITS = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(0, 2, (50,), generator=torch.Generator().manual_seed(2)).float()


class Model(torch.nn.Module):
    def forward(self, logits):
        return logits


def log_of(task: str, cuts: list[int], logits, labels) -> list[dict]:
    """What the criterion logs for the set in batches that end at *cuts*."""
    criterion = GlueCriterion(SimpleNamespace(glue=GLUE_TASKS[task]))
    outputs = []
    for start, end in zip([0, *cuts], [*cuts, len(labels)], strict=True):
        sample = {"net_input": {"logits": logits[start:end]}, "target": labels[start:end], "ntokens": 1}
        outputs.append(criterion(Model().eval(), sample)[2])
    return outputs


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_scores_are_not_rounded_in_half_precision(tmp_path, half):
    """By fairseq's trainer, which converts a batch of float32."""
    classifier = make_classifier(tmp_path / "bert", "STS-B")
    labels = [3.8, 2.533, 4.909]
    dataset = ClassificationDataset([Example("a\tdog", label) for label in labels], classifier.model)
    sample = dataset.collater([dataset[i] for i in range(3)])
    options = SimpleNamespace(common=SimpleNamespace(fp16=half == torch.float16, bf16=half == torch.bfloat16))
    trainer = SimpleNamespace(cfg=options)
    sample = Trainer._fp_convert_sample(trainer, sample)
    criterion = GlueCriterion(SimpleNamespace(glue=GLUE_TASKS["STS-B"]))
    loss, _, logged = criterion(classifier.model.to(half).eval(), sample)
    assert logged["outcomes"][:, 1].tolist() == labels
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("cuts", [[], [1, 2, 30], [7, 8, 9, 49]])
@pytest.mark.parametrize(("task", "names"), [("CoLA", ["matthews"]), ("QQP", ["accuracy", "f1"])])
def test_classes(task, names, cuts):
    outputs = log_of(task, cuts, LOGITS, LABELS)
    with metrics.aggregate(new_root=True) as batch_by_batch:
        for output in outputs:  # as the trainer does, two ranks' outputs at once being a list of two
            log_glue_metrics(GLUE_TASKS[task], [output])
    with metrics.aggregate(new_root=True) as at_once:
        log_glue_metrics(GLUE_TASKS[task], outputs)
    for name in names:
        expected = METRICS[name](LOGITS.argmax(-1).numpy(), LABELS.numpy())
        assert batch_by_batch.get_smoothed_values()[name] == pytest.approx(expected, abs=0.005)
        assert at_once.get_smoothed_values()[name] == pytest.approx(expected, abs=0.005)


def test_scores():
    scores, labels = LOGITS[:, :1], LABELS + torch.arange(50) % 5
    with metrics.aggregate(new_root=True) as found:
        log_glue_metrics(GLUE_TASKS["STS-B"], log_of("STS-B", [3, 40], scores, labels))
    for name in ("spearman", "pearson"):
        expected = METRICS[name](scores[:, 0].numpy(), labels.numpy())
        assert found.get_smoothed_values()[name] == pytest.approx(expected, abs=0.005)


def test_losses():
    (output,) = log_of("CoLA", [], LOGITS, LABELS)
    assert float(output["loss"]) == pytest.approx(
        float(F.cross_entropy(LOGITS, LABELS.long(), reduction="sum")), rel=1e-5
    )
    (output,) = log_of("STS-B", [], LOGITS[:, :1], LABELS)
    assert float(output["loss"]) == pytest.approx(float(((LOGITS[:, 0] - LABELS) ** 2).sum()), rel=1e-5)
    assert np.allclose(output["outcomes"].numpy().T, [LOGITS[:, 0], LABELS])


def test_a_split_without_labels_is_one_line():
    criterion = GlueCriterion(SimpleNamespace(glue=GLUE_TASKS["CoLA"]))
    with pytest.raises(IELError, match="this split has no labels to validate with; iel predict writes"):
        criterion(Model().eval(), {"net_input": {"logits": LOGITS}, "ntokens": 1})


def test_the_loss_that_is_logged_is_the_mean_of_all_texts():
    with metrics.aggregate(new_root=True) as found:
        GlueCriterion.reduce_metrics(log_of("CoLA", [7, 20], LOGITS, LABELS))
    expected = float(F.cross_entropy(LOGITS, LABELS.long()))
    assert found.get_smoothed_values()["loss"] == pytest.approx(expected, abs=1e-3)
