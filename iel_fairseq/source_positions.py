"""The override of the encoder's position ids, for learned and sinusoidal embeddings.

fairseq's encoders number their input 1, 2, 3, ... and offer no way in. :func:`accept_source_positions` gives a
built model one: ``model(...)`` and ``model.encoder(...)`` take ``src_positions`` beside ``src_tokens``, as any entry
of a sample's ``net_input``. Parameters, state dict and the decoder stay as they are, so checkpoints load both ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fairseq.models import FairseqEncoderDecoderModel
from fairseq.modules import LearnedPositionalEmbedding, SinusoidalPositionalEmbedding
from torch import Tensor, nn
from torch.nn import functional

from iel_fairseq.errors import IELError

# Encoders call their embedding without positions; this carries them past that call, also between threads.
_src_positions: ContextVar[Tensor | None] = ContextVar("src_positions", default=None)


@contextmanager
def _carried(src_positions: Tensor | None) -> Iterator[None]:
    token = _src_positions.set(src_positions)
    try:
        yield
    finally:
        _src_positions.reset(token)


class _AcceptsSourcePositions:
    """Mixed into a model's and its encoder's class: ``forward`` takes ``src_positions``, int64 ``(B, columns)``."""

    def forward(self, *args, src_positions: Tensor | None = None, **kwargs):
        if src_positions is None:
            return super().forward(*args, **kwargs)  # type: ignore[misc]  # of the class it is mixed into
        with _carried(src_positions):
            return super().forward(*args, **kwargs)  # type: ignore[misc]


class _OverriddenLearnedPositions(LearnedPositionalEmbedding):
    def forward(self, input: Tensor, incremental_state=None, positions: Tensor | None = None) -> Tensor:
        src_positions = _src_positions.get()
        if src_positions is None:
            return super().forward(input, incremental_state, positions)
        return functional.embedding(src_positions, self.weight, self.padding_idx)


class _OverriddenSinusoidalPositions(SinusoidalPositionalEmbedding):
    def forward(self, input: Tensor, incremental_state=None, timestep=None, positions=None) -> Tensor:
        src_positions = _src_positions.get()
        if src_positions is None:
            return super().forward(input, incremental_state, timestep, positions)
        if self.padding_idx + 1 + input.size(1) > self.weights.size(0):
            super().forward(input)  # grows the table
        return functional.embedding(src_positions, self.weights).detach()


_OVERRIDDEN: dict[type[nn.Module], type[nn.Module]] = {
    LearnedPositionalEmbedding: _OverriddenLearnedPositions,
    SinusoidalPositionalEmbedding: _OverriddenSinusoidalPositions,
}


def accept_source_positions(model: FairseqEncoderDecoderModel) -> None:
    """Let *model* and its encoder take ``src_positions``: position ids, int64 ``(B, columns)``.

    Ids are fairseq's: position p is ``padding_idx + p``, padding is ``padding_idx``. Without ``src_positions`` the
    model is exactly what it was. Changes *model* in place; calling it again changes nothing.

    Raises:
        IELError: the encoder has no positional embedding, or one of an unknown kind
    """
    embedding = getattr(model.encoder, "embed_positions", None)
    if isinstance(embedding, tuple(_OVERRIDDEN.values())):
        return
    if embedding is None or type(embedding) not in _OVERRIDDEN:
        kind = "no positional embeddings" if embedding is None else f"positions of type {type(embedding).__name__}"
        raise IELError(
            f"--attn-positions needs an encoder with learned or sinusoidal positional embeddings; "
            f"{type(model.encoder).__name__} has {kind}"
        )
    embedding.__class__ = _OVERRIDDEN[type(embedding)]
    for module in (model, model.encoder):
        module.__class__ = type(module.__class__.__name__, (_AcceptsSourcePositions, module.__class__), {})
