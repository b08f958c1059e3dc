"""Dense layers whose weights are laid out for this CPU, held against those that are not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from test_attention_words import sentences
from tiny_models import batch, make_transformer
from torch import nn

from iel_fairseq.attention_words import extract_attention_words, extract_from_batches
from iel_fairseq.greedy_decoding.dense import LARGE, Dense, PackedWeights, can_be_packed

pytestmark = pytest.mark.skipif(not can_be_packed(torch.empty(1)), reason="this PyTorch has no oneDNN")


def layer(out: int, width: int, biased: bool = True, **options) -> nn.Linear:
    torch.manual_seed(out)
    return nn.Linear(width, out, bias=biased, **options)


@pytest.mark.parametrize("activation", [None, F.relu, F.gelu])
@pytest.mark.parametrize("shape", [(1,), (3,), (300,), (7, 11)])
@pytest.mark.parametrize("biased", [True, False])
@torch.no_grad()
def test_a_packed_layer_computes_the_same(activation, shape, biased):
    layers = [layer(1024, 512, biased), layer(256, 512, biased)]
    x = torch.randn(*shape, 512, generator=torch.Generator().manual_seed(1))
    packed, plain = (Dense(*layers, packed=packed, activation=activation) for packed in (PackedWeights(), None))
    found, expected = packed(x), plain(x)
    assert (packed._packed, plain._packed) == (True, False)
    by_hand = torch.cat([x @ each.weight.t() + (each.bias if biased else 0) for each in layers], dim=-1)
    assert torch.allclose(expected, by_hand if activation is None else activation(by_hand), atol=1e-4)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("large", "packed"),
    [
        (layer(LARGE // 64, 64), True),
        (layer(LARGE // 64 - 1, 64), False),
        (layer(LARGE // 64, 64, dtype=torch.bfloat16), False),
        (layer(LARGE // 64, 64, device="meta"), False),
    ],
)
def test_only_large_float32_weights_of_the_cpu_are_packed(large, packed):
    weights = PackedWeights()
    assert Dense(large, packed=weights)._packed is packed
    assert (weights.of(large) is not None) == packed
    assert weights.of(large) is weights.of(large)  # once for all


def test_packed_weights_give_the_same_words(monkeypatch):
    model = make_transformer(encoder_normalize_before=True)
    sources = [batch(*sentences(20)), batch(*sentences(30))]
    expected = [extract_attention_words(model, source, max_len_a=1, max_len_b=5) for source in sources]
    monkeypatch.setattr("iel_fairseq.greedy_decoding.dense.LARGE", 1)
    products = []
    real = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *given: [real(*given), products.append(1)][0])
    found = dict(extract_from_batches(model, enumerate(sources), packed=PackedWeights(), max_len_a=1, max_len_b=5))
    assert len(products) > 100
    for number, words in enumerate(expected):
        assert torch.equal(found[number].hypotheses, words.hypotheses)
        assert torch.equal(found[number].positions, words.positions)
        assert torch.allclose(found[number].scores, words.scores, atol=1e-5)
