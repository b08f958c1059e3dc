"""IWSLT'17 French-English TED talks: dev2010 to tst2015 for validation, tst2017 for test."""

from __future__ import annotations

from iel_fairseq.corpora.parallel_text import Split
from iel_fairseq.corpora.raw_files import RawFiles
from iel_fairseq.corpora.tagged_text import segments, untagged

PAIRS = [("fr", "en")]

VALID = ["dev2010", "tst2010", "tst2011", "tst2012", "tst2013", "tst2014", "tst2015"]


def splits(files: RawFiles, source: str, target: str) -> list[Split]:
    def path(name: str, archive: str = "2017-01-trnted.fr-en.tgz") -> str:
        return files.text(name, archive)

    train = (path("fr-en/train.tags.fr-en.fr"), path("fr-en/train.tags.fr-en.en"))
    valid = [
        (path(f"fr-en/IWSLT17.TED.{name}.fr-en.fr.xml"), path(f"fr-en/IWSLT17.TED.{name}.fr-en.en.xml"))
        for name in VALID
    ]
    # Test sets were published without translations: the English side is that of the other direction.
    test = (
        path("fr-en/IWSLT17.TED.tst2017.fr-en.fr.xml", "2017-01-ted-test.fr-en.tgz"),
        path("en-fr/IWSLT17.TED.tst2017.en-fr.en.xml", "2017-01-ted-test.en-fr.tgz"),
    )
    return [
        Split.of_files("train", [train], untagged),
        Split.of_files("valid", valid, segments),
        Split.of_files("tst2017", [test], segments),
    ]
