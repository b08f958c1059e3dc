"""The short way through a Transformer encoder, held against fairseq's own way."""

from __future__ import annotations

import pytest
import torch
from test_attention_words import sentences
from tiny_models import PAD, batch, make_fconv, make_transformer

from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.greedy_decoding.transformer_encoder import ShortEncoder, is_standard_encoder

STANDARD = {
    "post-norm": {},
    "pre-norm": {"encoder_normalize_before": True},
    "learned positions": {"encoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "norm of embeddings": {"layernorm_embedding": True, "no_scale_embedding": True},
    "layers are dropped in training": {"encoder_layerdrop": 0.5},
    "noise of quantisation": {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 8},
    "another activation": {"activation_fn": "gelu"},
}


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("padded", [True, False])
@torch.no_grad()
def test_the_short_way_computes_what_fairseqs_encoder_computes(name, padded):
    encoder = make_transformer(layers=3, **STANDARD[name]).encoder
    assert is_standard_encoder(encoder)
    source = batch(*sentences(40)) if padded else batch([4, 5, 6], [7, 8, 9])
    words = source.ne(PAD)
    assert words.all() != padded
    expected = encoder(source, src_lengths=words.sum(dim=1))["encoder_out"][0].transpose(0, 1)
    found = ShortEncoder(encoder)(source)
    assert torch.allclose(found[words], expected[words], atol=1e-4)
    assert expected[words].std() > 0.5


def test_other_encoders_are_not_standard():
    assert not is_standard_encoder(make_fconv().encoder)


def test_an_encoder_of_another_kind_is_called_as_it_is():
    model = make_transformer()
    source = batch(*sentences(20))
    expected = extract_attention_words(model, source, max_len_a=1, max_len_b=5)

    class Other(type(model.encoder)):
        calls = 0

        def forward(self, *args, **kwargs):
            Other.calls += 1
            return super().forward(*args, **kwargs)

    model.encoder.__class__ = Other
    assert not is_standard_encoder(model.encoder)
    found = extract_attention_words(model, source, max_len_a=1, max_len_b=5)
    assert Other.calls == 1
    assert torch.equal(found.hypotheses, expected.hypotheses)
    assert torch.equal(found.positions, expected.positions)
