"""What two passes ask of fairseq's generators."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from iel_fairseq.errors import IELError
from iel_fairseq.two_passes import check_generation, max_len_from


def test_the_longest_output_is_computed_from_x_for_this_batch_only():
    generator = SimpleNamespace(max_len_a=1.5, max_len_b=3)
    with max_len_from(generator, 5):
        assert (generator.max_len_a, generator.max_len_b) == (0, 10)
    with pytest.raises(KeyError), max_len_from(generator, 5):
        raise KeyError
    assert (generator.max_len_a, generator.max_len_b) == (1.5, 3)


@pytest.mark.parametrize(
    ("args", "models", "message"),
    [
        ({"match_source_len": True}, [], "--match-source-len"),
        ({"retain_dropout": True}, [], "--retain-dropout: .* give --attn-model FILE"),
        ({"print_alignment": "hard", "score_reference": True}, [], "--print-alignment with --score-reference"),
        (
            {"print_alignment": "hard"},
            [SimpleNamespace(full_context_alignment=True)],
            "models with full-context alignment",
        ),
    ],
)
def test_decoding_that_is_not_supported_is_one_line(args, models, message):
    check_generation([SimpleNamespace()], SimpleNamespace(print_alignment="hard", retain_dropout=True), False)
    with pytest.raises(IELError, match=message):
        check_generation(models, SimpleNamespace(**args), True)
