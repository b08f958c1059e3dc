"""Data sets that ``iel prepare`` knows by name: one file each says what is in them, and how they are split."""

from __future__ import annotations

import os
from types import ModuleType

from iel_fairseq.corpora import homeassistant, iwslt17, multi30k, tatoeba, wmt14
from iel_fairseq.corpora.addresses import ADDRESSES
from iel_fairseq.corpora.parallel_text import Split
from iel_fairseq.corpora.raw_files import RawFiles
from iel_fairseq.errors import IELError

CORPORA: dict[str, ModuleType] = {
    "homeassistant": homeassistant,
    "multi30k": multi30k,
    "tatoeba": tatoeba,
    "iwslt17": iwslt17,
    "wmt14": wmt14,
}
"""Each has ``PAIRS``, its pairs of source and target language, and ``splits(files, source, target)``."""


def corpus_splits(name: str, source: str, target: str, raw: str | None, folder: str) -> list[Split]:
    """The splits of a data set: train, valid, and the test sets.

    Args:
        name: of the data set
        source: source language
        target: target language
        raw: folder that holds its files; None: they are downloaded
        folder: for downloads

    Raises:
        IELError: it does not have these languages; or a file is missing or cannot be downloaded
    """
    corpus = CORPORA[name]
    if (source, target) not in corpus.PAIRS:
        pairs = ", ".join(f"{left}-{right}" for left, right in corpus.PAIRS)
        raise IELError(f"{name}: no {source}-{target}; with --source-lang and --target-lang it is one of {pairs}")
    if raw is not None and not os.path.isdir(raw):
        raise IELError(f"--raw {raw}: no such folder")
    return corpus.splits(RawFiles(folder, raw, ADDRESSES[name]), source, target)
