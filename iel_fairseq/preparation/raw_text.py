"""From raw text to the pieces that a model reads, and from those that it writes back to raw text."""

from __future__ import annotations

import os

from fairseq.data.data_utils import post_process

from iel_fairseq.preparation import prepared_folder
from iel_fairseq.preparation.bpe import apply_codes
from iel_fairseq.preparation.prepared_folder import PreparedFolder


class RawText:
    """The two ways between raw text and pieces, as a data folder was prepared."""

    def __init__(self, prepared: PreparedFolder):
        """
        Raises:
            IELError: truecaser or BPE codes cannot be read
        """
        self._split = apply_codes(prepared.file(prepared.codes[prepared.source_lang]))
        self._source = prepared.text(prepared.source_lang)
        self._target = prepared.text(prepared.target_lang)

    def encode(self, sentence: str) -> str:
        """A raw sentence of the source language as pieces."""
        return self._split(self._source.encode(sentence))

    def decode(self, pieces: str) -> str:
        """Pieces of the target language as raw text."""
        return self._target.decode(whole_words(pieces))


class TokensForText:
    """In the place of :class:`RawText` where a folder does not say how it was prepared: text is its tokens."""

    def encode(self, sentence: str) -> str:
        """The tokens as they are."""
        return sentence

    def decode(self, pieces: str) -> str:
        """Words, their pieces joined."""
        return whole_words(pieces)


def whole_words(pieces: str) -> str:
    """Pieces joined to words: BPE's ``@@`` undone."""
    return post_process(pieces, "subword_nmt")


def text_of(folder: str) -> RawText | TokensForText:
    """The way between text and pieces for fairseq's data folder *folder*.

    Raises:
        IELError: what the folder remembers is damaged
    """
    if os.path.exists(os.path.join(folder, prepared_folder.FILE)):
        return RawText(PreparedFolder.read(folder))
    return TokensForText()
