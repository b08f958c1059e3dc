"""Raw sentences as the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from fairseq.data import Dictionary
from torch import Tensor

from iel_fairseq.errors import IELError
from iel_fairseq.preparation.raw_text import RawText, TokensForText


class TooLongError(IELError):
    """A sentence is longer than the models can read.

    Attributes:
        index: of the sentence among those that were given, from 0
    """

    def __init__(self, index: int, sentence: str, tokens: int, longest: int):
        super().__init__(f"{sentence[:40]!r}...: {tokens:,} tokens; the models read at most {longest:,}, split it")
        self.index = index


def listed(sentences: Iterable[str]) -> list[str]:
    """Sentences that can be gone through once at least, as a list.

    Raises:
        IELError: they are no texts, or one text, which would be taken for a sentence a letter
    """
    if isinstance(sentences, str):
        raise IELError(f"{sentences[:40]!r}: one text, where a list of sentences is wanted; put it in brackets")
    found = list(sentences)
    for sentence in found:
        if not isinstance(sentence, str):
            raise IELError(f"{sentence!r}: no text, where a list of sentences is wanted")
    return found


def source_tokens(
    sentences: Sequence[str], text: RawText | TokensForText, dictionary: Dictionary, longest: int
) -> list[Tensor]:
    """The tokens of each sentence with ``</s>``, int64 ``(I + 1)``.

    What looks like one of fairseq's own symbols in a sentence is an unknown word.

    Args:
        sentences: raw text
        text: how it becomes tokens
        dictionary: of the source language
        longest: what the model can read, with ``</s>``

    Raises:
        TooLongError: a sentence is longer
    """
    own = torch.tensor([dictionary.bos(), dictionary.pad(), dictionary.eos()])
    found = []
    for index, sentence in enumerate(sentences):
        tokens = dictionary.encode_line(text.encode(sentence), add_if_not_exist=False).long()
        if len(tokens) > longest:
            raise TooLongError(index, sentence, len(tokens) - 1, longest - 1)
        tokens[:-1][torch.isin(tokens[:-1], own)] = dictionary.unk()
        found.append(tokens)
    return found
