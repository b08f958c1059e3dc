"""benchmarks/grown_transformer.py: another size, the same model."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq.models.transformer import TransformerModel, base_architecture
from test_attention_words import sentences
from tiny_models import batch, make_task

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from grown_transformer import Size, grow

SMALL = {"embed_dim": 16, "ffn_embed_dim": 32, "layers": 2, "attention_heads": 2}


def small(**options) -> tuple[Namespace, TransformerModel]:
    args = Namespace(
        **{f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in SMALL.items()},
        **{"max_source_positions": 64, "max_target_positions": 64, "share_all_embeddings": True, **options},
    )
    base_architecture(args)
    torch.manual_seed(1)
    model = TransformerModel.build_model(args, make_task()).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("norm.weight") else 0.0, std=0.3)
    return args, model


@pytest.mark.parametrize("options", [{}, {"encoder_normalize_before": True, "decoder_normalize_before": True}])
@pytest.mark.parametrize(
    "size", [Size(64, 128, 6, 8), Size(64, 128, 6, 4), Size(32, 32, 3, 2), Size(16, 96, 2, 2)], ids=str
)
def test_a_grown_transformer_computes_the_same(options, size):
    args, model = small(**options)
    state = {"cfg": {"model": args}, "model": model.state_dict()}
    grow(state, size)
    grown = TransformerModel.build_model(args, make_task()).eval()
    grown.load_state_dict(state["model"])
    assert grown.decoder.layers[0].fc1.weight.shape == (size.ffn_dim, size.embed_dim)
    assert len(grown.encoder.layers) == len(grown.decoder.layers) == size.layers
    assert grown.decoder.layers[0].encoder_attn.num_heads == size.heads

    source = batch(*sentences(20))
    lengths = source.ne(1).sum(dim=1)
    (logits, extra), (expected, extra_expected) = (each(source, lengths, source) for each in (grown, model))
    assert torch.allclose(logits, expected, atol=1e-3)
    assert expected.std() > 0.5  # of which that is little
    assert torch.allclose(extra["attn"][0], extra_expected["attn"][0], atol=1e-4)


@pytest.mark.parametrize("size", [Size(24, 64, 2, 2), Size(32, 64, 2, 3), Size(32, 64, 1, 2)], ids=str)
def test_a_size_that_repeats_no_dimension_whole_is_refused(size):
    args, model = small()
    with pytest.raises(SystemExit, match="no multiple"):
        grow({"cfg": {"model": args}, "model": model.state_dict()}, size)


@pytest.mark.parametrize("options", [{"share_all_embeddings": False}, {"encoder_learned_pos": True}])
def test_other_transformers_are_refused(options):
    args, model = small(**options)
    with pytest.raises(SystemExit, match="only a Transformer"):
        grow({"cfg": {"model": args}, "model": model.state_dict()}, Size(32, 64, 4, 2))
