"""``iel extract``: the store that training uses, and what it prints."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from commands import BIN, IEL, MODELS, run, train
from conftest import known_pairs
from fairseq.data.indexed_dataset import MMapIndexedDataset

from iel_fairseq import read_attention_positions
from iel_fairseq.cli import main
from iel_fairseq.errors import IELError


@pytest.fixture(scope="module")
def baseline(trained):
    return trained("transformer", "baseline")[0]


def command(data, baseline, *options) -> list[str]:
    words = ("extract", data, "--path", baseline, "--cpu", "--log-format", "none", *options)
    return [str(word) for word in words]


def extract(data, baseline, *options) -> str:
    """A process of its own, as a user starts it."""
    return run("iel", *command(data, baseline, *options))


def printed(data, baseline, tmp_path, kind: str, *options) -> list[str]:
    """What is printed, by this process: a start takes longer than the extraction."""
    main(command(data, baseline, "--format", kind, "--output", tmp_path / kind, *options))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [kind]  # nothing temporary is left
    lines = (tmp_path / kind).read_text().splitlines()
    (tmp_path / kind).unlink()
    return lines


def test_formats_agree_with_each_other_and_with_the_data(data, baseline, tmp_path):
    records = [json.loads(line) for line in printed(data, baseline, tmp_path, "jsonl")]
    pharaoh = printed(data, baseline, tmp_path, "pharaoh", "--attn-store", tmp_path / "store")
    text = printed(data, baseline, tmp_path, "text", "--attn-store", tmp_path / "store")
    assert len(list((tmp_path / "store").glob("*/manifest.json"))) == 1
    pairs = known_pairs()
    assert len(records) == len(pharaoh) == len(text) == len(pairs) == 100
    agreed = 0
    for index, (pair, record) in enumerate(zip(pairs, records, strict=True)):
        source, target = pair.known()
        positions = record["positions"]
        assert record["id"] == index
        assert record["source"] == source
        assert record["attention_words"] == [source[position - 1] for position in positions]
        assert len(record["hypothesis"]) == len(positions) == len(record["scores"])
        assert all(0 < score <= 1 for score in record["scores"])
        assert pharaoh[index].split() == [f"{position - 1}-{j}" for j, position in enumerate(positions)]
        assert text[index].split() == source + record["attention_words"]
        agreed += record["hypothesis"] == target
    assert agreed > 80  # the extractor knows the language pair


def test_hypotheses_that_are_not_greedy_can_be_read(data, baseline, tmp_path):
    """For analysis: the best of a beam, and the target side."""
    pairs = known_pairs()
    forced = [json.loads(line) for line in printed(data, baseline, tmp_path, "jsonl", "--force-target")]
    known = looked_right = 0
    for pair, record in zip(pairs, forced, strict=True):
        _, target = pair.known()
        assert record["hypothesis"] == target
        known += len(target)
        looked_right += sum(a == b for a, b in zip(pair.alignment, record["positions"], strict=True))
    assert looked_right > 0.9 * known
    beam = [json.loads(line) for line in printed(data, baseline, tmp_path, "jsonl", "--beam", 5)]
    assert sum(record["hypothesis"] == pair.known()[1] for pair, record in zip(pairs, beam, strict=True)) > 80
    pharaoh = printed(data, baseline, tmp_path, "pharaoh", "--beam", 5, "--attn-store", tmp_path / "store")
    assert [[int(link.split("-")[0]) + 1 for link in line.split()] for line in pharaoh] == [
        record["positions"] for record in beam
    ]
    assert not (tmp_path / "store").exists()  # no store holds what is not Algorithm 1's


@pytest.mark.parametrize("limit", [7, 1])
def test_a_beam_leaves_out_what_the_extractor_cannot_read_as_greedy_does(data, baseline, tmp_path, limit):
    """Its positions, which are learned here, are no more than *limit*; others are in the same batches."""
    state = torch.load(baseline)
    encoder = state["cfg"]["model"]
    encoder.encoder_learned_pos, encoder.max_source_positions = True, limit
    size = state["model"]["encoder.embed_positions.weight"] = torch.randn(limit + 2, 32)
    assert size.shape[1] == encoder.encoder_embed_dim
    model = tmp_path / "model" / "short.pt"
    model.parent.mkdir()
    torch.save(state, model)
    greedy, beam = (
        [json.loads(line) for line in printed(data, model, tmp_path, "jsonl", *options)]
        for options in ((), ("--beam", 2))
    )
    lengths = [len(record["source"]) + 1 for record in greedy]
    for records in (greedy, beam):
        read = [bool(record["positions"]) for record in records]
        assert not any(found for found, length in zip(read, lengths, strict=True) if length > limit)
        assert sum(read) > 10 or limit == 1
    assert max(lengths) > limit


@pytest.fixture
def in_pieces(data, baseline, tmp_path):
    """Data folder and extractor whose adjectives are first pieces of words in the source, nouns in the target."""
    folder, model = tmp_path / "pieces" / "bin", tmp_path / "pieces" / "model.pt"
    shutil.copytree(data, folder)
    for language, first in (("src", "a"), ("tgt", "N")):
        file = folder / f"dict.{language}.txt"
        file.write_text(re.sub(rf"^({first}\d) ", r"\1@@ ", file.read_text(), flags=re.MULTILINE))
    state = torch.load(baseline)
    state["cfg"]["task"]["data"] = str(folder)
    torch.save(state, model)
    return folder, model


def test_whole_words_are_numbered_as_gold_alignments_have_them(in_pieces, tmp_path, capsys):
    """adjective noun -> NOUN ADJECTIVE is one word on either side."""
    forced = [json.loads(line) for line in printed(*in_pieces, tmp_path, "jsonl", "--force-target")]
    unknown = sum("<unk>" in [*record["source"], *record["hypothesis"]] for record in forced)
    assert "unknown pieces" not in capsys.readouterr().err
    pharaoh = printed(*in_pieces, tmp_path, "pharaoh", "--force-target", "--remove-bpe")
    assert unknown
    assert f"{unknown} sentences have unknown pieces" in capsys.readouterr().err
    for line, record in zip(pharaoh, forced, strict=True):
        expected = {
            (word_of(record["source"], position - 1), word_of(record["hypothesis"], j))
            for j, position in enumerate(record["positions"])
        }
        assert [f"{i}-{j}" for i, j in sorted(expected)] == sorted(line.split(), key=numbers)
    assert sum(map(len, map(str.split, pharaoh))) < sum(len(record["positions"]) for record in forced)
    gold = ""
    for pair, record in zip(known_pairs(), forced, strict=True):
        source, target = record["source"], record["hypothesis"]
        links = [f"{word_of(source, i - 1)}-{word_of(target, j)}" for j, i in enumerate(pair.alignment)]
        gold += " ".join(links) + "\n"
    (tmp_path / "gold").write_text(gold)
    (tmp_path / "found").write_text("".join(f"{line}\n" for line in pharaoh))
    main(["score-aer", str(tmp_path / "gold"), str(tmp_path / "found")])
    scores = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(scores["AER"]) < 5  # the extractor knows the language pair


def test_unknown_words_are_whole_where_there_are_no_pieces(data, baseline, tmp_path, capsys):
    assert any("<unk>" in json.loads(line)["source"] for line in printed(data, baseline, tmp_path, "jsonl"))
    joined = printed(data, baseline, tmp_path, "pharaoh", "--remove-bpe")
    assert joined == printed(data, baseline, tmp_path, "pharaoh")
    assert "unknown pieces" not in capsys.readouterr().err


def word_of(pieces: list[str], index: int) -> int:
    """The number of the word that a piece belongs to."""
    return sum(not piece.endswith("@@") for piece in pieces[:index])


def numbers(link: str) -> list[int]:
    return [int(number) for number in link.split("-")]


def test_all_weights_are_those_whose_highest_are_found(data, baseline, tmp_path):
    greedy = [json.loads(line) for line in printed(data, baseline, tmp_path, "jsonl")]
    whole = [json.loads(line) for line in printed(data, baseline, tmp_path, "jsonl", "--all-weights")]
    for record, expected in zip(whole, greedy, strict=True):
        attention = np.array(record.pop("attention"))
        assert attention.shape == (len(record["positions"]), len(record["source"]) + 1)  # </s> is looked at, too
        assert attention.sum(axis=1) == pytest.approx(1, abs=1e-3)
        assert (attention[:, :-1].argmax(axis=1) + 1).tolist() == record["positions"]
        assert record.pop("scores") == pytest.approx(expected.pop("scores"), abs=1e-4)
        assert record == expected


def test_each_precision_has_a_store_of_its_own(data, baseline, tmp_path):
    full = printed(data, baseline, tmp_path, "pharaoh", "--attn-store", tmp_path / "store")
    half = printed(data, baseline, tmp_path, "pharaoh", "--attn-store", tmp_path / "store", "--bf16")
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "store").glob("*/manifest.json")]
    assert sorted(manifest["precision"] for manifest in manifests) == ["bfloat16", "float32"]
    assert sum(a == b for a, b in zip(full, half, strict=True)) > 80  # they differ in close decisions only


def test_training_reads_what_shares_have_extracted(data, baseline, tmp_path):
    where = ("--attn-store", tmp_path / "store")
    for split in ("train", "valid"):
        log = extract(data, baseline, "--gen-subset", split, *where, "--num-shards", 2, "--shard-id", 1)
        assert "this share is finished; 1 of 1 shards are missing" in log  # small sets are one shard
        extract(data, baseline, "--gen-subset", split, *where, "--num-shards", 2)
    options = ("--finetune-from-model", baseline, "--max-epoch", 1, "--no-save", *where)
    log = train(data, tmp_path / "save", *IEL, *MODELS["transformer"], *options)
    assert "read in" not in log
    assert "attention words for 4,000 sentences" in log


def test_training_reads_what_was_extracted_of_all_its_parts(data, baseline, tmp_path):
    """train, train1 and so on are one training set to fairseq."""
    folder = tmp_path / "bin"
    shutil.copytree(data, folder, ignore=shutil.ignore_patterns("attention_positions.*"))
    for file in list(folder.glob("valid.*")):
        shutil.copy(file, folder / file.name.replace("valid.", "train1."))
    extract(folder, baseline, "--gen-subset", "train")
    options = (*IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--max-update", 1)
    log = train(folder, tmp_path / "save", *options)
    assert "train: sentences" not in log
    assert "valid: sentences" in log
    assert len(list(folder.glob("attention_positions.train.*"))) == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly(data, baseline, tmp_path):
    command = [BIN / "iel", "extract", data, "--path", baseline, "--cpu", "--format", "text", "--attn-store", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # before anything is written
        log = process.stderr.read()
        assert process.wait(timeout=300) == 128 + signal.SIGPIPE
    assert "Traceback" not in log
    assert "BrokenPipe" not in log


def test_training_data_in_several_folders_have_a_store_each(data, baseline, tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder, split in zip(folders, ("train", "valid"), strict=True):
        folder.mkdir()
        for file in data.iterdir():
            if file.name.startswith(("dict", split)):
                (folder / file.name.replace(split, "train")).symlink_to(file)
    (folders[0] / "valid.src-tgt.src.bin").symlink_to(data / "valid.src-tgt.src.bin")
    (folders[0] / "valid.src-tgt.src.idx").symlink_to(data / "valid.src-tgt.src.idx")
    both = f"{folders[0]}:{folders[1]}"
    main(["extract", both, "--path", str(baseline), "--gen-subset", "train", "--cpu"])
    found = [read_attention_positions(folder) for folder in folders]
    sizes = [len(MMapIndexedDataset(str(data / f"{split}.src-tgt.src"))) for split in ("train", "valid")]
    assert [len(each) for each in found] == sizes
    main(["extract", both, "--path", str(baseline), "--gen-subset", "valid", "--cpu"])  # as fairseq: in the first
    assert len(list(folders[0].glob("attention_positions.*"))) == 2
    assert len(list(folders[1].glob("attention_positions.*"))) == 1
    with pytest.raises(IELError, match="--format prints one data folder at a time: name one of them"):
        main(["extract", both, "--path", str(baseline), "--gen-subset", "train", "--cpu", "--format", "text"])


def test_the_extractor_is_not_written_over(data, baseline, tmp_path):
    model = shutil.copy(baseline, tmp_path / "model.pt")
    with pytest.raises(IELError, match=rf"^--output {model}: it is read; name another file"):
        main(command(data, model, "--format", "text", "--output", model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num-shards", 0), "--num-shards 0: it is at least 1"),
        (("--num-shards", 2, "--shard-id", 2), "--shard-id 2: with --num-shards 2 it is 0 to 1"),
        (("--num-shards", 2, "--format", "text"), "--format prints the whole data set"),
        (("--output", "file"), "--output: nothing is printed without --format"),
        (("--all-weights", "--format", "text"), "--all-weights: only --format jsonl has room for them"),
        (("--remove-bpe", "--format", "text"), "--remove-bpe: only with --format pharaoh"),
        (("--beam", 5), "--beam and --force-target are for analysis, and not stored"),
        (("--beam", 0, "--format", "text"), "--beam 0: it is at least 1"),
        (("--beam", 2, "--force-target", "--format", "text"), "--beam 2: it is at least 1, and 1 with --force-target"),
        (("--gen-subset", "none"), "there is no split 'none'"),
        (("--format", "jsonl", "--output", "/no/file"), "/no/file: cannot be written (No such file or directory)"),
    ],
)
def test_bad_options_are_one_line(data, baseline, options, message):
    with pytest.raises(IELError, match=re.escape(message)) as caught:
        main(command(data, baseline, *options))
    assert "\n" not in str(caught.value)
