"""Multi30k, task 1 (Elliott et al., 2016, 2017): 29,000 image captions, tests of 2016 and 2017."""

from __future__ import annotations

from itertools import permutations

from iel_fairseq.corpora.parallel_text import Split
from iel_fairseq.corpora.raw_files import RawFiles

PAIRS = list(permutations(("de", "en", "fr"), 2))


def splits(files: RawFiles, source: str, target: str) -> list[Split]:
    published = {"train": "train", "valid": "val"}
    names = ["train", "valid", "test_2016_flickr", "test_2017_flickr"]

    def path(name: str, language: str) -> str:
        file = f"{published.get(name, name)}.{language}"
        return files.text(file, f"{file}.gz")

    return [Split.of_files(name, [(path(name, source), path(name, target))]) for name in names]
