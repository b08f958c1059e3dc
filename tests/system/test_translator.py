"""``AttnEnhancedTranslator`` and ``iel translate``: two passes, text in and out."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from commands import IEL, PLAIN, generate, lines, standard_input
from conftest import known_pairs
from fairseq.data import Dictionary

from iel_fairseq import AttentionReader, AttnEnhancedTranslator
from iel_fairseq.cli import main
from iel_fairseq.enhancement import KEY
from iel_fairseq.errors import IELError
from iel_fairseq.readings import readings_of

SENTENCES = [" ".join(pair.source) for pair in known_pairs()]


@pytest.fixture(scope="module")
def checkpoint(trained, arch) -> Path:
    return trained(arch, {"transformer": "positions", "fconv": "words"}[arch])[0]


@pytest.fixture(scope="module")
def translator(checkpoint) -> AttnEnhancedTranslator:
    return AttnEnhancedTranslator.from_pretrained(str(checkpoint), cpu=True)


@pytest.fixture(scope="module")
def found(translator):
    return translator.translate(SENTENCES)


def test_translates_as_fairseq_generate_does(data, checkpoint, found):
    output = generate(data, checkpoint, *IEL)
    assert [one.translation for one in found] == [lines(output, "H")[i][1] for i in range(100)]
    # fairseq prints scores in base 2
    assert found[3].score == pytest.approx(float(lines(output, "H")[3][0]) * 0.6931472, abs=1e-3)


def test_attention_words_are_the_extractors(data, baseline, found, tmp_path):
    main(["extract", str(data), "--path", str(baseline), "--cpu", "--format", "jsonl", "--output", f"{tmp_path}/out"])
    for one, line in zip(found, (tmp_path / "out").read_text().splitlines(), strict=True):
        record = json.loads(line)
        assert one.attention_words == record["attention_words"]
        assert one.positions == record["positions"]
        assert list(one.reading.source) == record["source"]
        assert one.first_pass.split() == list(one.reading.hypothesis) == record["hypothesis"]


def test_any_beam_and_any_company_give_a_sentence_the_same(translator, found):
    """Also of a ConvS2S, which fairseq would bind to one size of beam."""
    [alone] = translator.translate([SENTENCES[7]])
    assert (alone.translation, alone.reading) == (found[7].translation, found[7].reading)
    assert alone.score == pytest.approx(found[7].score, abs=1e-4)
    for beam in (1, 3):
        together = [one.translation for one in translator.translate(SENTENCES[:8], beam)]
        assert together == [translator.translate([sentence], beam)[0].translation for sentence in SENTENCES[:8]]


def test_the_plain_translation_is_the_baselines(data, baseline, translator):
    output = generate(data, baseline, *PLAIN)
    assert translator.translate_plain(SENTENCES) == [lines(output, "H")[i][1] for i in range(100)]


def test_no_words_no_translation(translator):
    [empty, blank, one] = translator.translate(["", " \t", "n1"])
    for nothing in (empty, blank):
        assert (nothing.translation, nothing.first_pass, nothing.attention_words, nothing.positions) == ("", "", [], [])
    assert one.attention_words == ["n1"] * len(one.positions)
    assert translator.translate([]) == []


def test_sentences_may_come_from_anywhere(translator, tmp_path):
    """Also from what can be gone through only once, as a file."""
    expected = translator.translate(SENTENCES[:4])
    assert translator.translate(sentence for sentence in SENTENCES[:4]) == expected
    (tmp_path / "text").write_text("\n".join(SENTENCES[:4]))
    with open(tmp_path / "text") as file:
        assert translator.translate_plain(file) == translator.translate_plain(SENTENCES[:4])
    assert translator.translate(tuple(SENTENCES[:4])) == expected


def test_fairseqs_own_symbols_in_text_are_unknown_words(translator):
    [strange, unknown] = translator.translate(["n1 <pad> </s> v2 <s>", "n1 ? ? v2 ?"])
    assert strange.translation == unknown.translation
    assert strange.reading == unknown.reading
    assert list(strange.reading.source) == ["n1", "<unk>", "<unk>", "v2", "<unk>"]


def test_long_sentences_are_translated_whole(translator):
    """Not their first 200 tokens, which is fairseq's bound whatever the source."""
    [long] = translator.translate(["n1 " * 500], beam=1)
    assert 200 < len(long.translation.split()) <= 1.2 * 501 + 200


def test_lines_whose_numbers_overflow_are_named(data, trained, arch, tmp_path, monkeypatch):
    """In either pass, and as the lines of the whole text are counted, not those that are read at once."""
    monkeypatch.setattr("iel_fairseq.cli.translate.AT_ONCE", 2)
    text, out = tmp_path / "text", tmp_path / "out"
    text.write_text("n1\nv1 n1\n\na7 n1\nv1\n")
    paths = {kind: trained(arch, kind)[0] for kind in ("baseline", "words")}
    for kind, name in (("baseline", f"{tmp_path}/baseline.pt"), ("words", "--path")):
        state = torch.load(paths[kind])
        dictionary = Dictionary.load(f"{data}/dict.src.txt")
        state["model"]["encoder.embed_tokens.weight"][dictionary.index("a7")] = 6e4  # which half precision still holds
        torch.save(state, tmp_path / f"{kind}.pt")
        words = {**paths, kind: tmp_path / f"{kind}.pt"}
        options = ["--path", words["words"], "--attn-model", words["baseline"], "--fp16", "--cpu", "--output", out]
        with pytest.raises(IELError, match=rf"^{name}, {text}, line 4: attention or probabilities are not finite"):
            main([str(word) for word in ("translate", text, *options)])
    assert not out.exists()


def test_all_weights_are_kept_when_asked_for(translator):
    [one] = translator.translate(["a1 n2 v3"], all_weights=True)
    attention = one.reading.attention
    assert attention.shape == (len(one.positions), 4)
    assert attention.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert [int(row[:3].argmax()) + 1 for row in attention] == one.positions


@pytest.mark.parametrize(
    "options",
    [
        {"bootstrap_rounds": 2, "no_save_optimizer_state": True, "restore_file": "other.pt"},
        {"bootstrap_epochs": 2, "reset_optimizer": True},
    ],
)
def test_options_that_no_training_may_have_any_more_do_not_matter_to_a_trained_model(
    checkpoint, tmp_path, found, options
):
    state = torch.load(checkpoint)
    state["cfg"]["task"].update(options)
    torch.save(state, tmp_path / "model.pt")
    translator = AttnEnhancedTranslator.from_pretrained(f"{tmp_path}/model.pt", cpu=True)
    assert [one.translation for one in translator.translate(SENTENCES[:5])] == [one.translation for one in found[:5]]


@pytest.fixture
def short(trained, tmp_path) -> Path:
    """A model that reads four tokens, so that a source of two words keeps one attention word."""
    state = torch.load(trained("transformer", "words")[0])
    state["cfg"]["task"]["max_source_positions"] = 4
    torch.save(state, tmp_path / "short.pt")
    return tmp_path / "short.pt"


def test_what_is_cut_is_counted_in_each_call(short, caplog, monkeypatch):
    translator = AttnEnhancedTranslator.from_pretrained(short, cpu=True)
    for fails in (False, True, False):
        caplog.clear()
        with monkeypatch.context() as patch, pytest.raises(RuntimeError) if fails else nullcontext():
            if fails:
                patch.setattr(translator, "_readings", Mock(side_effect=RuntimeError))
            [one] = translator.translate(["v1 n2"])
        count = len(one.reading.hypothesis) - 1
        counted = f"{count} attention words of 1 sentences were cut to fit 4 tokens"
        assert [record.getMessage() for record in caplog.records if "were cut" in record.getMessage()] == [counted]


def test_what_is_cut_of_a_text_is_counted_at_its_end(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("iel_fairseq.cli.translate.AT_ONCE", 2)
    (tmp_path / "text").write_text("v1 n2\n" * 5)
    main(["translate", f"{tmp_path}/text", "--path", str(short), "--cpu", "--output", f"{tmp_path}/out"])
    messages = [line for line in capsys.readouterr().err.splitlines() if "attention words" in line]
    assert len(messages) == 2
    assert "| attention words are cut to fit 4 tokens" in messages[0]
    assert messages[1].endswith(" attention words of 5 sentences were cut to fit 4 tokens")


@pytest.mark.parametrize("arch", ["transformer"], indirect=True)
def test_all_weights_are_those_of_the_heads_that_were_read(checkpoint, found, tmp_path):
    path = with_task(checkpoint, tmp_path / "head.pt", attn_heads=[0], attn_model=None)
    translator = AttnEnhancedTranslator.from_pretrained(str(path), cpu=True)
    read = translator.translate(SENTENCES[:20], all_weights=True)
    for one in read:
        assert [int(row[:-1].argmax()) + 1 for row in one.reading.attention] == one.positions
    assert [one.positions for one in read] != [one.positions for one in found[:20]]


def test_what_the_extractor_cannot_read_is_refused(checkpoint, monkeypatch):
    """Though the model that translates could."""
    translator = AttnEnhancedTranslator.from_pretrained(str(checkpoint), cpu=True)
    extractor = translator._task.reader(translator._model)
    monkeypatch.setattr(extractor, "max_positions", lambda: (5, 1024))  # with </s>
    assert translator.translate(["n1 " * 4])[0].translation
    with pytest.raises(IELError, match=r"^'n1 n1 .*: 5 tokens; the models read at most 4"):
        translator.translate(["n1 " * 5])


def test_what_cannot_be_translated_is_refused_in_one_line(translator, trained, arch, data, tmp_path):
    longest = {"transformer": "1,023", "fconv": "1,021"}[arch]  # words; a ConvS2S counts positions from 2
    with pytest.raises(IELError, match=rf"^'n1 n1.*'\.\.\.: 1,024 tokens; the models read at most {longest}, split it"):
        translator.translate(["v1", "n1 " * 1024])
    for beam in (0, 2.5):
        with pytest.raises(IELError, match=f"beam {beam}: it is a whole number, at least 1"):
            translator.translate(["v1"], beam=beam)
    with pytest.raises(IELError, match=r"^'v1 n1': one text, where a list of sentences is wanted; put it in brackets$"):
        translator.translate("v1 n1")
    with pytest.raises(IELError, match=r"^3: no text, where a list of sentences is wanted$"):
        translator.translate_plain(["v1", 3])
    with pytest.raises(IELError, match=r"^None: no text, where a list of sentences is wanted$"):
        translator.translate(["v1", None])
    plain = str(trained(arch, "baseline")[0])
    with pytest.raises(IELError, match="not trained on attention words; translate with fairseq-interactive"):
        AttnEnhancedTranslator.from_pretrained(plain, cpu=True)
    with pytest.raises(IELError, match=r"nowhere: .*is not there; say with --data"):
        AttnEnhancedTranslator.from_pretrained(str(trained(arch, "words")[0]), f"{tmp_path}/nowhere", cpu=True)


def test_what_is_cut_is_not_told(data, trained, tmp_path, monkeypatch, capsys):
    """x' has room for one attention word of two, and so says the reading."""
    state = torch.load(trained("transformer", "words")[0])
    state["cfg"]["task"]["max_source_positions"] = 4
    torch.save(state, tmp_path / "short.pt")
    translator = AttnEnhancedTranslator.from_pretrained(str(tmp_path / "short.pt"), cpu=True)
    [one] = translator.translate(["v1 n2"])
    assert len(one.reading.hypothesis) > 1
    assert len(one.attention_words) == len(one.positions) == 1
    assert [len(places) for places in one.reading.positions] == [1, *[0] * (len(one.reading.hypothesis) - 1)]
    printed = translated(tmp_path / "short.pt", monkeypatch, capsys, "v1 n2", "--format", "jsonl")
    [reading] = readings_of(printed, "standard input")
    assert reading == one.reading


def test_the_data_folder_may_have_moved(trained, arch, data, tmp_path, found, checkpoint):
    state = torch.load(checkpoint)
    state["cfg"]["task"]["data"] = "/somewhere/else"
    moved = tmp_path / "moved.pt"
    torch.save(state, moved)
    translator = AttnEnhancedTranslator.from_pretrained(str(moved), str(data), cpu=True)
    assert [one.translation for one in translator.translate(SENTENCES[:5])] == [one.translation for one in found[:5]]


def test_the_data_folder_is_found_from_any_other(trained, data, tmp_path, found, checkpoint, monkeypatch):
    """Training was given it from another folder."""
    state = torch.load(checkpoint)
    state["cfg"]["task"]["data"] = "data-bin"
    remembered = Path(state["task_state"][KEY]["data"])  # of another worker's tests, perhaps
    assert remembered.is_absolute()
    assert (remembered / "dict.src.txt").read_text() == (data / "dict.src.txt").read_text()
    torch.save(state, tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    translator = AttnEnhancedTranslator.from_pretrained("model.pt", cpu=True)
    assert [one.translation for one in translator.translate(SENTENCES[:5])] == [one.translation for one in found[:5]]
    assert AttentionReader.from_pretrained("model.pt", cpu=True).read(SENTENCES[:1])
    state["task_state"][KEY]["data"] = str(tmp_path / "gone")
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(IELError, match=r"/gone: the checkpoint's data folder is not there; say with --data where"):
        AttnEnhancedTranslator.from_pretrained("model.pt", cpu=True)


def test_dictionaries_are_all_that_is_needed_of_the_data_folder(checkpoint, data, tmp_path, found):
    """Though the training was not told the languages."""
    state = torch.load(checkpoint)
    state["cfg"]["task"].update(source_lang=None, target_lang=None)
    torch.save(state, tmp_path / "model.pt")
    for language in ("src", "tgt"):
        shutil.copy(data / f"dict.{language}.txt", tmp_path)
    translator = AttnEnhancedTranslator.from_pretrained(f"{tmp_path}/model.pt", str(tmp_path), cpu=True)
    assert [one.translation for one in translator.translate(SENTENCES[:5])] == [one.translation for one in found[:5]]
    (tmp_path / "DESTDIR").mkdir()
    state["task_state"][KEY].update(source_lang=None, target_lang=None)  # of a version before
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(IELError, match=r"DESTDIR: nothing in it says which languages; name them"):
        AttnEnhancedTranslator.from_pretrained(f"{tmp_path}/model.pt", f"{tmp_path}/DESTDIR", cpu=True)


def test_one_model_for_both_passes(checkpoint, data):
    translator = AttnEnhancedTranslator.from_pretrained(str(checkpoint), attn_model="self", cpu=True)
    output = generate(data, checkpoint, *IEL, "--attn-model", "self")
    assert [one.translation for one in translator.translate(SENTENCES[:20])] == [
        lines(output, "H")[i][1] for i in range(20)
    ]


def with_task(checkpoint: Path, path: Path, **remembered: object) -> Path:
    """A copy of the checkpoint at *path* that remembers something else."""
    state = torch.load(checkpoint)
    state["task_state"][KEY].update(remembered)
    state["cfg"]["task"]["attn_model"] = remembered["attn_model"]
    torch.save(state, path)
    return path


def test_one_model_that_was_trained_for_both_passes_needs_no_second_file(checkpoint, tmp_path):
    path = with_task(
        checkpoint, tmp_path / "self.pt", reads_itself=True, extractor=f"{tmp_path}/gone.pt", attn_model="self"
    )
    alone = AttnEnhancedTranslator.from_pretrained(str(path), cpu=True).translate(SENTENCES[:20])
    asked = AttnEnhancedTranslator.from_pretrained(str(checkpoint), attn_model="self", cpu=True)
    assert alone == asked.translate(SENTENCES[:20])


def test_the_extractor_that_is_asked_for_is_taken(checkpoint, baseline, found, tmp_path, monkeypatch):
    """Though its name is what training was given, in another folder, or before a round of bootstrapping."""
    (tmp_path / "models").mkdir()
    path = with_task(checkpoint, tmp_path / "models/moved.pt", extractor="/gone/base.pt", attn_model="base.pt")
    (tmp_path / "base.pt").symlink_to(baseline)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IELError, match=r"^/gone/base.pt: the extractor that the checkpoint remembers is missing"):
        AttnEnhancedTranslator.from_pretrained(str(path), cpu=True)
    moved = AttnEnhancedTranslator.from_pretrained(str(path), attn_model="base.pt", cpu=True)
    assert [(one.translation, one.reading) for one in moved.translate(SENTENCES[:5])] == [
        (one.translation, one.reading) for one in found[:5]
    ]


def translated(checkpoint: Path, monkeypatch, capsys, text: str, *options: object) -> list[str]:
    monkeypatch.setattr("sys.stdin", standard_input(text.encode()))
    main([str(word) for word in ("translate", "--path", checkpoint, "--cpu", *options)])
    return capsys.readouterr().out.splitlines()


def test_command_reads_and_writes_a_sentence_a_line(checkpoint, found, monkeypatch, capsys, tmp_path):
    text = f"{SENTENCES[0]}\n\n{SENTENCES[1]}"  # the last line may have no end
    expected = [found[0].translation, "", found[1].translation]
    assert translated(checkpoint, monkeypatch, capsys, text) == expected
    (tmp_path / "in").write_text(text)
    options = ("--path", checkpoint, "--cpu", "--output", tmp_path / "out")
    main([str(word) for word in ("translate", tmp_path / "in", *options)])
    assert (tmp_path / "out").read_text().splitlines() == expected
    [line] = translated(checkpoint, monkeypatch, capsys, SENTENCES[0], "--show-attention-words")
    words = " ".join(f"{word}/{at}" for word, at in zip(found[0].attention_words, found[0].positions, strict=True))
    assert line == f"{found[0].translation}\t{words}"


def test_command_translates_all_lines_some_at_a_time(checkpoint, found, monkeypatch, capsys, tmp_path):
    """Also where there is no terminal, on which progress is shown."""
    monkeypatch.setattr("iel_fairseq.cli.translate.AT_ONCE", 2)
    expected = [one.translation for one in found[:5]]
    assert translated(checkpoint, monkeypatch, capsys, "\n".join(SENTENCES[:5])) == expected
    (tmp_path / "in").write_text("\n".join(SENTENCES[:5]) + "\n")
    main(["translate", f"{tmp_path}/in", "--path", str(checkpoint), "--cpu", "--output", f"{tmp_path}/out"])
    assert (tmp_path / "out").read_text().splitlines() == expected
    os.mkfifo(tmp_path / "pipe")  # can be read once
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=((tmp_path / "in").read_bytes(),))
    writer.start()
    main(["translate", f"{tmp_path}/pipe", "--path", str(checkpoint), "--cpu", "--output", f"{tmp_path}/piped"])
    writer.join()
    assert (tmp_path / "piped").read_text().splitlines() == expected
    (tmp_path / "in").write_text("\n".join([*SENTENCES[:3], "n1 " * 1024, *SENTENCES[3:5]]))
    monkeypatch.setattr(AttnEnhancedTranslator, "translate", None)  # a file is looked through before
    with pytest.raises(IELError, match=rf"^{tmp_path}/in, line 4: 'n1 n1.*: 1,024 tokens; the models read at most"):
        main(["translate", f"{tmp_path}/in", "--path", str(checkpoint), "--cpu"])


def test_command_prints_what_plot_attention_reads(checkpoint, found, monkeypatch, capsys):
    printed = translated(checkpoint, monkeypatch, capsys, SENTENCES[0], "--format", "jsonl", "--all-weights")
    record = json.loads(printed[0])
    assert (record["text"], record["translation"]) == (SENTENCES[0], found[0].translation)
    assert record["attention_words"] == found[0].attention_words
    [reading] = readings_of(printed, "standard input")
    assert reading.positions == found[0].reading.positions
    assert reading.attention.shape == (len(reading.hypothesis), len(reading.source) + 1)


def test_command_refuses_what_does_not_go_together(checkpoint, tmp_path):
    for options, message in (
        (["--all-weights"], "--all-weights: only --format jsonl"),
        (["--format", "jsonl", "--show-attention-words"], "--show-attention-words: --format jsonl has them anyway"),
        ([f"{tmp_path}/missing"], "missing: cannot be read"),
    ):
        with pytest.raises(IELError, match=message):
            main(["translate", "--path", str(checkpoint), "--cpu", *options])
    (tmp_path / "text").write_text("n1\n")
    (tmp_path / "link").symlink_to("text")
    with pytest.raises(IELError, match=r"--output \S+link: it is read; name another file"):
        main(["translate", f"{tmp_path}/text", "--path", str(checkpoint), "--output", f"{tmp_path}/link"])
    assert (tmp_path / "text").read_text() == "n1\n"
    model = shutil.copy(checkpoint, tmp_path / "model.pt")
    for read in (["--path", model], ["--path", checkpoint, "--attn-model", model]):
        with pytest.raises(IELError, match=rf"--output {model}: it is read; name another file"):
            main([str(word) for word in ("translate", tmp_path / "text", *read, "--output", model)])
    (tmp_path / "latin1").write_bytes(b"n1\n\xe9\n")
    with pytest.raises(IELError, match=r"latin1, line 2: not UTF-8 \(byte 1 is 0xe9\)"):
        main(["translate", f"{tmp_path}/latin1", "--path", str(checkpoint), "--cpu", "--output", f"{tmp_path}/out"])
    assert not (tmp_path / "out").exists()
