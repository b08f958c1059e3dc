"""WMT'14 German-English: Europarl v7, Common Crawl, News Commentary v9; newstest2013 and 2014 for valid and test."""

from __future__ import annotations

from iel_fairseq.corpora.parallel_text import Split
from iel_fairseq.corpora.raw_files import RawFiles
from iel_fairseq.corpora.tagged_text import segments

PAIRS = [("de", "en"), ("en", "de")]

TRAINING = {
    "training/europarl-v7.de-en": "training-parallel-europarl-v7.tgz",
    "commoncrawl.de-en": "training-parallel-commoncrawl.tgz",
    "training/news-commentary-v9.de-en": "training-parallel-nc-v9.tgz",
}
"""Parts of the training data, and the archives that hold them."""
# The same sentences for both directions.
NEWSTEST2014 = {"de": "dev/newstest2014-deen-src.de.sgm", "en": "dev/newstest2014-deen-ref.en.sgm"}


def splits(files: RawFiles, source: str, target: str) -> list[Split]:
    def both(of_language: dict[str, str], archive: str) -> tuple[str, str]:
        return files.text(of_language[source], archive), files.text(of_language[target], archive)

    training = [both({lang: f"{part}.{lang}" for lang in ("de", "en")}, TRAINING[part]) for part in TRAINING]
    newstest2013 = both({lang: f"dev/newstest2013.{lang}" for lang in ("de", "en")}, "dev.tgz")
    return [
        Split.of_files("train", training),
        Split.of_files("valid", [newstest2013]),
        Split.of_files("newstest2014", [both(NEWSTEST2014, "dev.tgz")], segments),
    ]
