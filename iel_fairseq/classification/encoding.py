"""Texts into the token numbers that a pretrained model reads; what is too long is cut, but never the appended word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from iel_fairseq.classification.words import SEPARATOR, append_word

AT_ONCE = 10_000
"""Texts that the tokenizer gets at a time: what it returns takes many times the room of what is kept of it."""


@dataclass(frozen=True)
class Encoded:
    """A text as the model reads it.

    Attributes:
        input_ids: int32 ``(tokens,)``, special tokens among them
        token_type_ids: int8 ``(tokens,)``, 1 in the second sentence; zeros for models without
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray


def split_pairs(texts: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """First sentences, and second ones where the texts are pairs."""
    parts = [text.split(SEPARATOR, 1) for text in texts]
    if not parts or len(parts[0]) == 1:
        return list(texts), None
    return [part[0] for part in parts], [part[1] for part in parts]


def without_special_tokens(tokenizer, texts: Sequence[str]) -> list[str]:
    """*texts* in which what looks like a special token of the *tokenizer*, such as ``[MASK]``, is broken by a space."""
    special = sorted(filter(lambda token: len(token) > 1, tokenizer.all_special_tokens), key=len, reverse=True)
    if not special:
        return list(texts)
    found = re.compile("|".join(map(re.escape, special)))
    return [found.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text) for text in texts]


def encode(
    tokenizer, texts: Sequence[str], limit: int, appended: Sequence[str | None] | None = None
) -> tuple[list[Encoded], int]:
    """Encode *texts*, which are all single sentences or all pairs.

    Args:
        tokenizer: a fast one of transformers
        texts: pairs have :data:`~iel_fairseq.classification.words.SEPARATOR` between their sentences
        limit: tokens that the model can read; longer texts lose the end of the longer sentence
        appended: for each text the word at its end, which is not cut off, nor a special token; None: there is none

    Returns:
        what the model reads, and how many texts were cut
    """
    words = list(appended or [None] * len(texts))
    if any(words):
        plain = without_special_tokens(tokenizer, [word or "" for word in words])
        words = [word and text for word, text in zip(words, plain, strict=True)]
    found = _tokens(tokenizer, [append_word(text, word) for text, word in zip(texts, words, strict=True)])
    too_long = [row for row, encoded in enumerate(found) if len(encoded.input_ids) > limit]
    for row in too_long:
        found[row] = _cut(tokenizer, texts[row], limit, words[row])
    return found, len(too_long)


def _tokens(tokenizer, texts: Sequence[str], **options) -> list[Encoded]:
    firsts, seconds = split_pairs(texts)
    found: list[Encoded] = []
    for some in (slice(start, start + AT_ONCE) for start in range(0, len(firsts), AT_ONCE)):
        pairs = firsts[some], None if seconds is None else seconds[some]
        found += encoded_of(tokenizer(*pairs, return_attention_mask=False, verbose=False, **options))
    return found


def encoded_of(batch) -> list[Encoded]:
    """The texts of a tokenizer's *batch*, as the model reads them."""
    types = batch.get("token_type_ids")
    return [
        Encoded(
            np.array(ids, dtype=np.int32),
            np.zeros(len(ids), dtype=np.int8) if types is None else np.array(types[row], dtype=np.int8),
        )
        for row, ids in enumerate(batch["input_ids"])
    ]


def _cut(tokenizer, text: str, limit: int, word: str | None) -> Encoded:
    if word is None:
        return _tokens(tokenizer, [text], truncation=True, max_length=limit)[0]
    room = limit  # for the plain text
    while room > 0:
        encoded = _tokens(tokenizer, [append_word(_shortened(tokenizer, text, room), word)])[0]
        excess = len(encoded.input_ids) - limit
        if excess <= 0:
            return encoded
        room -= excess
    alone = append_word(_shortened(tokenizer, text, 0), word)  # too long itself: its beginning is left
    return _tokens(tokenizer, [alone], truncation=True, max_length=limit)[0]


def _shortened(tokenizer, text: str, limit: int) -> str:
    """The characters of *text* that are left when it is cut to *limit* tokens."""
    special = tokenizer.num_special_tokens_to_add(SEPARATOR in text)
    sentences = text.split(SEPARATOR, 1)
    if limit <= special:
        return SEPARATOR.join("" for _ in sentences)
    lists = [[sentence] for sentence in sentences]  # given alone, an empty second sentence would not make a pair
    batch = tokenizer(*lists, truncation=True, max_length=limit, return_offsets_mapping=True, verbose=False)
    ends = [0] * len(sentences)
    for sentence, (_, end) in zip(batch.sequence_ids(0), batch["offset_mapping"][0], strict=True):
        if sentence is not None:
            ends[sentence] = max(ends[sentence], end)
    return SEPARATOR.join(sentence[:end] for sentence, end in zip(sentences, ends, strict=True))


def pad(encoded: Sequence[Encoded], tokenizer) -> dict[str, Tensor]:
    """A batch, padded on the *tokenizer*'s side: XLNet decides at the last token, which must be no padding.

    Returns:
        ``input_ids`` and ``attention_mask``, int64 ``(B, longest)``, and ``token_type_ids`` for models that want them
    """

    def joined(rows: Iterable[np.ndarray], padding: int) -> Tensor:
        return collate_tokens(
            [torch.from_numpy(row) for row in rows], padding, left_pad=tokenizer.padding_side == "left"
        ).long()

    ids = [row.input_ids for row in encoded]
    batch = {
        "input_ids": joined(ids, tokenizer.pad_token_id),
        "attention_mask": joined((np.ones_like(row) for row in ids), 0),
    }
    if "token_type_ids" in tokenizer.model_input_names:
        batch["token_type_ids"] = joined((row.token_type_ids for row in encoded), 0)
    return batch
