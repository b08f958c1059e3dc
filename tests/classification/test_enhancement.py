"""What classifiers remember of their input, compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iel_fairseq.classification.checkpoint import WordEnhancement
from iel_fairseq.classification.pretrained import Pretrained

PLAIN = WordEnhancement("CoLA", Pretrained("{}"))
LIME = replace(PLAIN, importance="lime", extractor="a.pt", extractor_sha256="ab", samples=100, seed=1)


@pytest.mark.parametrize("ours", [PLAIN, LIME])
@pytest.mark.parametrize("changed", [{"glue_task": "RTE"}, {"importance": "shap"}, {"extractor_sha256": "cd"}])
def test_models_that_read_something_else_are_told_apart(ours, changed):
    assert ours.same_input(replace(ours))
    assert not ours.same_input(replace(ours, **changed))


def test_samples_and_seed_count_where_something_is_drawn():
    assert not LIME.same_input(replace(LIME, samples=200))
    assert not LIME.same_input(replace(LIME, seed=2))
    assert PLAIN.same_input(replace(PLAIN, seed=2))
