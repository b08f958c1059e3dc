"""Named data sets: read as they are published, split the same on every machine, downloaded and verified."""

from __future__ import annotations

import hashlib
import http.server
import json
import lzma
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iel_fairseq.corpora import CORPORA, corpus_splits, raw_files
from iel_fairseq.corpora.addresses import ADDRESSES, Address
from iel_fairseq.corpora.raw_files import RawFiles, fetch
from iel_fairseq.corpora.tagged_text import segments, untagged
from iel_fairseq.errors import IELError

XML = """<?xml version="1.0" encoding="UTF-8"?>
<mteval><srcset setid="x" srclang="french">
<doc docid="535" genre="lectures">
<url>http://www.ted.com/talks/1</url>
<title>Un titre</title>
<seg id="1"> Merci beaucoup, AT&T & <i>tous</i>. </seg>
<seg id="2">Deux  espaces</seg>
</doc></srcset></mteval>
"""
TRAIN_TAGS = """<url>http://www.ted.com/talks/1</url>
<speaker>Rives</speaker>
<talkid>1</talkid>
<title>Rives : 4 heures</title>
<description>TED Talk</description>
<keywords>entertainment, poetry</keywords>
 C'est un poème.
x < y, mais <url> au milieu reste
<reviewer href="http://x">Some One</reviewer>
<translator href="http://x">Else</translator>
"""


def test_test_sets_are_read_as_they_come(tmp_path):
    (tmp_path / "set.xml").write_text(XML)
    assert list(segments(str(tmp_path / "set.xml"))) == [
        (6, "Merci beaucoup, AT&T & <i>tous</i>."),
        (7, "Deux espaces"),
    ]
    (tmp_path / "set.xml").write_text("plain text\n")
    with pytest.raises(IELError, match="holds no <seg>"):
        list(segments(str(tmp_path / "set.xml")))
    (tmp_path / "set.xml").write_text('<seg id="1">half\n</seg>')
    with pytest.raises(IELError, match="line 1: a <seg> without </seg>"):
        list(segments(str(tmp_path / "set.xml")))


def test_training_text_with_tags_is_read_as_it_comes(tmp_path):
    (tmp_path / "train.tags").write_text(TRAIN_TAGS)
    assert [text for _, text in untagged(str(tmp_path / "train.tags"))] == [
        *("Rives : 4 heures", "TED Talk", "C'est un poème.", "x < y, mais <url> au milieu reste"),
    ]


def sets(name: str, source: str, target: str, raw: Path, folder: Path) -> dict[str, list[tuple[str, str]]]:
    return {split.name: list(split.pairs()) for split in corpus_splits(name, source, target, str(raw), str(folder))}


def test_iwslt17(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for language in ("fr", "en"):
        (raw / f"train.tags.fr-en.{language}").write_text(TRAIN_TAGS.replace("poème", f"poème {language}"))
        for year in ("dev2010", "tst2010", "tst2011", "tst2012", "tst2013", "tst2014", "tst2015"):
            (raw / f"IWSLT17.TED.{year}.fr-en.{language}.xml").write_text(XML.replace("espaces", f"{year} {language}"))
    (raw / "IWSLT17.TED.tst2017.fr-en.fr.xml").write_text(XML)
    (raw / "IWSLT17.TED.tst2017.en-fr.en.xml").write_text(XML.replace("Merci", "Thanks"))
    found = sets("iwslt17", "fr", "en", raw, tmp_path)
    assert list(found) == ["train", "valid", "tst2017"]
    assert found["train"][2] == ("C'est un poème fr.", "C'est un poème en.")
    assert found["valid"][1] == ("Deux dev2010 fr", "Deux dev2010 en")
    assert len(found["valid"]) == 14
    assert found["tst2017"][0][1].startswith("Thanks")
    with pytest.raises(IELError, match=r"iwslt17: no en-fr; .* one of fr-en"):
        sets("iwslt17", "en", "fr", raw, tmp_path)


def test_wmt14_both_ways_from_files_and_archives(tmp_path):
    raw = tmp_path / "raw"
    (raw / "training").mkdir(parents=True)
    for language in ("de", "en"):
        (raw / f"training/europarl-v7.de-en.{language}").write_text(f"europarl {language}\n")
        (raw / f"commoncrawl.de-en.{language}").write_text(f"crawl {language}\r\n")  # as it is published
        (raw / f"news-commentary-v9.de-en.{language}").write_text(f"news\u2028{language}\n")
        (tmp_path / f"newstest2013.{language}").write_text(f"2013 {language}\n")
    (tmp_path / "src").write_text(XML)
    (tmp_path / "ref").write_text(XML.replace("Merci", "Thanks"))
    with tarfile.open(raw / "dev.tgz", "w:gz") as archive:
        for language in ("de", "en"):
            archive.add(tmp_path / f"newstest2013.{language}", f"dev/newstest2013.{language}")
        archive.add(tmp_path / "src", "./dev/newstest2014-deen-src.de.sgm")
        archive.add(tmp_path / "ref", "dev/newstest2014-deen-ref.en.sgm")
    forth, back = (sets("wmt14", *pair, raw, tmp_path / "unpacked") for pair in (("de", "en"), ("en", "de")))
    assert forth["train"] == [
        ("europarl de", "europarl en"),
        ("crawl de", "crawl en"),
        ("news\u2028de", "news\u2028en"),
    ]
    assert forth["valid"] == [("2013 de", "2013 en")]
    assert forth["newstest2014"][0][1].startswith("Thanks")
    assert back == {name: [(target, source) for source, target in pairs] for name, pairs in forth.items()}
    (raw / "commoncrawl.de-en.en").unlink()
    with pytest.raises(IELError, match=r"holds no commoncrawl\.de-en\.en\[\.gz\|\.xz\] or training-parallel-comm"):
        sets("wmt14", "de", "en", raw, tmp_path)


def test_what_another_process_unpacks_meanwhile_is_not_unpacked_again(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("fra.txt", "one\tun\n")
    alone = raw_files.alone_in

    @contextmanager
    def waited(folder: str) -> Iterator[None]:
        with alone(folder):
            Path(folder, "fra.txt").write_text("theirs")
            yield

    monkeypatch.setattr(raw_files, "alone_in", waited)
    path = RawFiles(str(tmp_path / "downloads"), str(tmp_path), {}).text("fra.txt", "fra-eng.zip")
    assert Path(path).read_text() == "theirs"
    assert sorted(file.name for file in Path(path).parent.iterdir()) == ["fra.txt", "lock"]


def test_no_sentence_of_tatoebas_test_set_is_in_training(tmp_path):
    spaces = [" " if n % 7 == 0 else "" for n in range(6000)]  # others the second time
    lines = [f"English {n % 4000}{spaces[n]}.\tFrançais {n % 4500}{spaces[n]}.\tCC-BY" for n in range(6000)]
    with lzma.open(tmp_path / "fra-eng.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    found = sets("tatoeba", "fr", "en", tmp_path, tmp_path)
    assert {name: len(pairs) for name, pairs in found.items() if name != "train"} == {"valid": 1000, "test": 2000}
    kept = {(french, english) for english, french, _ in (line.split("\t") for line in lines)}
    for side in (0, 1):
        held_out = {pair[side].replace(" ", "") for name in ("valid", "test") for pair in found[name]}
        assert not held_out & {pair[side].replace(" ", "") for pair in found["train"]}
        kept = {pair for pair in kept if pair[side].replace(" ", "") not in held_out}
    assert sorted(found["train"]) == sorted(kept)
    first = hashlib.sha256(repr(found).encode()).hexdigest()
    assert first == "ce794bebde1707152f3acd44630d5f3253937db05c3cc5dc48335623cd1846d1"  # the same on every machine
    (tmp_path / "fra-eng.txt.xz").unlink()
    (tmp_path / "fra.txt").write_text("one\tun\ntwo deux\n")
    with pytest.raises(IELError, match=r"fra\.txt, line 2: no tab"):
        sets("tatoeba", "fr", "en", tmp_path, tmp_path)


def test_homeassistant_reads_translations_out_of_a_wheel(tmp_path):
    english = {
        "a": {"b": "Turn on the [light](url) now", "c": "Two words", "d": "It is {hot} in here"},
        "e": "one two three",
    }
    german = {
        "a": {"b": "Schalte das `Licht` jetzt an", "c": "Zwei Worte", "d": "Es ist {hot} hier"},
        "e": "one two three",
    }
    with zipfile.ZipFile(tmp_path / "homeassistant-2025.4.4-py3-none-any.whl", "w") as wheel:
        wheel.writestr("homeassistant/components/x/translations/en.json", json.dumps(english))
        wheel.writestr("homeassistant/components/x/translations/de.json", json.dumps(german))
    found = sets("homeassistant", "de", "en", tmp_path, tmp_path)
    assert found == {
        "train": [],
        "valid": [("Schalte das Licht jetzt an", "Turn on the light now")],
        "test": [],
    }


def test_addresses_are_whole():
    assert tuple(CORPORA) == tuple(ADDRESSES)
    for address in (address for files in ADDRESSES.values() for address in files.values()):
        assert address.url.startswith(("https://", "pip:"))
        assert address.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", address.sha256)


CONTENT = bytes(range(256)) * 40


class Site(http.server.BaseHTTPRequestHandler):
    """Breaks the connection off after 4,000 bytes, but sends any range that is asked for, to who says who he is."""

    asked: list[str | None] = []
    chunked = False

    def do_GET(self):
        if self.headers["User-Agent"].startswith("Python-urllib"):
            self.send_error(406)
            return
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT[start : start + 4000])
            return
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + 4000])

    def log_message(self, *_):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(raw_files.time, "sleep", lambda _: None)
    Site.asked = []
    with http.server.HTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()


def test_a_download_that_breaks_off_is_resumed_and_verified(url, tmp_path):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    fetch(Address(url, len(CONTENT), sha256), str(tmp_path / "file"))
    assert Site.asked == [None, "bytes=4000-", "bytes=8000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_breaks_off_within_a_chunk_is_tried_again(url, tmp_path, monkeypatch):
    monkeypatch.setattr(Site, "chunked", True)
    monkeypatch.setattr(Site, "protocol_version", "HTTP/1.1")  # chunks came with it
    with pytest.raises(IELError, match=r"cannot be downloaded \(IncompleteRead.*; start again to go on, or use --raw$"):
        fetch(Address(url, len(CONTENT)), str(tmp_path / "file"))
    assert len(Site.asked) == raw_files.ATTEMPTS


def test_a_checksum_that_nobody_published_is_noted(url, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:9000])  # of a download that was killed
    fetch(Address(url), str(tmp_path / "file"))
    assert Site.asked == ["bytes=9000-"]
    assert (tmp_path / "file.sha256").read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  file\n"


def test_another_file_than_was_published_is_refused(url, tmp_path):
    with pytest.raises(IELError, match=r"not the file that was published .* or get the file elsewhere"):
        fetch(Address(url, len(CONTENT), "0" * 64), str(tmp_path / "file"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(IELError, match=r"cannot be downloaded \(.*refused.*\); start again to go on, or use --raw"):
        fetch(Address("http://127.0.0.1:9/file"), str(tmp_path / "file"))


def test_homeassistant_has_the_first_translation_of_each_text_and_no_odd_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "homeassistant-2025.4.4-py3-none-any.whl", "w") as wheel:

        def write(component: str, language: str, texts: dict[str, str]) -> None:
            wheel.writestr(f"homeassistant/components/{component}/translations/{language}.json", json.dumps(texts))

        for number in reversed(range(20)):  # whatever their order in the archive
            write(f"c{number:02}", "en", {"a": "Turn on the light"})
            write(f"c{number:02}", "de", {"a": f"Schalte Licht {number} an"})
        write("german_only", "de", {"a": "Nur auf Deutsch da"})
        write("odd", "en", {"long": "Open the door", "short": "Open the big door there now", "none": "Close the door"})
        write("odd", "de", {"long": "Öffne jetzt bitte die große Tür", "short": "Tür auf"})
    found = sets("homeassistant", "de", "en", tmp_path, tmp_path)
    assert found == {"train": [], "valid": [("Schalte Licht 0 an", "Turn on the light")], "test": []}


def test_iwslt17_from_the_archives_that_are_published(tmp_path):
    def pack(archive: str, texts: dict[str, str]) -> None:
        with tarfile.open(tmp_path / archive, "w:gz") as members:
            for name, text in texts.items():
                (tmp_path / "text").write_text(text)
                members.add(tmp_path / "text", name)

    years = ("dev2010", *(f"tst{year}" for year in range(2010, 2016)))
    tags = {f"fr-en/train.tags.fr-en.{language}": TRAIN_TAGS for language in ("fr", "en")}
    xml = {f"fr-en/IWSLT17.TED.{year}.fr-en.{language}.xml": XML for language in ("fr", "en") for year in years}
    pack("2017-01-trnted.fr-en.tgz", {**tags, **xml})
    pack("2017-01-ted-test.fr-en.tgz", {"fr-en/IWSLT17.TED.tst2017.fr-en.fr.xml": XML})
    english = XML.replace("Merci", "Thanks")
    pack("2017-01-ted-test.en-fr.tgz", {"en-fr/IWSLT17.TED.tst2017.en-fr.en.xml": english})
    found = sets("iwslt17", "fr", "en", tmp_path, tmp_path / "unpacked")
    assert [len(pairs) for pairs in found.values()] == [4, 14, 2]
    assert found["tst2017"][0][1].startswith("Thanks")
    pack("2017-01-ted-test.en-fr.tgz", {"en-fr/IWSLT17.TED.tst2017.en-fr.en.xml": english.replace("Thanks", "Hello")})
    changed = sets("iwslt17", "fr", "en", tmp_path, tmp_path / "unpacked")  # as a site replaces what it publishes
    assert changed["tst2017"][0][1].startswith("Hello")


@pytest.mark.parametrize(("source", "target"), [("fr", "en"), ("en", "de")])
def test_multi30k(tmp_path, source, target):
    names = {name: name for name in ("train", "valid", "test_2016_flickr", "test_2017_flickr")}
    names["valid"] = "val"
    for name in names.values():
        for language in ("de", "en", "fr"):
            (tmp_path / f"{name}.{language}").write_text(f"{name} {language}\n")
    found = sets("multi30k", source, target, tmp_path, tmp_path)
    assert found == {own: [(f"{name} {source}", f"{name} {target}")] for own, name in names.items()}
    assert list(found) == list(names)


class SiteWithoutRanges(http.server.BaseHTTPRequestHandler):
    """Sends all of a file, whatever is asked for; or, where it shall, says that there is no more of it."""

    refuses = False

    def do_GET(self):
        if self.refuses and self.headers.get("Range") == f"bytes={len(CONTENT)}-":
            self.send_error(416)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("whole", [False, True])
def test_a_download_goes_on_though_the_site_sends_no_ranges(tmp_path, monkeypatch, whole):
    """Of other bytes, which are thrown away; or killed after the last byte, before the file had its name."""
    monkeypatch.setattr(raw_files.time, "sleep", lambda _: None)
    monkeypatch.setattr(SiteWithoutRanges, "refuses", whole)
    (tmp_path / "file.part").write_bytes(CONTENT if whole else b"old" * 3000)
    with http.server.HTTPServer(("127.0.0.1", 0), SiteWithoutRanges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fetch(Address(f"http://127.0.0.1:{server.server_port}/file"), str(tmp_path / "file"))
        server.shutdown()
    assert (tmp_path / "file").read_bytes() == CONTENT
