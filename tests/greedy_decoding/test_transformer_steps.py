"""The short way through a Transformer decoder, held against fairseq's own way."""

from __future__ import annotations

import pytest
import torch
from test_attention_words import sentences
from tiny_models import batch, make_fconv, make_transformer

from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.greedy_decoding.transformer_steps import is_standard_transformer

STANDARD = {
    "post-norm": {},
    "pre-norm": {"decoder_normalize_before": True},
    "learned positions": {"decoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "norm of embeddings": {"layernorm_embedding": True, "no_scale_embedding": True},
    "other dimensions outside": {"decoder_input_dim": 12, "decoder_output_dim": 8},
    "wider than the encoder": {"decoder_embed_dim": 24, "decoder_attention_heads": 3},
    "shared embeddings": {"share_decoder_input_output_embed": True},
    "layers are dropped in training": {"decoder_layerdrop": 0.5},
    "another activation": {"activation_fn": "gelu"},
}
OTHERS = {
    "adaptive softmax": {"adaptive_softmax_cutoff": "4,8"},
    "attends to source and target at once": {"cross_self_attention": True},
    "scaled heads": {"scale_heads": True},
    "scaled attention": {"scale_attn": True},
    "scaled inner layer": {"scale_fc": True},
    "scaled residuals": {"scale_resids": True},
    "noise of quantisation": {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 8},
}


@pytest.mark.parametrize("name", [*STANDARD, *OTHERS])
@pytest.mark.parametrize("heads", [None, [2]])
def test_the_short_way_finds_what_fairseqs_decoder_finds(name, heads, monkeypatch):
    model = make_transformer(**{**STANDARD, **OTHERS}[name])
    assert is_standard_transformer(model.decoder) == (name in STANDARD)
    source = batch(*sentences(40))
    words = extract_attention_words(model, source, heads=heads, max_len_a=1, max_len_b=5)
    monkeypatch.setattr("iel_fairseq.greedy_decoding.steps.is_standard_transformer", lambda decoder: False)
    expected = extract_attention_words(model, source, heads=heads, max_len_a=1, max_len_b=5)
    assert torch.equal(words.hypotheses, expected.hypotheses)
    assert torch.equal(words.positions, expected.positions)
    assert torch.allclose(words.scores, expected.scores, atol=1e-5)
    assert len(set(map(tuple, words.positions.tolist()))) > (10 if name in STANDARD else 3)  # it does look


def test_logits_may_be_computed_for_some_sentences_at_a_time(monkeypatch):
    model = make_transformer()
    source = batch(*sentences(40))
    expected = extract_attention_words(model, source, max_len_a=1, max_len_b=5)
    monkeypatch.setattr("iel_fairseq.greedy_decoding.most_probable.LOGITS", {"cpu": 1, "cuda": 1})
    monkeypatch.setattr("iel_fairseq.greedy_decoding.most_probable.ROWS", 7)
    words = extract_attention_words(model, source, max_len_a=1, max_len_b=5)
    assert torch.equal(words.hypotheses, expected.hypotheses)
    assert torch.equal(words.positions, expected.positions)


def test_other_decoders_are_not_standard():
    assert not is_standard_transformer(make_fconv().decoder)
