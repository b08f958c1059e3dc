"""Sentences on which a system and its control differ most, with the attention words that the system read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from sacrebleu import sentence_chrf

from iel_fairseq.attention_reader import AttentionReader
from iel_fairseq.errors import IELError
from iel_fairseq.preparation.raw_text import TokensForText
from iel_fairseq.reports.runs import Run, System
from iel_fairseq.text_files import numbered_lines

logger = logging.getLogger(__name__)

COUNT = 5
"""Sentences on which the system is better, and as many on which it is worse."""


def most_different(
    system: Sequence[str], control: Sequence[str], references: Sequence[str], count: int = COUNT
) -> list[tuple[int, float, float]]:
    """Where the chrF of two systems' sentences differs most, the system's gains first.

    Args:
        system: translations
        control: another system's
        references: of both
        count: of sentences where the system is better, and of those where it is worse; fewer if there are not so many

    Returns:
        index of the sentence, chrF of the system's, chrF of the control's
    """
    scored = [
        (index, sentence_chrf(ours, [reference]).score, sentence_chrf(theirs, [reference]).score)
        for index, (ours, theirs, reference) in enumerate(zip(system, control, references, strict=True))
        if ours != theirs
    ]
    by_gain = sorted(scored, key=lambda item: item[2] - item[1])
    better = [item for item in by_gain if item[1] > item[2]]
    worse = [item for item in reversed(by_gain) if item[1] < item[2]]
    return better[:count] + worse[:count]


def attention_words(run: Run, system: System, split: str, indices: Sequence[int]) -> dict[int, str]:
    """The attention words of some sentences, each with its position, as in ``chat/3``.

    Args:
        run: that the system belongs to
        system: enhanced
        split: fairseq's name of the set
        indices: of the sentences

    Returns:
        by index, none of a sentence that is too long; empty where the extractor is missing, which is logged
    """
    try:
        checkpoint, data = system.folder / "checkpoint_best.pt", run.folder / "data-bin"
        reader = replace(AttentionReader.from_pretrained(checkpoint, data, cpu=True), text=TokensForText())
        lines = [line for _, line in numbered_lines(str(run.folder / "bpe" / f"{split}.{run.source}"))]
        limit = reader.extractor.model.encoder.max_positions()
        pieces = [line if len(line.split()) < limit else "" for line in (lines[index] for index in indices)]
        readings = reader.read(pieces)
    except (IELError, IndexError) as error:
        logger.warning(f"{system.folder}: no attention words are shown ({error})")
        return {}
    return {
        index: " ".join(f"{x.split()[position - 1]}/{position}" for [position] in reading.positions)
        for index, x, reading in zip(indices, pieces, readings, strict=True)
    }
