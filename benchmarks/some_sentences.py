"""Data folders of as many sentences as a benchmark wants."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder


def some_sentences(task, split: str, first: int, count: int, folder: Path) -> Path:
    """The *first* sentences of *split*, over and over, *count* in all, as the split `train` of a data folder."""
    folder.mkdir()
    dataset, source, target = task.dataset(split), task.cfg.source_lang, task.cfg.target_lang
    for language, dictionary, sentences in (
        (source, dataset.src_dict, dataset.src),
        (target, dataset.tgt_dict, dataset.tgt),
    ):
        dictionary.save(str(folder / f"dict.{language}.txt"))
        prefix = folder / f"train.{source}-{target}.{language}"
        builder = MMapIndexedDatasetBuilder(f"{prefix}.bin", dtype=np.int32)
        for index in islice(cycle(range(first)), count):
            builder.add_item(sentences[index])
        builder.finalize(f"{prefix}.idx")
    return folder
