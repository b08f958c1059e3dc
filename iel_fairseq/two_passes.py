"""What the first pass found, and what fairseq's generators have to be told when they decode from x'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fairseq.sequence_generator import SequenceGeneratorWithAlignment
from torch import Tensor

from iel_fairseq.attention_words import AttentionWords
from iel_fairseq.enhanced_source import EnhancedSource


@dataclass(frozen=True)
class FirstPass:
    """What the first pass found for a batch.

    Attributes:
        words: what the extractor generated, and the positions of the attention words that x' has: with noise, not
            all are where it looked
        enhanced: x' and p'
    """

    words: AttentionWords
    enhanced: EnhancedSource


@contextmanager
def max_len_from(generator: Any, plain_src_len: int) -> Iterator[None]:
    """Let *generator* compute its longest output from the columns of x, though it is given x'."""
    if not hasattr(generator, "max_len_a"):  # a SequenceScorer generates nothing
        yield
        return
    max_len_a, max_len_b = generator.max_len_a, generator.max_len_b
    generator.max_len_a, generator.max_len_b = 0, int(max_len_a * plain_src_len + max_len_b)
    try:
        yield
    finally:
        generator.max_len_a, generator.max_len_b = max_len_a, max_len_b


def point_into_plain_source(
    generator: SequenceGeneratorWithAlignment,
    hypotheses: list[list[dict[str, Tensor]]],
    src_tokens: Tensor,
    origins: Tensor,
) -> None:
    """Turn attention over x' into attention over x, and align anew.

    What falls on an attention word is added to what falls on the source word that it repeats.

    Args:
        generator: for its way to align
        hypotheses: fairseq's, for each sentence its best ones; their ``attention``, ``(S', steps)``, becomes
            ``(I + 1, steps)``, and their ``alignment`` follows
        src_tokens: int64 ``(B, columns)``, the plain source
        origins: int64 ``(B, S')``, as :class:`~iel_fairseq.enhanced_source.EnhancedSource` has them
    """
    for row, sentence in enumerate(hypotheses):
        source = src_tokens[row][src_tokens[row].ne(generator.pad)]
        real = origins[row].gt(0)
        for hypothesis in sentence:
            attention = hypothesis["attention"]
            folded = attention.new_zeros(len(source), attention.size(1))
            folded.index_add_(0, origins[row][real] - 1, attention[real])
            hypothesis["attention"] = folded
            hypothesis["alignment"] = generator.extract_alignment(
                folded.t().cpu(), source.cpu(), hypothesis["tokens"].cpu(), generator.pad, generator.eos
            )
