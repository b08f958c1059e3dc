"""Each kind of bad input is one clear line, or a counted, reported exception (DESIGN lines 8 and 13)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import IEL, MODELS, PLAIN, bleu, generate, lines, preprocess, run, train
from conftest import known_pairs
from test_compat import Writes

from iel_fairseq.data_folder import language_pairs
from iel_fairseq.enhancement import KEY, Enhancement

REFERENCES = [pair.known()[1] for pair in known_pairs()]


def error(output: str) -> str:
    """The one line that the user sees last; there is no traceback before it."""
    assert "Traceback" not in output, output[-3000:]
    last = output.splitlines()[-1]
    assert last.startswith("iel_fairseq: error: "), last
    return last


def finetune(data: Path, folder: Path, *options: object, fails: bool = True) -> str:
    return train(data, folder, *IEL, *MODELS["transformer"], "--max-epoch", 1, *options, fails=fails)


@pytest.fixture
def moved(trained, tmp_path) -> tuple[Path, Path]:
    """Copies of a fine-tuned checkpoint and of its extractor; the first remembers the path of the second."""
    extractor, finetuned = tmp_path / "extractor.pt", tmp_path / "finetuned.pt"
    shutil.copy(trained("transformer", "baseline")[0], extractor)
    state = torch.load(trained("transformer", "words")[0])
    state["task_state"][KEY]["extractor"] = str(extractor)
    torch.save(state, finetuned)
    return finetuned, extractor


def test_extractor_that_is_missing_or_another(data, trained, moved):
    finetuned, extractor = moved
    whole = generate(data, finetuned, *IEL)
    elsewhere = extractor.with_name("elsewhere.pt")
    extractor.rename(elsewhere)
    message = error(generate(data, finetuned, *IEL, fails=True))
    assert f"{extractor}: the extractor that the checkpoint remembers is missing" in message
    assert "--attn-model" in message
    assert lines(generate(data, finetuned, *IEL, "--attn-model", elsewhere), "H") == lines(whole, "H")
    shutil.copy(trained("transformer", "words")[0], extractor)
    message = error(generate(data, finetuned, *IEL, fails=True))
    assert "not the extractor that the checkpoint remembers" in message
    output = generate(data, finetuned, *IEL, "--attn-model", trained("transformer", "words")[0])
    assert "used because --attn-model asks for it" in output
    assert len(lines(output, "H")) == 100


def test_a_folder_that_was_moved_with_its_extractor_is_whole(data, moved):
    finetuned, extractor = moved
    folder = finetuned.parent / "moved"
    folder.mkdir()
    for path in (finetuned, extractor):
        path.rename(folder / path.name)
    output = generate(data, folder / "finetuned.pt", *IEL)
    assert f"{extractor}: the extractor is not there; {folder}/extractor.pt is the same file" in output
    assert len(lines(output, "H")) == 100
    shutil.copy(folder / "finetuned.pt", folder / "extractor.pt")
    message = error(generate(data, folder / "finetuned.pt", *IEL, fails=True))
    assert f"{extractor}: the extractor that the checkpoint remembers is missing" in message


def test_positions_asked_of_a_checkpoint_without(data, trained):
    for kind in ("words", "baseline"):
        message = error(generate(data, trained("transformer", kind)[0], *IEL, "--attn-positions", fails=True))
        assert "--attn-positions: the checkpoint was trained without; leave the option out" in message


def test_positions_without_extractor(data, tmp_path):
    for option in (("--attn-positions",), ("--attn-model", "self")):
        message = error(finetune(data, tmp_path, *option))
        assert f"{' '.join(option)}: no extractor to train with; give --finetune-from-model" in message


def test_a_model_that_wants_two_passes_is_not_decoded_in_one_silently(data, trained):
    """Without ``--task`` fairseq takes ``translation``."""
    forgotten = "give --task attn_enhanced_translation, which decodes in two passes"
    assert forgotten in generate(data, trained("transformer", "words")[0], *IEL[:2])
    assert forgotten not in generate(data, trained("transformer", "words")[0], *IEL)
    assert forgotten not in generate(data, trained("transformer", "baseline")[0], *IEL[:2])


def test_baseline_decodes_in_one_pass_and_says_so(data, trained):
    output = generate(data, trained("transformer", "baseline")[0], *IEL)
    assert "decoding in one pass" in output
    assert bleu(output, REFERENCES) > 95


def test_extractor_of_the_wrong_language_pair(data, trained, tmp_path):
    for file in filter(Path.is_file, data.iterdir()):
        shutil.copy(file, tmp_path / file.name.replace("src-tgt", "tgt-src"))
    output = run(
        *("fairseq-train", tmp_path, "-s", "tgt", "-t", "src", "--save-dir", tmp_path / "save", "--cpu", *IEL),
        *(*MODELS["transformer"], "--max-tokens", 1000, "--attn-model", trained("transformer", "baseline")[0]),
        fails=True,
    )
    assert "the extractor translates src-tgt, the data are tgt-src" in error(output)


def without_languages(checkpoint: Path, path: Path, fairseqs_own: bool = True) -> Path:
    """As fairseq writes a checkpoint whose training was not told the languages, but found them in the data folder."""
    state = torch.load(checkpoint)
    state["cfg"]["task"].update(source_lang=None, target_lang=None)
    if fairseqs_own:
        state["task_state"] = {}
    torch.save(state, path)
    return path


def test_languages_that_fairseq_found_in_the_data_folder_are_checked(data, trained, tmp_path):
    """Swapped languages, and another dictionary of as many entries, whatever the options of the training said."""
    baseline = without_languages(trained("transformer", "baseline")[0], tmp_path / "baseline.pt")
    finetuned = without_languages(trained("transformer", "words")[0], tmp_path / "finetuned.pt", fairseqs_own=False)
    swapped = ("fairseq-train", data, "-s", "tgt", "-t", "src", "--save-dir", tmp_path / "save", "--cpu", *IEL)
    output = run(*swapped, *MODELS["transformer"], "--max-tokens", 1000, "--attn-model", baseline, fails=True)
    assert "the extractor translates src-tgt, the data are tgt-src" in error(output)
    decode = ("fairseq-generate", data, "--path", finetuned, "--cpu", *IEL, "-s", "tgt", "-t", "src")
    assert "the checkpoint translates src-tgt, the data are tgt-src; give data" in error(run(*decode, fails=True))
    shuffled = tmp_path / "shuffled"
    shutil.copytree(data, shuffled)
    entries = (data / "dict.src.txt").read_text().splitlines()
    (shuffled / "dict.src.txt").write_text("\n".join(reversed(entries)) + "\n")
    message = error(finetune(shuffled, tmp_path / "save", "--attn-model", baseline))
    assert "the extractor's source dictionary is not the data's: they first differ at entry 4" in message


def test_a_plain_checkpoint_of_a_relative_folder_remembers_its_data(data, trained, tmp_path):
    """Where ``--user-dir`` was given: what fairseq's own would not tell, neither languages nor entries."""
    (tmp_path / "data").symlink_to(data)
    words = ["--save-dir", tmp_path / "save", "--cpu", *PLAIN, *MODELS["transformer"], "--max-tokens", 1000]
    run("fairseq-train", "data", *words, "--max-update", 1, cwd=tmp_path)
    baseline = tmp_path / "save" / "checkpoint_last.pt"
    remembered = Enhancement.from_checkpoint(str(baseline))
    assert (remembered.source_lang, remembered.target_lang) == ("src", "tgt")
    assert remembered.data == str(tmp_path / "data")
    assert (remembered.extractor, remembered.round) == (None, 0)
    words = ["--save-dir", tmp_path / "other", "--cpu", *IEL, *MODELS["transformer"], "--max-tokens", 1000]
    output = run("fairseq-train", data, "-s", "tgt", "-t", "src", *words, "--attn-model", baseline, fails=True)
    assert "the extractor translates src-tgt, the data are tgt-src" in error(output)


def test_a_tokenizer_without_its_folder_is_refused_before_any_training(data, trained, tmp_path):
    options = ("--finetune-from-model", trained("transformer", "baseline")[0], "--eval-bleu")
    message = error(finetune(data, tmp_path, *options, "--eval-bleu-detok", "prepared"))
    assert """in training --eval-bleu-detok-args '{"prepared_data": "DATA-BIN"}'""" in message


def test_languages_that_nobody_knows_are_not_guessed(data, trained, tmp_path):
    """The training's data folder holds several pairs by now."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    state = torch.load(without_languages(trained("transformer", "baseline")[0], tmp_path / "baseline.pt"))
    state["cfg"]["task"]["data"] = str(folder)
    torch.save(state, tmp_path / "baseline.pt")
    for side in ("src", "tgt"):
        (folder / f"other.tgt-src.{side}.idx").touch()
    assert language_pairs(str(folder)) == {("src", "tgt"), ("tgt", "src")}
    finetune(data, tmp_path / "save", "--attn-model", tmp_path / "baseline.pt", fails=False)


def test_extractor_with_other_dictionaries(corpus, data, trained, tmp_path):
    """Sizes are in the weights, entries in the extractor's data folder; our checkpoints carry a fingerprint."""
    other = preprocess(corpus, tmp_path / "larger", splits=("train", "valid"))  # with all names
    baseline, finetuned = trained("transformer", "baseline")[0], trained("transformer", "words")[0]
    message = error(finetune(other, tmp_path / "save", "--attn-model", baseline))
    assert "source dictionary is not the data's: 32 entries, the data's has" in message
    shuffled = tmp_path / "shuffled"
    shutil.copytree(data, shuffled)
    entries = (data / "dict.tgt.txt").read_text().splitlines()
    entries[2], entries[3] = entries[3], entries[2]
    (shuffled / "dict.tgt.txt").write_text("\n".join(entries) + "\n")
    message = error(finetune(shuffled, tmp_path / "save", "--attn-model", baseline))
    first, second = entries[2].split()[0], entries[3].split()[0]
    assert f"target dictionary is not the data's: they first differ at entry 6: '{second}', in the data '{first}'" in (
        message
    )
    message = error(generate(shuffled, finetuned, *IEL, fails=True))
    assert "trained with another target dictionary" in message


def test_damaged_and_hostile_checkpoints(data, trained, tmp_path):
    baseline, finetuned = trained("transformer", "baseline")[0], trained("transformer", "words")[0]
    cut, hostile = tmp_path / "cut.pt", tmp_path / "hostile.pt"
    cut.write_bytes(baseline.read_bytes()[:5000])
    state = torch.load(baseline)
    state["surprise"] = Writes(tmp_path / "executed")
    torch.save(state, hostile)
    for file, words in ((cut, "not a readable fairseq checkpoint"), (hostile, "refused: it carries posix.mkdir")):
        assert f"{file}: {words}" in error(generate(data, file, *IEL, fails=True))
        assert f"{file}: {words}" in error(generate(data, finetuned, *IEL, "--attn-model", file, fails=True))
        assert f"{file}: {words}" in error(finetune(data, tmp_path / "save", "--finetune-from-model", file))
    assert not (tmp_path / "executed").exists()


def test_missing_and_empty_data(data, trained, tmp_path):
    finetuned = trained("transformer", "words")[0]
    assert "no such data folder" in error(generate(tmp_path / "none", finetuned, *IEL, fails=True))
    (tmp_path / "empty").mkdir()
    assert "dict.src.txt: no such dictionary" in error(generate(tmp_path / "empty", finetuned, *IEL, fails=True))
    message = error(generate(data, finetuned, *IEL, "--gen-subset", "test7", fails=True))
    assert "there is no split 'test7' of src-tgt; check the name" in message
    same = ("-s", "src", "-t", "src", "--path", trained("transformer", "baseline")[0], "--cpu", *IEL)
    message = error(run("fairseq-generate", data, *same, fails=True))
    assert "there is no split 'test' of src-src; check the name, the languages" in message
    assert f"{tmp_path}/no.pt: no such checkpoint file" in error(generate(data, tmp_path / "no.pt", *IEL, fails=True))
    for side in ("src", "tgt"):
        (tmp_path / f"test.{side}").write_text("")
    dictionaries = ("--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt")
    nothing = preprocess(tmp_path, tmp_path / "bin", *dictionaries, splits=("test",))
    assert "split 'test' holds no sentences" in error(generate(nothing, finetuned, *IEL, fails=True))


@pytest.mark.parametrize("arch", ["transformer", pytest.param("fconv", marks=pytest.mark.slow)], indirect=True)
def test_empty_unknown_and_long_lines(data, trained, tmp_path, arch):
    """Empty source: x' = x. Only unknown words: translated. Attention words beyond the limit: cut and counted."""
    checkpoint, _ = trained(arch, {"transformer": "positions", "fconv": "words"}[arch])
    long = " ".join(["a1 n2 v3"] * 6)
    text = ["a1 n1", "", "zz yy", long, "v1"]
    (tmp_path / "test.src").write_text("\n".join(text) + "\n")
    (tmp_path / "test.tgt").write_text("\n".join(["N1 A1"] * len(text)) + "\n")
    dictionaries = ("--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt")
    odd = preprocess(tmp_path, tmp_path / "bin", *dictionaries, splits=("test",))
    output = generate(odd, checkpoint, *IEL)
    assert sorted(lines(output, "H")) == [0, 1, 2, 3, 4]
    assert lines(output, "H")[0][1] == "N1 A1"
    assert lines(output, "H")[4][1] == "V1.1 V1.2"
    limited = ("--max-source-positions", 25, "--batch-size", 1)
    output = generate(odd, checkpoint, *IEL, *limited)
    assert output.count("attention words are cut to fit 25 tokens") == 1
    options = ("--path", trained(arch, "baseline")[0], "--gen-subset", "test", "--cpu", "--format", "jsonl")
    run("iel", "extract", odd, *options, "--output", tmp_path / "read.jsonl")
    read = [json.loads(line) for line in (tmp_path / "read.jsonl").read_text().splitlines()][3]
    cut = len(long.split()) + len(read["positions"]) + 1 - 25
    counted = f"{cut} attention words of 1 sentences were cut to fit 25 tokens"
    assert output.count("attention words of") == 1
    assert counted in output.splitlines()[-1]
    assert sorted(lines(output, "H")) == [0, 1, 2, 3, 4]
    message = error(generate(odd, checkpoint, *IEL, "--max-source-positions", 10, fails=True))
    assert "Size of sample #3 is invalid" in message
    assert "skip this example with --skip-invalid-size-inputs-valid-test" in message
    limited = ("--max-source-positions", 10, "--skip-invalid-size-inputs-valid-test")
    output = generate(odd, checkpoint, *IEL, *limited)
    assert "1 samples have invalid sizes and will be skipped" in output
    assert sorted(lines(output, "H")) == [0, 1, 2, 4]


def test_training_data_longer_than_the_limit_is_cut_and_counted(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    log = finetune(data, tmp_path, "--finetune-from-model", baseline, "--max-source-positions", 12, fails=False)
    assert "0 words of 0 sentences are cut" not in log
    assert re.search(r"WARNING \| .* \| train: .* sentences are cut to fit 12 tokens", log)


def test_the_limit_is_what_the_encoder_can_read(data, trained, tmp_path):
    """A ConvS2S has two positions less than its task allows."""
    given = (*MODELS["fconv"], "--attn-model", trained("fconv", "baseline")[0], "--max-source-positions", 12)
    log = train(data, tmp_path, *IEL, *given, "--max-update", 1)
    assert re.search(r"train: .* [1-9][\d,]* sentences are cut to fit 10 tokens", log)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attn-layer", 3], "--attn-layer 3: the extractor has 1 decoder layers"),
        (["--attn-heads", "0,2"], "--attn-heads 2: the extractor has 2 attention heads"),
        (["--fp16"], "--fp16: training in half precision needs a GPU; leave it out, or take --bf16"),
        (["--load-alignments"], "--load-alignments: alignments with attention words"),
        (["--num-batch-buckets", 4], "--num-batch-buckets: buckets are not supported"),
    ],
)
def test_options_that_make_no_sense_are_refused(data, trained, tmp_path, options, message):
    baseline, _ = trained("transformer", "baseline")
    assert message in error(finetune(data, tmp_path, "--finetune-from-model", baseline, *options))


def test_decoding_that_two_passes_do_not_support_is_refused(data, trained):
    checkpoint, _ = trained("transformer", "words")
    assert "--match-source-len" in error(generate(data, checkpoint, *IEL, "--match-source-len", fails=True))
    message = error(generate(data, checkpoint, *IEL, "--attn-layer", 0, fails=True))
    assert "--attn-layer 0: the checkpoint was trained with None" in message


def test_store_where_nothing_can_be_written(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    (tmp_path / "file").touch()
    options = ("--finetune-from-model", baseline, "--attn-heads", 0, "--attn-layer", -1)  # a store of its own
    message = error(finetune(data, tmp_path / "save", *options, "--attn-store", tmp_path / "file"))
    assert (
        "cannot be stored (Not a directory); free space there, or give a folder that can be written with --attn-store"
        in message
    )
    finetune(data, tmp_path / "save", *options, "--attn-store", tmp_path / "stores", fails=False)
    assert len(list((tmp_path / "stores").glob("attention_positions.*/manifest.json"))) == 2
