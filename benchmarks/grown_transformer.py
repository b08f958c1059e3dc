"""A trained Transformer grown to another size, which computes the same: what a large model costs, without training one.

    python benchmarks/grown_transformer.py small.pt base.pt --embed-dim 512 --ffn-dim 2048 --layers 6 --heads 8

A trained model ends its sentences and has clear preferences, as a large one has after hundreds of thousands of
updates, so that engines can be compared on the same words. Dimensions are repeated, and what adds them up is divided;
new layers stand before the last one and add nothing to what passes through (Chen et al., 2016, *Net2Net*). Sinusoidal
positions become a table, since those of a wider model are others.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import torch
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor

from iel_fairseq.files import whole_file

PADDING = 1
"""fairseq's index of it."""


@dataclass(frozen=True)
class Size:
    """Of both halves of a Transformer."""

    embed_dim: int
    ffn_dim: int
    layers: int
    heads: int

    @classmethod
    def of(cls, model: argparse.Namespace) -> Size:
        """That of the encoder, in a checkpoint's settings."""
        return cls(
            model.encoder_embed_dim, model.encoder_ffn_embed_dim, model.encoder_layers, model.encoder_attention_heads
        )

    def set(self, model: argparse.Namespace) -> None:
        """Make it that of the settings *model*."""
        for half in ("encoder", "decoder"):
            setattr(model, f"{half}_embed_dim", self.embed_dim)
            setattr(model, f"{half}_ffn_embed_dim", self.ffn_dim)
            setattr(model, f"{half}_layers", self.layers)
            setattr(model, f"{half}_attention_heads", self.heads)
            setattr(model, f"{half}_learned_pos", True)
        model.decoder_input_dim = model.decoder_output_dim = self.embed_dim


class Growth:
    """From one size to another. Each dimension of the new model repeats one of the old."""

    def __init__(self, old: Size, new: Size):
        """
        Raises:
            SystemExit: the new size is no multiple of the old one
        """
        self.old, self.new = old, new
        self.wider = new.embed_dim // old.embed_dim
        self.repeated_in_head = self.wider * old.heads // new.heads
        wholes = (
            new.embed_dim % old.embed_dim,
            new.ffn_dim % old.ffn_dim,
            new.heads % old.heads,
            self.wider * old.heads % new.heads,
        )
        if any(wholes) or new.layers < old.layers or old.layers < 2:
            raise SystemExit(f"{new}: no multiple of {old} with at least two layers; each dimension is repeated whole")
        self._stream = torch.arange(new.embed_dim) % old.embed_dim
        self._inner = torch.arange(new.ffn_dim) % old.ffn_dim
        head = torch.arange(new.heads).unsqueeze(1) * old.heads // new.heads
        dimension = torch.arange(new.embed_dim // new.heads) % (old.embed_dim // old.heads)
        self._in_heads = (head * (old.embed_dim // old.heads) + dimension).flatten()

    def stream(self, weight: Tensor) -> Tensor:
        """A vector of the model's width, or a table of such."""
        return weight[..., self._stream]

    def parameter(self, name: str, weight: Tensor) -> Tensor:
        """A layer's *weight*, whose name within the layer is *name*."""
        if "layer_norm" in name:
            return self.stream(weight)
        rows, columns = self._stream, self._stream  # of what goes out, of what comes in
        if "attn." in name:
            rows, columns = (rows, self._in_heads) if "out_proj" in name else (self._in_heads, columns)
        elif name.startswith("fc"):
            rows, columns = (self._inner, columns) if name.startswith("fc1") else (rows, self._inner)
        grown = weight[rows]
        if weight.dim() == 2:
            grown = grown[:, columns] * (weight.size(1) / len(columns))
        # A product of queries and keys sums each dimension so many times, and is divided by the root of their number.
        return grown / math.sqrt(self.repeated_in_head) if "q_proj" in name else grown

    def layers(self, weights: dict[str, Tensor], half: str, normalized_before: bool) -> dict[str, Tensor]:
        """All layers of *half*, new ones among them."""
        prefix = f"{half}.layers."
        layers: list[dict[str, Tensor]] = [{} for _ in range(self.old.layers)]
        for name, weight in weights.items():
            if name.startswith(prefix):
                number, _, within = name.removeprefix(prefix).partition(".")
                layers[int(number)][within] = self.parameter(within, weight)
        *first, before, last = layers
        nothing = {
            name: torch.ones_like(weight)
            if name.endswith("layer_norm.weight")
            else torch.zeros_like(weight)
            if "layer_norm" in name or "out_proj" in name or "fc2" in name
            else weight
            for name, weight in before.items()
        }
        new = [dict(nothing) for _ in range(self.new.layers - self.old.layers)]
        if new and not normalized_before:
            # What is normalized stays as it is when normalized again, until it is scaled and shifted: only in the end.
            for end in ("weight", "bias"):
                name = f"final_layer_norm.{end}"
                before[name], new[-1][name] = nothing[name], before[name]
        return {
            f"{prefix}{number}.{name}": weight
            for number, layer in enumerate([*first, before, *new, last])
            for name, weight in layer.items()
        }

    def positions(self, longest: int) -> Tensor:
        """The table of the old model's sinusoidal positions, up to *longest*."""
        return self.stream(
            SinusoidalPositionalEmbedding.get_embedding(longest + PADDING + 1, self.old.embed_dim, PADDING)
        )


def grow(state: dict, size: Size) -> None:
    """Make a checkpoint's content that of a model of another size, and of nothing else.

    Raises:
        SystemExit: it is no plain Transformer, or one that cannot have that size
    """
    model, weights = state["cfg"]["model"], state["model"]
    if not getattr(model, "share_decoder_input_output_embed", False) and not model.share_all_embeddings:
        raise SystemExit("only a Transformer whose decoder shares its embeddings with its output is grown")
    if "encoder.embed_positions.weight" in weights or getattr(model, "layernorm_embedding", False):
        raise SystemExit("only a Transformer with sinusoidal positions, and no normalized embeddings, is grown")
    growth = Growth(Size.of(model), size)
    # Embeddings are multiplied by the root of the width, and summed over it in the output.
    root = math.sqrt(growth.wider)
    # Without its version fairseq would take a checkpoint for an old one, which has no layer_norm.
    grown = {name: weight for name, weight in weights.items() if name.endswith(".version")}
    grown |= {name: growth.stream(weight) for name, weight in weights.items() if ".layer_norm." in name}
    for half, longest in (("encoder", model.max_source_positions), ("decoder", model.max_target_positions)):
        grown[f"{half}.embed_tokens.weight"] = growth.stream(weights[f"{half}.embed_tokens.weight"]) / root
        grown[f"{half}.embed_positions.weight"] = growth.positions(longest)
        grown |= growth.layers(weights, half, getattr(model, f"{half}_normalize_before"))
    grown["decoder.output_projection.weight"] = grown["decoder.embed_tokens.weight"]
    last = "layer_norm" if "decoder.layer_norm.weight" in grown else f"layers.{size.layers - 1}.final_layer_norm"
    for end in ("weight", "bias"):
        grown[f"decoder.{last}.{end}"] = grown[f"decoder.{last}.{end}"] / root
    size.set(model)
    state.update(model=grown, last_optimizer_state=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", help="checkpoint of a Transformer")
    parser.add_argument("grown", help="where the other goes")
    for name, value in (("embed-dim", 512), ("ffn-dim", 2048), ("layers", 6), ("heads", 8)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"of encoder and decoder (default: {value})")
    arguments = parser.parse_args()
    state = torch.load(arguments.small, map_location="cpu", weights_only=True)
    grow(state, Size(arguments.embed_dim, arguments.ffn_dim, arguments.layers, arguments.heads))
    with whole_file(arguments.grown, "wb") as file:
        torch.save(state, file)


if __name__ == "__main__":
    main()
