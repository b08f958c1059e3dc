"""``iel prepare`` on small real text, from raw files to a fairseq data folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from argparse import Namespace
from pathlib import Path

import pytest
from commands import BIN, CPU, IEL, MODELS, PLAIN, run
from commands import lines as output_lines
from fairseq.data import Dictionary, data_utils, encoders

from iel_fairseq import cli
from iel_fairseq.errors import IELError
from iel_fairseq.files import alone_in
from iel_fairseq.preparation import steps
from iel_fairseq.preparation.prepared_folder import PreparedFolder

TRAIN = [
    ("Le chat dort.", "The cat is sleeping."),
    ("", "An empty line."),
    ("Il voit le chat, et le chien.", "He sees the cat, and the dog."),
    ("Oui.", "Yes, I would like that."),  # 2 words against 7
    ("Marie dit : « Paul mange. »", 'Marie says: "Paul is eating."'),
    ("Aujourd'hui Paul mange avec Marie.", "Today Paul eats with Marie."),
    (" ".join(["mot"] * 12), " ".join(["word"] * 12)),  # 12 words
    ("L'arc-en-ciel & moi", "The rainbow of the sky & me"),
]
VALID = [("Le chien dort.", "The dog is sleeping."), ("", "Kept: no test set loses a line.")]
TEST = [("Paul voit un arc-en-ciel.", "Paul sees a rainbow."), ("Un deux trois", "One.")]

TOKENISED = [
    "Le chat dort .",
    "Il voit le chat , et le chien .",
    "Marie dit : « Paul mange . »",
    "Aujourd&apos; hui Paul mange avec Marie .",
    "L&apos; arc @-@ en @-@ ciel &amp; moi",
]
TRUECASED = [
    "le chat dort .",  # "le" is known from inside sentences
    "Il voit le chat , et le chien .",
    "Marie dit : « Paul mange . »",
    "Aujourd&apos; hui Paul mange avec Marie .",
    "L&apos; arc @-@ en @-@ ciel &amp; moi",
]
OPTIONS = ("-s", "fr", "-t", "en", "--merges", 30, "--max-length", 11, "--workers", 1)


def write(prefix: Path, pairs) -> None:
    for side, language in enumerate(("fr", "en")):
        Path(f"{prefix}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name, pairs in (("train", TRAIN), ("valid", VALID), ("newstest", TEST)):
        write(folder / name, pairs)
    return folder


def own(text: Path, destination: Path, *options: object) -> list[str]:
    prefixes = ("--trainpref", text / "train", "--validpref", text / "valid", "--testpref", text / "newstest")
    return [str(word) for word in ("prepare", *prefixes, "--destdir", destination, *OPTIONS, *options)]


@pytest.fixture(scope="module")
def prepared(text, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    cli.main(own(text, folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that tell the time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "preprocess.log")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def test_each_step_leaves_what_it_should(prepared):
    assert lines(prepared / "raw/train.fr") == [source for source, _ in TRAIN]
    assert lines(prepared / "tok/train.fr") == TOKENISED
    assert lines(prepared / "true/train.fr") == TRUECASED
    assert [line.replace("@@ ", "") for line in lines(prepared / "bpe/train.fr")] == TRUECASED
    assert lines(prepared / "true/valid.fr") == ["le chien dort .", ""]
    assert lines(prepared / "true/test.en") == ["Paul sees a rainbow .", "One ."]
    assert (prepared / "bpe/codes").read_text().startswith("#version: 0.2\n")
    assert len(lines(prepared / "bpe/codes")) == 31
    assert not list(prepared.rglob("*.part"))


def test_the_data_folder_holds_the_kept_pairs(prepared):
    data = prepared / "data-bin"
    dictionary = Dictionary.load(str(data / "dict.fr.txt"))
    assert (data / "dict.fr.txt").read_bytes() == (data / "dict.en.txt").read_bytes()
    for split, count in (("train", 5), ("valid", 2), ("test", 2)):
        dataset = data_utils.load_indexed_dataset(str(data / f"{split}.fr-en.fr"), dictionary)
        assert len(dataset) == count
        assert dictionary.string(dataset[0]) == lines(prepared / f"bpe/{split}.fr")[0]


def test_statistics_are_counted(prepared):
    statistics = json.loads((prepared / "data-bin/statistics.json").read_text())
    train = statistics["train"]
    assert (train["raw"], train["kept"]) == (8, 5)
    assert train["dropped"] == {"empty": 1, "ratio": 1, "overlong": 1}
    words = [word for line in TRUECASED for word in line.split()]
    assert train["words"]["fr"] == [len(words), len(set(words))] == [36, 26]
    pieces = [piece for line in lines(prepared / "bpe/train.fr") for piece in line.split()]
    assert train["pieces"]["fr"] == [len(pieces), len(set(pieces))]
    assert statistics["valid"]["kept"] == statistics["test"]["kept"] == 2
    assert statistics["test"]["dropped"] == {}


def test_without_its_journal_a_folder_is_made_again(text, prepared, tmp_path):
    """As the message about a damaged one says."""
    shutil.copytree(prepared, tmp_path / "again")
    (tmp_path / "again/journal.json").unlink()
    cli.main(own(text, tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(prepared)
    (tmp_path / "again/journal.json").unlink()
    (tmp_path / "again/data-bin/preparation.json").unlink()
    with pytest.raises(IELError, match="data-bin: was not made by iel prepare; name another folder"):
        cli.main(own(text, tmp_path / "again"))


def test_text_that_cannot_be_prepared_is_one_line(tmp_path, monkeypatch):
    pairs = [("他 去 了 。", "h e w e n t"), ("我 在 。", "i a m")] * 2
    for name in ("train", "valid"):
        write(tmp_path / name, pairs)
    prefixes = ("--trainpref", tmp_path / "train", "--validpref", tmp_path / "valid", "--destdir", tmp_path / "out")
    with pytest.raises(IELError, match=r"out/\S+: every word is a single character, and there is nothing to merge"):
        cli.main([str(word) for word in ("prepare", *prefixes, *OPTIONS, "--separate", "--max-ratio", 0)])
    with pytest.raises(IELError, match=r"--destdir \S+a,b: fairseq-preprocess takes a comma for the end of a name"):
        cli.main([str(word) for word in ("prepare", *prefixes[:4], "--destdir", tmp_path / "a,b", *OPTIONS)])
    assert not (tmp_path / "a,b").exists()
    with pytest.raises(IELError, match=r"--destdir \S+a:b: fairseq-train takes a colon for the end of a data folder"):
        cli.main([str(word) for word in ("prepare", *prefixes[:4], "--destdir", tmp_path / "a:b", *OPTIONS)])
    assert not (tmp_path / "a:b").exists()
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path / "a:b")
    with pytest.raises(IELError, match=r"--destdir \S+/a:b/out: fairseq-train takes a colon"):
        cli.main([str(word) for word in ("prepare", *prefixes[:4], "--destdir", "out", *OPTIONS)])


@pytest.mark.parametrize("empty", ["train", "valid", "heldout"])
def test_a_set_without_sentences_is_one_line(text, tmp_path, empty):
    """With an empty validation set no training begins."""
    for name in ("train", "valid", "heldout"):
        for language in ("fr", "en"):
            source = text / f"{'train' if name == 'train' else 'valid'}.{language}"
            (tmp_path / f"{name}.{language}").write_text("" if name == empty else source.read_text())
    prefixes = [
        f"--{option}pref={tmp_path / name}"
        for option, name in (("train", "train"), ("valid", "valid"), ("test", "heldout"))
    ]
    split = "test" if empty == "heldout" else empty
    with pytest.raises(IELError, match=rf"/{empty}\.fr, \S+/{empty}\.en: no sentences; {split} needs some"):
        cli.main(["prepare", *prefixes, "--destdir", str(tmp_path / "out"), *map(str, OPTIONS)])
    assert not (tmp_path / "out/data-bin").exists()


def test_the_table_is_printed(text, prepared, capsys):
    cli.main(own(text, prepared))
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split(" | ")[:8] == [
        *("| set", "language", "sentences", "kept", "empty", "overlong", "ratio", "words"),
    ]
    assert rows[2].startswith("| train | fr | 8 | 5 | 1 | 1 | 1 | 36 | 26 | ")
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| train"] * 2 + ["| valid"] * 2 + ["| test"] * 2


def test_the_folder_remembers_the_way_there_and_back(prepared):
    memory = PreparedFolder.read(str(prepared / "data-bin"))
    assert (memory.source_lang, memory.target_lang) == ("fr", "en")
    assert memory.sets == {"valid": "valid", "test": "newstest"}
    assert memory.options["merges"] == 30
    assert sorted(memory.inputs) == sorted(
        f"{name}: {name}.{language}" for name in ("train", "valid", "newstest") for language in ("fr", "en")
    )
    french = memory.text("fr")
    assert french.encode("Le chat dort.") == "le chat dort ."
    assert french.decode("le chat dort . il voit l&apos; arc @-@ en @-@ ciel") == "Le chat dort. Il voit l'arc-en-ciel"


def test_a_folder_that_was_truecased_in_another_way_is_refused(text, prepared, tmp_path):
    for name in ("data-bin/preparation.json", "journal.json"):
        before = json.loads((prepared / name).read_text())
        (before.get("request") or before).pop("format")
        before.pop("sha256" if name == "journal.json" else "versions")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(before))
    with pytest.raises(IELError, match=r"preparation\.json: prepared in format 1, which this version cannot read"):
        PreparedFolder.read(str(tmp_path / "data-bin"))
    with pytest.raises(IELError, match="made with format nothing, not 3; name another folder, or remove this one"):
        cli.main(own(text, tmp_path))


def test_fairseq_reads_and_writes_raw_text_with_it(prepared):
    tokenizer = encoders.build_tokenizer(Namespace(tokenizer="prepared", prepared_data=str(prepared / "data-bin")))
    assert tokenizer.encode("Le chat, aujourd'hui.") == "le chat , aujourd&apos; hui ."
    assert tokenizer.decode("the cat isn &apos;t &quot; here &quot; .") == 'The cat isn\'t "here".'


def test_any_number_of_processes_gives_the_same_files(text, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PIECE", 2)
    monkeypatch.setattr(steps, "FEW", 0)
    cli.main([*own(text, tmp_path), "--workers", "3"])
    assert contents(tmp_path) == contents(prepared)


def test_case_and_all_pairs_but_empty_ones_can_be_kept(text, tmp_path):
    cli.main(own(text, tmp_path, "--no-truecase", "--max-ratio", 0, "--max-length", 0, "--separate"))
    assert lines(tmp_path / "tok/train.fr")[0] == "Le chat dort ."
    assert len(lines(tmp_path / "tok/train.fr")) == 7
    assert not (tmp_path / "true").exists()
    data = tmp_path / "data-bin"
    assert (data / "codes.fr").read_bytes() != (data / "codes.en").read_bytes()
    assert (data / "dict.fr.txt").read_bytes() != (data / "dict.en.txt").read_bytes()
    assert PreparedFolder.read(str(data)).text("en").decode("the cat .") == "the cat."


def test_killed_anywhere_it_goes_on(text, prepared, tmp_path):
    process = subprocess.Popen([BIN / "iel", *own(text, tmp_path)], env=CPU, stderr=subprocess.DEVNULL)
    while "raw test" not in (tmp_path / "journal.json").read_text() if (tmp_path / "journal.json").exists() else True:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "data-bin").exists()
    before = os.stat(tmp_path / "raw/train.fr").st_mtime_ns
    cli.main(own(text, tmp_path))
    assert os.stat(tmp_path / "raw/train.fr").st_mtime_ns == before
    assert contents(tmp_path) == contents(prepared)


def test_two_at_once_do_not_disturb_each_other(text, prepared, tmp_path):
    processes = [
        subprocess.Popen([BIN / "iel", *own(text, tmp_path)], env=CPU, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    logs = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert contents(tmp_path) == contents(prepared)
    assert sum(f"{tmp_path}: waiting for another process" in log for log in logs) <= 1
    assert sum("Wrote preprocessed data" in log for log in logs) == 1


def test_it_waits_for_another_process(text, prepared, tmp_path):
    with alone_in(str(tmp_path)):
        process = subprocess.Popen([BIN / "iel", *own(text, tmp_path)], env=CPU, stderr=subprocess.PIPE, text=True)
        assert f"{tmp_path}: waiting for another process that works in this folder" in process.stderr.readline()
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    process.communicate()
    assert process.returncode == 0
    assert contents(tmp_path) == contents(prepared)


def test_text_without_spaces_is_told_of(tmp_path, capsys):
    pairs = [("一个男人在街上走路。", "A man walks."), ("你好。", "Hello.")] * 3
    for name in ("train", "valid", "newstest"):
        write(tmp_path / name, pairs)
        (tmp_path / f"{name}.fr").rename(tmp_path / f"{name}.zh")
    words = own(tmp_path, tmp_path / "out", "--max-ratio", 0)
    cli.main(["zh" if word == "fr" else word for word in words])
    log = capsys.readouterr().err
    assert re.search(r"zh: 6 words in 6 sentences: Moses' tokeniser finds what stands between spaces; put", log)


def test_what_is_damaged_is_made_again_and_nothing_else(text, prepared, capfd):
    whole = contents(prepared)
    (prepared / "bpe/train.fr").write_bytes(whole["bpe/train.fr"][:20])
    (prepared / "data-bin/train.fr-en.fr.bin").unlink()
    (prepared / "data-bin/codes").write_text("nonsense")
    store = prepared / "data-bin/attention_positions.train.0"
    store.mkdir()
    (store / "manifest.json").write_text("{}")
    untouched = os.stat(prepared / "tok/train.fr").st_mtime_ns
    cli.main(own(text, prepared))
    (store / "manifest.json").unlink()  # it was left alone
    store.rmdir()
    assert contents(prepared) == whole
    assert os.stat(prepared / "tok/train.fr").st_mtime_ns == untouched
    told = [line for line in capfd.readouterr().err.splitlines() if "made again" in line]
    assert [line.split(" | ")[-1] for line in told] == [
        f"{prepared}/{file}: missing or damaged; made again" for file in ("bpe/train.fr", "data-bin/train.fr-en.fr.bin")
    ]


def test_other_options_and_other_inputs_are_refused(text, prepared, tmp_path):
    with pytest.raises(IELError, match=r"made with merges 30, not 40; name another folder, or remove this one"):
        cli.main(own(text, prepared, "--merges", 40))
    for name, pairs in (("train", TRAIN[:-1]), ("valid", VALID), ("newstest", TEST)):
        write(tmp_path / name, pairs)
    with pytest.raises(IELError, match=r"made with input train: train\.fr \w{16}\.\.\., not \w{16}\.\.\.; name"):
        cli.main(own(tmp_path, prepared))


def spoiled(text: Path, folder: Path, file: str, spoil) -> list[str]:
    for path in text.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / file).write_bytes(spoil((folder / file).read_bytes()))
    return own(folder, folder / "out")


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("train.fr", lambda b: b.replace(b"Marie dit", b"Marie \xe9tait"), r"train\.fr, line 5: not UTF-8 \(byte 7 is"),
        (
            "train.en",
            lambda b: b + b"More.\n",
            r"train\.en, line 9: no translation, .*train\.fr ends after 8 sentences",
        ),
        ("valid.fr", lambda b: b"", r"valid\.en, line 1: no translation, .*valid\.fr ends after 0 sentences"),
    ],
)
def test_bad_text_is_refused_with_file_and_line(text, tmp_path, file, spoil, message):
    with pytest.raises(IELError, match=message):
        cli.main(spoiled(text, tmp_path, file, spoil))
    assert not (tmp_path / "out/data-bin").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--merges", 0), "--merges 0: it is at least 1"),
        (("--max-ratio", 0.5), "--max-ratio 0.5: it is at least 1, or 0"),
        (("--max-length", -1), "--max-length -1: a number of words, or 0"),
        (("--workers", 0), "--workers 0: it is at least 1"),
        (("--raw", "/"), "--trainpref goes with --validpref, and without --raw"),
        (("--max-length", 1), "no training pair is left; see what --max-ratio and --max-length drop"),
        (("--testpref", "/no/test"), r"/no/test.fr\[.gz|.xz\]: no such file"),
        (("-t", "fr"), "--source-lang and --target-lang are both fr"),
    ],
)
def test_bad_options_are_refused(text, tmp_path, options, message):
    with pytest.raises(IELError, match=message):
        cli.main(own(text, tmp_path, *options))


@pytest.mark.parametrize("option", ["--validpref", "--testpref"])
def test_a_data_set_has_sets_of_its_own(tmp_path, option):
    words = ["prepare", "multi30k", "-s", "fr", "-t", "en", "--raw", str(tmp_path), "--destdir", str(tmp_path / "out")]
    with pytest.raises(IELError, match=rf"^{option} mine: DATASET multi30k has sets of its own"):
        cli.main([*words, option, "mine"])


def test_a_folder_that_it_did_not_make_is_left_alone(text, tmp_path):
    (tmp_path / "data-bin").mkdir()
    with pytest.raises(IELError, match="data-bin: was not made by iel prepare; name another folder"):
        cli.main(own(text, tmp_path))
    with pytest.raises(IELError, match=r"preparation\.json: cannot be read .*iel prepare makes it"):
        PreparedFolder.read(str(tmp_path / "data-bin"))
    assert [path.name for path in tmp_path.iterdir()] == ["data-bin"]


def test_raw_text_is_scored_and_written(prepared, tmp_path, capsys):
    """By fairseq's own commands, and by ``iel translate``."""
    data = prepared / "data-bin"
    detokenise = json.dumps({"prepared_data": str(data)})
    options = (*PLAIN, *MODELS["transformer"], "-s", "fr", "-t", "en", "--max-epoch", 1, "--cpu", "--max-tokens", 1000)
    scored = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 3}', "--eval-bleu-detok", "prepared")
    log = run(
        *("fairseq-train", data, *options, *scored, "--eval-bleu-detok-args", detokenise, "--eval-bleu-remove-bpe"),
        *("--criterion", "cross_entropy", "--save-dir", tmp_path, "--no-epoch-checkpoints"),
    )
    assert "best_bleu" in log or "| bleu " in log
    raw = ("--tokenizer", "prepared", "--prepared-data", data, "--bpe", "subword_nmt", "--bpe-codes", data / "codes")
    baseline = tmp_path / "checkpoint_last.pt"
    output = run(
        *("fairseq-interactive", data, *PLAIN, "-s", "fr", "-t", "en", "--cpu", "--path", baseline),
        *(*raw, "--max-len-b", 3, "--beam", 1),
        stdin="L'arc-en-ciel\n",
    )
    source = " ".join(output_lines(output, "S")[0][0].replace("@@ ", "").split())
    assert source == "L&apos; arc @-@ en @-@ ciel"
    written, detokenised = (output_lines(output, letter)[0][1] for letter in ("H", "D"))
    assert detokenised == PreparedFolder.read(str(data)).text("en").decode(f"{written} ".replace("@@ ", ""))

    finetuned = tmp_path / "finetuned"
    further = (*IEL, *options[len(PLAIN) :], "--finetune-from-model", baseline, "--attn-store", tmp_path)
    run("fairseq-train", data, *further, "--save-dir", finetuned, "--no-epoch-checkpoints")
    (tmp_path / "raw").write_text("L'arc-en-ciel\n")
    options = ["--path", str(finetuned / "checkpoint_last.pt"), "--cpu", "--format", "jsonl"]
    cli.main(["translate", str(tmp_path / "raw"), *options])
    translated = json.loads(capsys.readouterr().out)
    assert " ".join(translated["source"]).replace("@@ ", "") == "L&apos; arc @-@ en @-@ ciel"
    pieces = f"{' '.join(translated['hypothesis'])} ".replace("@@ ", "")
    assert translated["first_pass"] == PreparedFolder.read(str(data)).text("en").decode(pieces)


def test_two_sets_of_one_name_are_refused(tmp_path):
    """As in ``--testpref 2013/test,2014/test``: one of them would be lost."""
    for prefix in ("2013/test", "2014/test", "train", "valid"):
        for language in ("src", "tgt"):
            file = tmp_path / f"{prefix}.{language}"
            file.parent.mkdir(exist_ok=True)
            file.write_text("a\n")
    words = ["-s", "src", "-t", "tgt", "--trainpref", tmp_path / "train", "--validpref", tmp_path / "valid"]
    tests = f"{tmp_path}/2013/test,{tmp_path}/2014/test"
    log = run("iel", "prepare", *words, "--testpref", tests, "--destdir", tmp_path / "out", fails=True)
    assert "/2014/test: two sets would be called test; rename the files of one" in log
    assert not (tmp_path / "out").exists()
