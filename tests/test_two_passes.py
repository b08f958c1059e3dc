"""What two passes ask of fairseq's generators."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fairseq import utils
from tiny_models import make_fconv, make_lightconv, make_lstm, make_transformer

from iel_fairseq.errors import IELError
from iel_fairseq.two_passes import check_generation, check_model, max_len_from, point_into_plain_source


def test_the_longest_output_is_computed_from_x_for_this_batch_only():
    generator = SimpleNamespace(max_len_a=1.5, max_len_b=3)
    with max_len_from(generator, 5):
        assert (generator.max_len_a, generator.max_len_b) == (0, 10)
    with pytest.raises(KeyError), max_len_from(generator, 5):
        raise KeyError
    assert (generator.max_len_a, generator.max_len_b) == (1.5, 3)


def test_attention_and_alignment_of_each_hypothesis_point_into_x():
    """x is 5 6, x' 5 6 6 5 on the right of a column of padding; the attention of two steps each."""
    generator = SimpleNamespace(pad=1, eos=2, extract_alignment=utils.extract_hard_alignment)
    best = [[0, 0.1, 0.1, 0.3, 0.2, 0.3], [0, 0.1, 0.0, 0.0, 0.5, 0.4]]
    other = [[0, 0.1, 0.3, 0.0, 0.3, 0.3], [0, 0.2, 0.2, 0.2, 0.1, 0.3]]
    hypotheses = [
        {"attention": torch.tensor(steps).t(), "tokens": tokens}
        for steps, tokens in ((best, torch.tensor([7, 2])), (other, torch.tensor([8, 7])))
    ]
    src_tokens, origins = torch.tensor([[1, 5, 6, 2]]), torch.tensor([[0, 1, 2, 2, 1, 3]])
    point_into_plain_source(generator, [hypotheses], src_tokens, origins)
    for hypothesis, folded in zip(
        hypotheses, ([[0.3, 0.4, 0.3], [0.6, 0.0, 0.4]], [[0.4, 0.3, 0.3], [0.3, 0.4, 0.3]]), strict=True
    ):
        torch.testing.assert_close(hypothesis["attention"].t(), torch.tensor(folded))
    assert [hypothesis["alignment"] for hypothesis in hypotheses] == [[(1, 0)], [(0, 0), (1, 1)]]


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


def test_models_that_cannot_decode_in_two_passes_are_refused():
    with pytest.raises(IELError, match="in the source of an LSTM are not supported"):
        check_model(make_lstm(), False)
    check_model(make_lightconv(), False)
    with pytest.raises(
        IELError, match=r"^--attn-model self: a LightConvDecoder cannot be read while it decodes; give "
    ):
        check_model(make_lightconv(), True)
    for model in (make_transformer(), make_fconv()):
        check_model(model, True)
