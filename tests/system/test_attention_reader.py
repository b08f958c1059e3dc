"""``AttentionReader`` and ``iel plot attention --path``: what a model looked at, straight from raw text."""

from __future__ import annotations

import json

import pytest
import torch
from commands import load, standard_input
from conftest import known_pairs

from iel_fairseq import AttentionReader, AttnEnhancedTranslator
from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.cli import main
from iel_fairseq.enhancement import KEY
from iel_fairseq.errors import IELError

SENTENCES = [" ".join(pair.source) for pair in known_pairs()]


@pytest.fixture(scope="module")
def reader(baseline) -> AttentionReader:
    return AttentionReader.from_pretrained(str(baseline), cpu=True)


def test_reads_what_extract_prints(reader, data, baseline, tmp_path):
    options = ("--cpu", "--format", "jsonl", "--all-weights", "--output", f"{tmp_path}/out")
    main(["extract", str(data), "--path", str(baseline), *options])
    printed = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    for reading, line in zip(reader.read(SENTENCES), printed, strict=True):
        assert list(reading.source) == line["source"]
        assert list(reading.hypothesis) == line["hypothesis"]
        assert [position for [position] in reading.positions] == line["positions"]
        assert reading.attention == pytest.approx(torch.tensor(line["attention"]).numpy(), abs=1e-4)


def test_a_sentence_without_words_has_an_empty_reading(reader):
    empty, one, blank = reader.read(["", "n1 v2", " "])
    assert [len(reading.hypothesis) for reading in (empty, blank)] == [0, 0]
    assert (one.source, one.positions) == (["n1", "v2"], reader.read(["n1 v2"])[0].positions)
    assert reader.read([]) == []


def test_for_a_model_that_was_trained_on_attention_words_its_extractor_reads(trained, arch, reader):
    finetuned = str(trained(arch, "words")[0])
    of_finetuned = AttentionReader.from_pretrained(finetuned, cpu=True)
    assert of_finetuned.extractor.sha256 == reader.extractor.sha256
    first_passes = AttnEnhancedTranslator.from_pretrained(finetuned, cpu=True).translate(SENTENCES[:9])
    for reading, found in zip(of_finetuned.read(SENTENCES[:9]), first_passes, strict=True):
        assert (reading.hypothesis, reading.positions) == (found.reading.hypothesis, found.reading.positions)


def copy_that_remembers(checkpoint, path, **remembered) -> str:
    state = torch.load(checkpoint)
    state["task_state"][KEY].update(remembered)
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("arch", ["transformer"], indirect=True)
def test_the_heads_that_training_read_are_read(trained, arch, data, baseline, reader, tmp_path):
    path = copy_that_remembers(trained(arch, "words")[0], tmp_path / "head.pt", attn_heads=[0])
    found = AttentionReader.from_pretrained(path, cpu=True).read(SENTENCES[:20])
    model, task = load(baseline, data)
    for sentence, reading in zip(SENTENCES[:20], found, strict=True):
        words = sentence.split()
        tokens = torch.tensor([[*map(task.source_dictionary.index, words), task.source_dictionary.eos()]])
        expected = extract_attention_words(model, tokens, heads=[0]).positions[0].tolist()
        assert [position for [position] in reading.positions] == expected
    assert [one.positions for one in found] != [one.positions for one in reader.read(SENTENCES[:20])]


def test_a_model_that_reads_itself_is_its_own_extractor(trained, arch, tmp_path):
    path = copy_that_remembers(
        trained(arch, "words")[0], tmp_path / "self.pt", reads_itself=True, extractor=f"{tmp_path}/gone.pt"
    )
    assert AttentionReader.from_pretrained(path, cpu=True).extractor.path == path


def test_what_cannot_be_read_is_refused_in_one_line(trained, arch, reader, baseline, data, tmp_path):
    longest = {"transformer": "1,023", "fconv": "1,021"}[arch]
    with pytest.raises(IELError, match=rf"^'n1 n1.*'\.\.\.: 1,024 tokens; the models read at most {longest}, split it"):
        reader.read(["v1", "n1 " * 1024])
    (tmp_path / "long.src").write_text(f"v1\n{'n1 ' * 1024}\n")
    words = ["plot", "attention", f"{tmp_path}/long.src", "--path", str(baseline), "--cpu", "--output", "no.png"]
    with pytest.raises(IELError, match=rf"^{tmp_path}/long\.src, line 2: 'n1 n1.*'\.\.\.: 1,024 tokens"):
        main(words)
    with pytest.raises(IELError, match=r"nowhere: .*is not there; say with --data"):
        AttentionReader.from_pretrained(str(baseline), f"{tmp_path}/nowhere", cpu=True)
    state = torch.load(trained(arch, "words")[0])
    torch.save({**state, "cfg": {"task": {}, "model": {}}}, tmp_path / "other.pt")
    with pytest.raises(IELError, match=r"other\.pt: no translation model, or a damaged one \("):
        AttentionReader.from_pretrained(f"{tmp_path}/other.pt", cpu=True)
    state["task_state"]["iel_fairseq"]["extractor"] = f"{tmp_path}/gone.pt"
    torch.save(state, tmp_path / "finetuned.pt")
    with pytest.raises(IELError, match=r"gone\.pt: the extractor .* is missing; say with --path where it is now"):
        AttentionReader.from_pretrained(f"{tmp_path}/finetuned.pt", cpu=True)
    state["task_state"]["iel_fairseq"]["extractor"] = str(trained(arch, "words")[0])
    torch.save(state, tmp_path / "finetuned.pt")
    with pytest.raises(IELError, match=r"not the extractor .*; restore that file, or name another one with --path"):
        AttentionReader.from_pretrained(f"{tmp_path}/finetuned.pt", cpu=True)


def plot(*words: object) -> None:
    main([str(word) for word in ("plot", "attention", *words)])


def test_command_draws_text(reader, baseline, monkeypatch, tmp_path):
    (tmp_path / "text").write_text(f"{SENTENCES[0]}\n\n{SENTENCES[1]}\n")
    plot(tmp_path / "text", "--path", baseline, "--cpu", "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == 3
    for word in reader.read([SENTENCES[1]])[0].hypothesis:
        assert f">{word}<" in page
    monkeypatch.setattr("sys.stdin", standard_input(SENTENCES[0].encode()))
    plot("--path", baseline, "--cpu", "--output", tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_command_refuses_what_it_cannot_draw(baseline, monkeypatch, tmp_path):
    (tmp_path / "empty").touch()
    for words, message in (
        ([tmp_path / "empty", "--path", baseline], "empty: holds no sentences"),
        ([tmp_path / "empty", "--data", "folder"], "--data: only text needs it; give the checkpoint .* with --path"),
        ([tmp_path / "none", "--path", baseline], "none: cannot be read"),
    ):
        with pytest.raises(IELError, match=message):
            plot(*words, "--cpu", "--output", tmp_path / "out.png")
    monkeypatch.setattr("sys.stdin", standard_input(b"n1"))
    with pytest.raises(IELError, match="--sentence 1: standard input has the sentences 0 to 0"):
        plot("--path", baseline, "--cpu", "--sentence", 1, "--output", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
