"""Text files of all kinds, packed or not, damaged: one line that names the file, or what stands in it."""

from __future__ import annotations

import gzip
import json
import lzma
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mutations import COUNTS, ODD_FILES, damaged, damaged_json, read_damaged

from iel_fairseq.alignment_error import score_files
from iel_fairseq.classification.glue import GLUE_TASKS, read_glue
from iel_fairseq.corpora import homeassistant
from iel_fairseq.corpora.raw_files import _unpack
from iel_fairseq.corpora.tagged_text import segments, untagged
from iel_fairseq.corpora.tatoeba import split_by_english
from iel_fairseq.dictionaries import read_dictionary
from iel_fairseq.files import file_sha256
from iel_fairseq.preparation.bpe import learn_codes, write_vocabulary
from iel_fairseq.preparation.moses_text import count_cases, write_truecaser
from iel_fairseq.preparation.prepared_folder import PreparedFolder
from iel_fairseq.preparation.raw_text import text_of
from iel_fairseq.reports.runs import System
from iel_fairseq.text_files import numbered_lines

SENTENCES = [f"la phrase numéro {number}\n" for number in range(30)]
TEXT = "".join(SENTENCES).encode()


def plain(content: bytes) -> bytes:
    return content


def rte(folder: Path, name: str, pack: Callable[[bytes], bytes]) -> Path:
    rows = [f"{number}\tA b, c.\tD {number}.\t{GLUE_TASKS['RTE'].labels[number % 2]}\n" for number in range(6)]
    return put(folder / "RTE" / name, "".join(["index\tsentence1\tsentence2\tlabel\n", *rows]), pack)


def put(path: Path, text: str, pack: Callable[[bytes], bytes] = plain) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack(text.encode()))
    return path


def scores(folder: Path, gold: str, found: str) -> Callable[[], float]:
    paths = [str(put(folder / name, text)) for name, text in (("gold", gold), ("found", found))]
    return lambda: score_files(*paths).error_rate


def glue(folder: Path, task: str, split: str) -> Callable[[], list]:
    return lambda: read_glue(str(folder), GLUE_TASKS[task], split)


def tatoeba(path: Path) -> dict:
    split_by_english.cache_clear()
    return split_by_english(str(path))


LOG = """INFO | train: sentences 1 to 8,192 of 29,000 read in 12.5 s (655 sentences/s)
INFO | valid on 'valid' subset | loss 3.5 | nll_loss 2.1 | num_updates 500
INFO | valid on 'valid' subset | loss 3.25 | nll_loss 1.9 | num_updates 1000
"""


def log_of(system: System) -> tuple:
    return system.extraction_seconds, system.curve()


NAACL = "1 1 1 S\n1 2 2 P\n3 1 1 S 0.5\n"
PHARAOH = "0-0 1p1\n\n2-1 0?3\n"
FOUND = "0-0\n1-1 1-2\n2-1\n"

FILES: dict[str, Callable[[Path], tuple[Path, Callable[[], object]]]] = {
    "gold": lambda folder: (folder / "gold", scores(folder, PHARAOH, FOUND)),
    "gold of NAACL": lambda folder: (folder / "gold", scores(folder, NAACL, FOUND)),
    "alignments": lambda folder: (folder / "found", scores(folder, PHARAOH, FOUND)),
    "GLUE": lambda folder: (rte(folder, "dev.tsv", plain), glue(folder, "RTE", "valid")),
    "GLUE, packed": lambda folder: (rte(folder, "test.tsv.gz", gzip.compress), glue(folder, "RTE", "test")),
    "STS-B": lambda folder: (
        put(folder / "STS-B/dev.tsv", "\t".join(GLUE_TASKS["STS-B"].header) + "\n" + "a\t" * 9 + "3.5\n"),
        glue(folder, "STS-B", "valid"),
    ),
    "text": lambda folder: (put(folder / "text", TEXT.decode()), lambda: list(numbered_lines(str(folder / "text")))),
    "test set": lambda folder: (
        put(folder / "set.xml", '<doc>\n<seg id="1"> Où ? </seg>\n<seg id="2"> a & b </seg>\n</doc>\n'),
        lambda: list(segments(str(folder / "set.xml"))),
    ),
    "train.tags": lambda folder: (
        put(folder / "train.tags", "<url>http</url>\n<title>Un titre</title>\nOù ?\n"),
        lambda: list(untagged(str(folder / "train.tags"))),
    ),
    "tatoeba": lambda folder: (
        put(folder / "fra.txt", "Hi.\tSalut.\tCC\nRun!\tCours !\n"),
        lambda: tatoeba(folder / "fra.txt"),
    ),
    "train.log": lambda folder: (put(folder / "train.log", LOG), lambda: log_of(System("baseline", folder))),
    "translations": lambda folder: (
        put(folder / "test.fr", TEXT.decode()),
        lambda: System("baseline", folder).translations("test", "fr"),
    ),
    "dictionary": lambda folder: (
        put(folder / "dict.fr.txt", "a 5\nb 4\nc 3 #fairseq:overwrite\n"),
        lambda: read_dictionary(str(folder / "dict.fr.txt")),
    ),
}
"""Makes a file; gives its path, and what reads it."""


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", FILES)
def test_text(tmp_path, record_property, kind, count):
    path, read = FILES[kind](tmp_path)
    read()
    tried, _ = read_damaged(path, damaged(path.read_bytes(), 1, count), read)
    record_property("inputs", tried)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_text_is_what_was_packed_or_refused(tmp_path, record_property, ending, pack, count):
    path = tmp_path / f"text{ending}"
    path.write_bytes(pack(TEXT))

    def read() -> list[str]:
        return [f"{line}\n" for _, line in numbered_lines(str(path))]

    tried, accepted = read_damaged(path, damaged(path.read_bytes(), 1, count), read)
    record_property("inputs", tried)
    # Doubled, both are there; an empty file is packed nothing.
    assert all(found in ([], SENTENCES, SENTENCES * 2) for _, found in accepted)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("archive", ["fra-eng.zip", "texts.tgz"])
def test_what_is_unpacked_is_what_was_packed_or_refused(tmp_path, record_property, archive, count):
    path, text = tmp_path / archive, put(tmp_path / "text", TEXT.decode())
    if archive.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
            members.write(text, "fr-en/text")
    else:
        with tarfile.open(path, "w:gz") as members:
            members.add(text, "./fr-en/text")

    def read() -> bytes:
        _unpack(str(path), "fr-en/text", str(tmp_path / "unpacked"))
        return (tmp_path / "unpacked").read_bytes()

    assert read() == TEXT
    tried, accepted = read_damaged(path, damaged(path.read_bytes(), 1, count), read)
    record_property("inputs", tried)
    assert all(found == TEXT for _, found in accepted)


@pytest.mark.parametrize("count", COUNTS)
def test_the_wheel_of_the_demo(tmp_path, record_property, count):
    path = tmp_path / "homeassistant.whl"
    english, french = {"a": {"b": "Open the big door now"}}, {"a": {"b": "Ouvrir la grande porte maintenant"}}

    def write(translation: bytes) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as files:
            files.writestr("a/translations/fr.json", translation)
            files.writestr("a/translations/en.json", json.dumps(english))

    def read() -> dict:
        homeassistant._split.cache_clear()
        return homeassistant._split(str(path), "fr")

    whole = json.dumps(french).encode()
    write(whole)
    assert read()["valid"] == [(french["a"]["b"], english["a"]["b"])]
    tried, _ = read_damaged(path, damaged(path.read_bytes(), 1, count), read)
    for mutant in [*ODD_FILES, *damaged_json(whole, 1, count)]:
        write(mutant)
        tried += read_damaged(path, [path.read_bytes()], read)[0]
    record_property("inputs", tried)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("with_checksums", [True, False])
@pytest.mark.parametrize("name", ["truecaser.fr", "codes"])
def test_what_a_prepared_folder_works_with(tmp_path, record_property, name, with_checksums, count):
    """With their checksums, which older folders lack, no other truecaser and no other codes are used."""
    sentences = ["the Park is old .", "a cat sleeps in Paris", "dogs run in the Park"] * 4
    write_truecaser(count_cases(sentences), str(tmp_path / "truecaser.fr"))
    write_vocabulary(Counter(" ".join(sentences).split()), str(tmp_path / "words"))
    learn_codes([str(tmp_path / "words")], 20, str(tmp_path / "codes"))
    prepared = PreparedFolder(
        *(str(tmp_path), "fr", "en", {"valid": "valid"}),
        truecasers={"fr": "truecaser.fr"},
        codes={"fr": "codes", "en": "codes"},
    )
    prepared.write()
    if with_checksums:
        sums = {name: file_sha256(str(tmp_path / name)) for name in ("truecaser.fr", "codes")}
        replace(prepared, sha256=sums).write()

    def read() -> str:
        return text_of(str(tmp_path)).encode("The park is old.")

    read()
    tried, accepted = read_damaged(tmp_path / name, damaged((tmp_path / name).read_bytes(), 1, count), read)
    record_property("inputs", tried)
    assert not (with_checksums and accepted)
