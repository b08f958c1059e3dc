"""A set whose files are not whole, or do not belong together, is one line before anything is read."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest
from commands import IEL, MODELS, PLAIN, preprocess, run, train
from fairseq.data import Dictionary, indexed_dataset
from fairseq.data.huffman.huffman_mmap_indexed_dataset import HuffmanMMapIndex
from fairseq.tasks import translation

from iel_fairseq.binarised_set import check_split
from iel_fairseq.errors import IELError
from iel_fairseq.mmap_index import read_index

PAIR = ("src", "tgt")
LIMITS = {"left_pad_source": True, "left_pad_target": False, "max_source_positions": 9, "max_target_positions": 9}
"""What else fairseq wants to know of a set."""
AGAIN = "copy it again, or make it again with fairseq-preprocess"


@pytest.fixture
def folder(data, tmp_path):
    return shutil.copytree(data, tmp_path / "bin")


@pytest.fixture
def dictionaries(data):
    return tuple(Dictionary.load(str(data / f"dict.{language}.txt")) for language in PAIR)


def cut(path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def copy_files(folder, begin: str, other: str) -> None:
    """Copy the binarised files whose names begin so to others."""
    for file in [*folder.glob(f"{begin}.*idx"), *folder.glob(f"{begin}.*bin")]:
        shutil.copy(file, folder / file.name.replace(begin, other, 1))


def patch(path, place: int, content: bytes) -> None:
    """Write *content* over what is at a *place*, from the end where that is negative."""
    with open(path, "r+b") as file:
        file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        file.write(content)


@pytest.mark.parametrize("language", PAIR)
@pytest.mark.parametrize(
    ("ending", "damage", "message"),
    [
        ("bin", lambda file: cut(file, 0.5), r"bin: [\d,]+ bytes, its index says [\d,]+; "),
        ("bin", lambda file: cut(file, 0), r"bin: 0 bytes, its index says [\d,]+; "),
        ("bin", lambda file: os.remove(file), "bin: missing; "),
        ("idx", lambda file: os.remove(file), "idx: missing; "),
        ("idx", lambda file: cut(file, 0.5), "idx: damaged, perhaps cut short; "),
        ("idx", lambda file: cut(file, 0), "idx: damaged, perhaps cut short; "),
        ("idx", lambda file: file.write_bytes(b"MMIDIDX\0\0 and no more"), "idx: damaged, perhaps cut short; "),
        ("idx", lambda file: file.write_text("something else, as long as a header is"), "idx: damaged"),
        ("idx", lambda file: patch(file, 9, b"\2"), "idx: damaged"),  # another version
        ("idx", lambda file: file.write_bytes(file.read_bytes() + b"\0"), "idx: damaged"),
        ("idx", lambda file: patch(file, -8, bytes(8)), "idx: damaged"),  # where the last sentence begins
        ("bin", lambda file: patch(file, 0, b"\xff\xff\xff\xff"), "bin: has words beyond"),
    ],
)
def test_files_that_are_not_whole(folder, dictionaries, language, ending, damage, message):
    check_split(str(folder), "test", PAIR, dictionaries)
    damage(folder / f"test.src-tgt.{language}.{ending}")
    for kind in (None, "mmap"):
        with pytest.raises(IELError, match=rf"^{re.escape(str(folder))}/test\.src-tgt\.{language}\.{message}"):
            check_split(str(folder), "test", PAIR, dictionaries, kind=kind)
    check_split(str(folder), "valid", PAIR, dictionaries)


def test_the_other_direction_and_one_language_alone(folder, dictionaries):
    check_split(str(folder), "test", ("tgt", "src"), dictionaries[::-1])
    cut(folder / "test.src-tgt.tgt.bin", 0.5)
    with pytest.raises(IELError, match=r"test\.src-tgt\.tgt\.bin: .* bytes, its index says"):
        check_split(str(folder), "test", ("tgt", "src"), dictionaries[::-1])
    check_split(str(folder), "test", PAIR, (dictionaries[0], None))
    os.remove(folder / "test.src-tgt.tgt.bin")
    os.remove(folder / "test.src-tgt.tgt.idx")  # a set without references
    check_split(str(folder), "test", PAIR, dictionaries)


def test_sets_that_are_read_together(folder, dictionaries):
    copy_files(folder, "test.src-tgt", "valid1.src-tgt")
    cut(folder / "valid1.src-tgt.tgt.bin", 0.5)
    check_split(str(folder), "valid", PAIR, dictionaries)
    with pytest.raises(IELError, match=r"valid1\.src-tgt\.tgt\.bin: "):
        check_split(str(folder), "valid", PAIR, dictionaries, combine=True)


def test_two_sides_that_do_not_belong_together(folder, dictionaries):
    copy_files(folder, "train.src-tgt.tgt", "test.src-tgt.tgt")
    counts = (
        rf"{folder}/test\.src-tgt\.src\.idx has 100 sentences, {folder}/test\.src-tgt\.tgt\.idx has 4,000 sentences"
    )
    with pytest.raises(IELError, match=f"^{counts}; {AGAIN}$"):
        check_split(str(folder), "test", PAIR, dictionaries)


def test_words_of_a_larger_dictionary(folder, dictionaries):
    numbers = str(folder / "test.src-tgt.tgt")
    highest = int(np.fromfile(f"{numbers}.bin", read_index(f"{numbers}.idx")[0]).max())
    dictionary = Dictionary()
    while len(dictionary) < highest:
        dictionary.add_symbol(f"w{len(dictionary)}")
    with pytest.raises(IELError, match=rf"tgt\.bin: has words beyond the {highest} of its dictionary; "):
        check_split(str(folder), "test", PAIR, (dictionaries[0], dictionary))
    dictionary.add_symbol("the highest")
    check_split(str(folder), "test", PAIR, (dictionaries[0], dictionary))


def test_what_is_read_beside_the_first_part_may_be_empty_and_the_first_may_not(folder, dictionaries):
    for part in ("valid1", "other"):
        for language in PAIR:
            side = f"{folder}/{part}.src-tgt.{language}"
            indexed_dataset.make_builder(f"{side}.bin", "mmap", vocab_size=9).finalize(f"{side}.idx")
    check_split(str(folder), "valid", PAIR, dictionaries, combine=True)
    with pytest.raises(IELError, match="split 'other' holds no sentences"):
        check_split(str(folder), "other", PAIR, dictionaries)


def test_of_two_directions_the_one_that_was_asked_for(folder, dictionaries):
    copy_files(folder, "test.src-tgt", "test.tgt-src")
    cut(folder / "test.tgt-src.src.bin", 0.5)
    check_split(str(folder), "test", PAIR, dictionaries)
    with pytest.raises(IELError, match=r"test\.tgt-src\.src\.bin: "):
        check_split(str(folder), "test", PAIR[::-1], dictionaries[::-1])


def test_fairseqs_function_looks_at_what_it_reads(folder, corpus, dictionaries):
    """At all parts of a set; and not at what --dataset-impl leaves aside."""
    copy_files(folder, "test.src-tgt", "valid1.src-tgt")
    for language in PAIR:
        shutil.copy(corpus / f"test.{language}", folder / f"test.src-tgt.{language}")
    cut(folder / "valid1.src-tgt.tgt.bin", 0.5)
    cut(folder / "test.src-tgt.src.bin", 0.5)
    given = ("src", dictionaries[0], "tgt", dictionaries[1])
    with pytest.raises(IELError, match=r"valid1\.src-tgt\.tgt\.bin: "):
        translation.load_langpair_dataset(str(folder), "valid", *given, True, None, 1, **LIMITS)
    assert len(translation.load_langpair_dataset(str(folder), "test", *given, False, "raw", 1, **LIMITS)) == 100


def test_text_that_is_not_binarised(corpus, folder, dictionaries):
    """fairseq's own error is a traceback; beside a binarised set it reads the text."""
    for language in PAIR:
        shutil.copy(corpus / f"test.{language}", folder / f"text.src-tgt.{language}")
        shutil.copy(corpus / f"test.{language}", folder / f"test.src-tgt.{language}")
    message = r"text\.src-tgt\.src: not binarised; do that \(fairseq-preprocess\), or give --dataset-impl$"
    with pytest.raises(IELError, match=message):
        check_split(str(folder), "text", PAIR, dictionaries)
    check_split(str(folder), "text", PAIR, dictionaries, kind="raw")
    cut(folder / "test.src-tgt.src.bin", 0.5)
    check_split(str(folder), "test", PAIR, dictionaries)


def test_kinds_that_are_seldom_used(folder, dictionaries):
    (folder / "test.src-tgt.src.idx").write_bytes(HuffmanMMapIndex._HDR_MAGIC + bytes(40))
    check_split(str(folder), "test", PAIR, dictionaries)
    (folder / "text.src-tgt.src.fasta").write_text(">1\nabc\n")
    check_split(str(folder), "text", PAIR, dictionaries, kind="fasta")


@pytest.mark.parametrize("implementation", ["lazy", "raw"])
def test_other_kinds_of_data_sets_are_left_to_fairseq(corpus, data, tmp_path, dictionaries, implementation):
    known = ["--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt"]
    made = preprocess(corpus, tmp_path / "bin", *known, "--dataset-impl", implementation, splits=("test",))
    check_split(str(made), "test", PAIR, dictionaries, kind=implementation)
    if implementation == "lazy":  # which fairseq finds out by itself
        check_split(str(made), "test", PAIR, dictionaries)
    if implementation == "raw":  # beside one that is not read
        shutil.copy(data / "test.src-tgt.src.idx", made)
        check_split(str(made), "test", PAIR, dictionaries, kind="raw")
        with pytest.raises(IELError, match=r"test\.src-tgt\.src\.bin: missing"):
            check_split(str(made), "test", PAIR, dictionaries)


def test_the_direction_is_that_of_the_files_that_are_read(folder, dictionaries):
    """Not that of what somebody left beside them."""
    (folder / "test.tgt-src.tgt.bak").touch()
    cut(folder / "test.src-tgt.src.bin", 0.5)
    with pytest.raises(IELError, match=r"test\.src-tgt\.src\.bin: .* bytes, its index says"):
        check_split(str(folder), "test", PAIR[::-1], dictionaries[::-1])


def test_fairseqs_function_is_called_as_before(folder, dictionaries):
    named = dict(zip(("src", "tgt", "src_dict", "tgt_dict"), (*PAIR, *dictionaries), strict=True))
    options = {"combine": False, "dataset_impl": None, "upsample_primary": 1, **LIMITS}
    found = translation.load_langpair_dataset(data_path=str(folder), split="test", **named, **options)
    assert len(found) == 100


def test_training_and_decoding_say_so(folder, trained, tmp_path):
    """Plain training as well: fairseq by itself trains until it comes to what is missing."""
    baseline, _ = trained("transformer", "baseline")
    cut(folder / "train.src-tgt.tgt.bin", 0.9)
    cut(folder / "test.src-tgt.src.bin", 0.5)
    for task in (PLAIN, IEL):
        options = [*task, *MODELS["transformer"], "--finetune-from-model", baseline]
        log = train(folder, tmp_path / task[-1], *options, fails=True)
        assert "Traceback" not in log
        assert re.search(r"iel_fairseq: error: .*/train\.src-tgt\.tgt\.bin: [\d,]+ bytes, its index says", log)
    log = run("iel", "extract", folder, "--path", baseline, "--cpu", fails=True)
    assert "Traceback" not in log
    assert re.search(r"iel_fairseq: error: .*/test\.src-tgt\.src\.bin: [\d,]+ bytes, its index says", log)
