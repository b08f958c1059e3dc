"""Ways of starting the training, and what a restart or a second process finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from commands import (
    CPU,
    IEL,
    MODELS,
    PLAIN,
    USER_DIR,
    generate,
    lines,
    one_of_two_ranks,
    run,
    started,
    train,
    train_two_ranks,
    training,
)
from documents import blocks
from fairseq.models.transformer import TransformerModel
from forked import ForkedCommand, run_forked

from iel_fairseq.enhancement import KEY

REPOSITORY = Path(__file__).parents[2]


def options(baseline: Path, epochs: int) -> tuple:
    return (*MODELS["transformer"], "--finetune-from-model", baseline, "--max-epoch", epochs)


def test_a_second_start_goes_on_and_extracts_nothing_again(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    heads = ("--attn-heads", 1)  # a store of its own
    first = train(data, tmp_path, *IEL, *options(baseline, 1), *heads)
    assert "train: sentences 1 to 4,000 of 4,000 read in" in first
    second = train(data, tmp_path, *IEL, *options(baseline, 2), *heads)
    assert "read in" not in second
    assert "gave" in second
    assert "begin training epoch 2" in second
    assert "begin training epoch 1" not in second


def test_a_training_that_is_finished_makes_no_further_update(data, trained, tmp_path):
    """Other models may have been made of its checkpoints, and know them by their SHA-256."""
    words = (*PLAIN, *MODELS["transformer"], "--max-update", 3)
    first = train(data, tmp_path, *words)
    assert "num_updates: 3 >= max_update: 3" in first
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    second = train(data, tmp_path, *words)
    assert "--max-update 3: 3 updates are done; nothing is left to do" in second
    assert "done training" in second
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")} == before
    assert "num_updates: 4 >= max_update: 4" in train(data, tmp_path, *words[:-1], 4)


def test_one_training_at_a_time_writes_into_a_folder(data, tmp_path):
    """As when a job is queued again while the first one runs."""
    words = (*PLAIN, *MODELS["transformer"], "--max-epoch", 1000)
    first = ForkedCommand("fairseq-train", [*training(data, tmp_path), *map(str, words)], tmp_path, environment=CPU)
    try:
        while "begin training epoch 1" not in first.error:
            assert first.wait(0.1) is None, first.error[-3000:]
        told = train(data, tmp_path, *words, fails=True).splitlines()[-1]
        assert told == (
            f"iel_fairseq: error: {tmp_path}: another training writes into it; "
            f"wait for that, or give another --save-dir"
        )
        assert "done training" in train(data, tmp_path, *words[:-1], 1, "--no-save")
        assert first.wait(0) is None
    finally:
        first.kill()
    assert first.wait(60) is not None
    assert "done training" in train(data, tmp_path, *words[:-2], "--max-update", 1)


def test_trainings_of_one_process_know_nothing_of_each_other(data, tmp_path):
    """As the jobs of a hydra multirun: the second one, worse than the first, has a best checkpoint all the same."""
    options = (*PLAIN, *MODELS["transformer"], "--max-epoch", "1")
    jobs = [
        ["fairseq-train", *training(data, tmp_path / name), *options, "--lr", lr]
        for name, lr in (("first", "5e-3"), ("second", "1e-9"))
    ]
    code = f"import sys\nfrom fairseq_cli.train import cli_main\nfor sys.argv in {jobs}: cli_main()"
    _, log = run_forked("python", ["-c", code], tmp_path)
    assert log.count("done training") == 2
    assert (tmp_path / "second" / "checkpoint_best.pt").exists()


def test_a_training_does_not_go_on_with_another_extractor(data, trained, tmp_path):
    extractor = tmp_path / "extractor.pt"
    shutil.copy(trained("transformer", "baseline")[0], extractor)
    where = ("--attn-store", tmp_path)
    train(data, tmp_path / "save", *IEL, *options(extractor, 1), *where)
    shutil.copy(trained("transformer", "words")[0], extractor)
    log = train(data, tmp_path / "save", *IEL, *options(extractor, 2), *where, fails=True)
    assert "checkpoint_last.pt: this training began with another extractor" in log.splitlines()[-1]


@pytest.mark.parametrize(
    ("began", "options", "message"),
    [
        ("words", (), "attention words of {extractor}, attention positions off, not with the plain source;"),
        ("words", ("--attn-model", "BASELINE", "--attn-positions"), "positions off, not with attention words of "),
        ("positions", ("--attn-model", "BASELINE"), "positions on, not with attention words of {extractor}, att"),
        ("words", ("--attn-model", "BASELINE", "--attn-heads", 1), "attention words of {extractor}, heads 1, "),
        (
            "words",
            ("--attn-model", "BASELINE", "--attn-noise", 0.5),
            "{extractor}, 50% of them random, seed 1, attention ",
        ),
        (
            "words",
            ("--attn-model", "BASELINE", "--attn-dropout", 0.3),
            "{extractor}, 30% of the sentences plain, attention ",
        ),
        ("baseline", ("--finetune-from-model", "BASELINE"), "the plain source, not with attention words of "),
    ],
)
def test_a_training_goes_on_with_the_input_that_it_began_with(data, trained, tmp_path, began, options, message):
    """An option that is forgotten, or added, would make the rest of it another training."""
    extractor = trained("transformer", "baseline")[0]
    shutil.copy(trained("transformer", began)[0], tmp_path / "checkpoint_last.pt")
    given = [extractor if option == "BASELINE" else option for option in options]
    where = ("--attn-store", tmp_path)
    log = train(data, tmp_path, *IEL, *MODELS["transformer"], "--max-epoch", 20, *given, *where, fails=True)
    assert "checkpoint_last.pt: this training began with" in log.splitlines()[-1]
    assert message.format(extractor=extractor) in log.splitlines()[-1]
    assert log.splitlines()[-1].endswith("; with --restore-file, --reset-dataloader begins anew")


def test_a_training_that_goes_on_from_another_file_has_the_input_that_it_began_with(data, trained, tmp_path):
    """``--restore-file``; but to begin anew with its weights is another training."""
    baseline, _ = trained("transformer", "baseline")
    shutil.copy(trained("transformer", "positions")[0], tmp_path / "epoch.pt")
    words = (*IEL, *MODELS["transformer"], "--attn-model", baseline, "--restore-file", tmp_path / "epoch.pt")
    log = train(data, tmp_path / "save", *words, "--max-epoch", 20, fails=True)
    assert "epoch.pt: this training began with attention words of" in log.splitlines()[-1]
    anew = ("--reset-dataloader", "--reset-optimizer", "--reset-lr-scheduler", "--reset-meters", "--max-epoch", 1)
    assert "begin training epoch 1" in train(data, tmp_path / "save", *words, *anew)
    assert torch.load(tmp_path / "save/checkpoint_last.pt")["task_state"][KEY]["attn_positions"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--restore-file", "other.pt"), "--restore-file other.pt: a training goes on from it, or begins with --finet"),
        (
            ("--restore-file", "other.pt", "--disable-validation"),
            "--restore-file other.pt: a training goes on from it, or begins with --finetune-from-model; leave one",
        ),
        (("--bootstrap-epochs", 2), "--bootstrap-epochs: it does nothing without --bootstrap-rounds"),
        (
            ("--reset-optimizer",),
            "--reset-optimizer: fairseq does not take it with --finetune-from-model; leave one of them",
        ),
        (
            ("--max-source-positions", 4),
            "since max_positions=(4, 1024), skip this example with --skip-invalid-size-inputs-valid-test",
        ),
    ],
)
def test_what_fairseq_would_refuse_later_is_refused_before_the_training_set_is_read(
    data, trained, tmp_path, words, message
):
    given = ("--finetune-from-model", trained("transformer", "baseline")[0], "--attn-store", tmp_path)
    log = train(data, tmp_path / "save", *IEL, *MODELS["transformer"], *given, *words, fails=True)
    assert message in log.splitlines()[-1]
    assert "Traceback" not in log
    assert "train: sentences" not in log


def test_what_a_model_can_skip_it_skips(data, trained, tmp_path):
    given = ("--finetune-from-model", trained("transformer", "baseline")[0], "--attn-store", tmp_path)
    short = ("--max-source-positions", 4, "--skip-invalid-size-inputs-valid-test", "--max-epoch", 1)
    log = train(data, tmp_path / "save", *IEL, *MODELS["transformer"], *given, *short)
    assert len(re.findall(r"samples have invalid sizes and will be skipped, max_positions=\(4, 1024\)", log)) == 1
    assert "begin training epoch 1" in log


def test_an_average_of_weights_cannot_begin_later(data, trained, tmp_path):
    given = ("--finetune-from-model", trained("transformer", "baseline")[0], "--attn-store", tmp_path, "--store-ema")
    log = train(data, tmp_path / "save", *IEL, *MODELS["transformer"], *given, fails=True)
    assert log.splitlines()[-1].endswith(
        "was trained without --store-ema, and fairseq cannot begin with that later; leave it out"
    )


def test_the_checkpoint_remembers(data, trained, tmp_path):
    """Line 13: extractor, positions, layer, heads, round, dictionaries; as plain data."""
    baseline, _ = trained("transformer", "baseline")
    finetuned, _ = trained("transformer", "positions")
    remembered = torch.load(finetuned)["task_state"][KEY]
    assert remembered["extractor"] == str(baseline)
    assert len(remembered["extractor_sha256"]) == 64
    assert remembered["attn_positions"] is True
    assert (remembered["attn_layer"], remembered["attn_heads"], remembered["round"]) == (None, None, 1)
    assert (remembered["source_lang"], remembered["target_lang"]) == ("src", "tgt")
    assert len(remembered["source_dictionary"]) == len(remembered["target_dictionary"]) == 64
    train(data, tmp_path, *IEL, *options(finetuned, 1), "--attn-layer", 0, "--attn-heads", "1,0")
    again = torch.load(tmp_path / "checkpoint_best.pt")["task_state"][KEY]
    assert again["extractor"] == str(finetuned)
    assert (again["attn_layer"], again["attn_heads"], again["round"]) == (0, [1, 0], 2)


def test_relative_extractor_is_found_from_another_folder(data, trained, tmp_path, monkeypatch):
    """The hub takes its options from the checkpoint, where --attn-model is as training was given it."""
    baseline, _ = trained("transformer", "baseline")
    monkeypatch.chdir(baseline.parent)
    train(data, tmp_path, *IEL, *MODELS["transformer"], "--attn-model", baseline.name, "--max-epoch", 1)
    monkeypatch.chdir(tmp_path)
    hub = TransformerModel.from_pretrained(
        str(tmp_path), "checkpoint_best.pt", data_name_or_path=str(data), user_dir=USER_DIR
    )
    assert len(hub.translate(["a1 n1", "v1"], beam=2)) == 2
    assert hub.task.extractor().path == str(baseline)


def test_hydra(data, trained, tmp_path):
    """With the configuration in docs/options.md, but for a small model."""
    baseline, _ = trained("transformer", "baseline")
    [documented] = [block for block in blocks(REPOSITORY / "docs/options.md") if block.language == "yaml"]
    config = yaml.safe_load(documented.text)
    config["common"].update(cpu=True, user_dir=USER_DIR, log_format="simple", seed=1)
    config["task"].update(data=str(data), source_lang="src", target_lang="tgt")
    small = {"embed_dim": 32, "ffn_embed_dim": 64, "layers": 1, "attention_heads": 2}
    config["model"].update(encoder=small, decoder=small, dropout=0.1)
    config["optimization"].update(max_epoch=1, lr=[0.005])
    config["dataset"].update(max_tokens=1000)
    config["checkpoint"].update(
        finetune_from_model=str(baseline), save_dir=str(tmp_path / "save"), no_epoch_checkpoints=True
    )
    first, _, _ = documented.text.partition("\n")
    (tmp_path / "finetune.yaml").write_text(f"{first}\n{yaml.safe_dump(config)}")
    log = run("fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "finetune", cwd=tmp_path, forked=False)
    assert "attention words for 4,000 sentences" in log
    remembered = torch.load(tmp_path / "save" / "checkpoint_best.pt")["task_state"][KEY]
    assert remembered["extractor"] == str(baseline)
    assert remembered["attn_positions"] is True


def test_two_ranks_extract_once_and_train_together(data, trained, tmp_path):
    baseline, _ = trained("transformer", "baseline")
    logs = train_two_ranks(data, tmp_path, *IEL, *options(baseline, 1), "--attn-heads", 0, "--attn-layer", 0)
    assert [sum(log.count(f"of {count} read in") for log in logs) for count in ("4,000", "100")] == [1, 1]
    assert len(lines(generate(data, tmp_path / "checkpoint_best.pt", *IEL), "H")) == 100


def test_ranks_that_fairseq_starts_by_itself(data, trained, tmp_path):
    """As where there are two GPUs: one process each."""
    gpus = "import torch; torch.cuda.device_count = lambda: 2; from fairseq_cli.train import cli_main; cli_main()"
    common = (*training(data, tmp_path), *IEL, *MODELS["transformer"], "--max-epoch", 1, "--attn-store", tmp_path)
    where = [word for word in one_of_two_ranks() if word != "--distributed-no-spawn"]

    def run_both(*more: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", gpus, *map(str, (*common, *where, *more))]
        return subprocess.run(command, capture_output=True, text=True, env=CPU, timeout=300)

    done = run_both("--finetune-from-model", trained("transformer", "baseline")[0])
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(tmp_path.glob("attention_positions.train.*/manifest.json"))) == 1, [*tmp_path.iterdir()]
    assert len(lines(generate(data, tmp_path / "checkpoint_best.pt", *IEL), "H")) == 100
    refused = run_both("--finetune-from-model", "missing.pt")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "missing.pt: the extractor cannot be read (No such file or directory)" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("more", [(), ("--distributed-world-size", "2")])
def test_torchrun_on_cpus_is_refused(data, tmp_path, more):
    """Each rank took itself for the only one, and wrote into the folder of the others."""
    words = [*started("fairseq-train"), *training(data, tmp_path), *PLAIN, *MODELS["transformer"], *more]
    ranks = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run(words, capture_output=True, text=True, env={**CPU, **ranks}, timeout=300)
    assert done.returncode == 1
    assert "error: torchrun: fairseq takes its ranks on GPUs only; on CPUs start each" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_two_ranks_say_once_what_is_cut(data, trained, tmp_path):
    """In the training set, and in a validation, of which each reads a half."""
    limited = ("--attn-model", "self", "--max-source-positions", 12)
    logs = train_two_ranks(data, tmp_path, *IEL, *options(trained("transformer", "baseline")[0], 1), *limited)
    assert [len(re.findall(r"WARNING \|.*sentences are cut to fit 12 tokens", log)) for log in logs] == [1, 0]
    read = ("--path", tmp_path / "checkpoint_last.pt", "--cpu", "--max-tokens", 1000)
    validated = run("fairseq-validate", data, *IEL, *read, "--max-source-positions", 12, forked=False)
    counted = re.compile(r"[\d,]+ attention words of [\d,]+ sentences were cut to fit 12 tokens")
    assert [counted.findall(log) for log in logs] == [counted.findall(validated), []]
    assert len(counted.findall(validated)) == 1


def test_extraction_reads_no_target(data, trained, tmp_path):
    """Line 1: the same attention positions when every target is another sentence."""
    baseline, _ = trained("transformer", "baseline")
    other = tmp_path / "bin"
    other.mkdir()
    for file in data.iterdir():
        if file.is_file():
            name = file.name.replace("valid", "x").replace("test", "valid") if ".tgt." in file.name else file.name
            (other / name).write_bytes(file.read_bytes())
    assert (other / "valid.src-tgt.tgt.bin").read_bytes() != (data / "valid.src-tgt.tgt.bin").read_bytes()
    options_ = (*options(baseline, 1), "--no-save")
    train(other, tmp_path / "save", *IEL, *options_, "--train-subset", "valid", "--disable-validation")
    stored = next(other.glob("attention_positions.valid.*/positions.bin"))
    train(data, tmp_path / "save", *IEL, *options_, "--train-subset", "valid", "--disable-validation")
    assert (data / stored.relative_to(other)).read_bytes() == stored.read_bytes() != b""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A site-packages folder with fairseq and, installed as `pip install .` does it, iel_fairseq."""
    import fairseq

    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(Path(fairseq.__file__).parent, folder / "fairseq", ignore=shutil.ignore_patterns("examples"))
    source = tmp_path_factory.mktemp("source")  # installing leaves a build folder behind
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(REPOSITORY / "iel_fairseq", source / "iel_fairseq")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, source]
    subprocess.run(pip, check=True)
    return folder


def test_user_dir_is_found_from_any_folder_after_a_plain_install(site, tmp_path):
    command = [sys.executable, "-m", "fairseq_cli.train", "no-data", "--user-dir", "iel_fairseq"]
    options = ["--task", "attn_enhanced_translation", "--attn-positions", "--arch", "transformer", "--max-tokens", "9"]
    done = subprocess.run(
        [*command, *options, "--cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "iel_fairseq: error: no-data: no such data folder; make one with fairseq-preprocess"
    )


def test_patience_goes_on_where_it_was(data, trained, tmp_path):
    """With a learning rate of zero no validation brings anything but the first."""
    baseline, _ = trained("transformer", "baseline")
    same = (*IEL, *MODELS["transformer"], "--finetune-from-model", baseline, "--lr", 0, "--patience", 2)

    def epochs(folder: str, *options: object) -> list[int]:
        log = train(data, tmp_path / folder, *same, *options)
        return [int(epoch) for epoch in re.findall(r"end of epoch (\d+) ", log)]

    assert epochs("whole", "--max-epoch", 9) == [1, 2, 3]
    assert epochs("whole", "--max-epoch", 9) == []
    assert epochs("parts", "--max-epoch", 2) == [1, 2]
    assert epochs("parts", "--max-epoch", 9) == [3]
    other = ("--finetune-from-model", tmp_path / "whole" / "checkpoint_last.pt")  # a training of its own
    assert epochs("other", *other, "--max-epoch", 9) == [1, 2, 3]
