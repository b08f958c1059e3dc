"""A set whose files are not whole, or do not belong together, is one line before anything is read."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from commands import IEL, MODELS, PLAIN, preprocess, run, train
from fairseq.data import Dictionary
from fairseq.tasks import translation

from iel_fairseq.binarised_set import check_split
from iel_fairseq.errors import IELError

PAIR = ("src", "tgt")
AGAIN = "copy it again, or make it again with fairseq-preprocess"


@pytest.fixture
def folder(data, tmp_path):
    return shutil.copytree(data, tmp_path / "bin")


@pytest.fixture
def dictionaries(data):
    return tuple(Dictionary.load(str(data / f"dict.{language}.txt")) for language in PAIR)


def cut(path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


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
    ],
)
def test_files_that_are_not_whole(folder, dictionaries, language, ending, damage, message):
    check_split(str(folder), "test", PAIR, dictionaries)
    damage(folder / f"test.src-tgt.{language}.{ending}")
    with pytest.raises(IELError, match=rf"^{re.escape(str(folder))}/test\.src-tgt\.{language}\.{message}"):
        check_split(str(folder), "test", PAIR, dictionaries)
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
    for language in PAIR:
        for ending in ("idx", "bin"):
            shutil.copy(folder / f"test.src-tgt.{language}.{ending}", folder / f"valid1.src-tgt.{language}.{ending}")
    cut(folder / "valid1.src-tgt.tgt.bin", 0.5)
    check_split(str(folder), "valid", PAIR, dictionaries)
    with pytest.raises(IELError, match=r"valid1\.src-tgt\.tgt\.bin: "):
        check_split(str(folder), "valid", PAIR, dictionaries, combine=True)


def test_two_sides_that_do_not_belong_together(folder, dictionaries):
    for ending in ("idx", "bin"):
        shutil.copy(folder / f"train.src-tgt.tgt.{ending}", folder / f"test.src-tgt.tgt.{ending}")
    counts = (
        rf"{folder}/test\.src-tgt\.src\.idx has 100 sentences, {folder}/test\.src-tgt\.tgt\.idx has 4,000 sentences"
    )
    with pytest.raises(IELError, match=f"^{counts}; {AGAIN}$"):
        check_split(str(folder), "test", PAIR, dictionaries)


def test_words_of_a_larger_dictionary(folder, dictionaries):
    highest = max(len(each) for each in dictionaries)
    few = Dictionary()
    with pytest.raises(
        IELError, match=rf"test\.src-tgt\.tgt\.bin: has words beyond the {len(few)} of its dictionary; "
    ):
        check_split(str(folder), "test", PAIR, (dictionaries[0], few))
    assert highest > len(few)


@pytest.mark.parametrize("implementation", ["lazy", "raw"])
def test_other_kinds_of_data_sets_are_left_to_fairseq(corpus, data, tmp_path, dictionaries, implementation):
    known = ["--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt"]
    made = preprocess(corpus, tmp_path / "bin", *known, "--dataset-impl", implementation, splits=("test",))
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
    limits = {"left_pad_source": True, "left_pad_target": False, "max_source_positions": 9, "max_target_positions": 9}
    options = {"combine": False, "dataset_impl": None, "upsample_primary": 1, **limits}
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
