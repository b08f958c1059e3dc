"""The commands in the documents, how each is tested, and a place where they can be run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from commands import MODELS, USER_DIR
from documents import DOCUMENTS, commands
from forked import run_forked
from synthetic import make_pairs
from tiny_bert import make_folder

DOCUMENTED = {line.text: line for document in DOCUMENTS for line in commands(document)}
"""By command, where it stands (last)."""

MODEL = " ".join(shlex.quote(word) for word in MODELS["transformer"][2:])
SMALL = "--criterion cross_entropy --max-tokens 1000 --no-epoch-checkpoints --log-format none --cpu"
CLASSIFIER = "--optimizer adam --lr 1e-3 --batch-size 8 --max-epoch 1"


@dataclass(frozen=True)
class Rule:
    """What is done with the commands that *pattern* is found in.

    Attributes:
        pattern: regular expression
        more: options that make it small, and keep it off the GPU
        stdin: standard input
        says: regular expression that its output must have
        makes: file that must be there afterwards
        kept_as: where that file lies for other commands
    """

    pattern: str
    more: str = ""
    stdin: str = ""
    says: str = ""
    makes: str = ""
    kept_as: tuple[str, ...] = ()

    @property
    def commands(self) -> list[str]:
        return [text for text in DOCUMENTED if re.search(self.pattern, text)]


TRAINED = (  # in this order: what they make is there for the others
    Rule("^iel prepare .*--destdir runs/mine", makes="runs/mine/data-bin/preparation.json"),
    Rule(
        "^fairseq-train DATA-BIN .*--save-dir checkpoints/baseline$",
        more=f"{SMALL} --max-epoch 1",
        makes="checkpoints/baseline/checkpoint_best.pt",
        kept_as=("baseline.pt", "runs/mine/transformer/baseline/checkpoint_best.pt"),
    ),
    Rule(
        "^fairseq-train DATA-BIN .*--save-dir checkpoints/enhanced$",
        more=f"{SMALL} --max-epoch 1",
        makes="checkpoints/enhanced/checkpoint_best.pt",
        kept_as=("finetuned.pt", "runs/mine/transformer/attention-positions/checkpoint_best.pt"),
    ),
    Rule(
        "^fairseq-train DATA-BIN .*--save-dir checkpoints/control$",
        more=f"{SMALL} --max-epoch 1",
        says="Saved checkpoint checkpoints/control",
        makes="checkpoints/control/checkpoint_best.pt",
    ),
    Rule(
        "^fairseq-train DATA-BIN .*--bootstrap-rounds 20",
        more=f"{SMALL} --max-epoch 2 --save-dir SAVE-DIR",
        makes="SAVE-DIR/extractor.round2.pt",
    ),
    Rule("^iel extract .*--output read.jsonl$", more="--cpu", makes="read.jsonl"),
    Rule(
        "^fairseq-train GLUE-DIR .*--hf-model",
        more="--cpu --max-epoch 1 --no-epoch-checkpoints --log-format none",
        makes="checkpoints/RTE/checkpoint_best.pt",
        kept_as=("baseline.pt",),
    ),
    Rule(
        "^fairseq-train GLUE-DIR .*--importance lime",
        more="--cpu --no-epoch-checkpoints --log-format none",
        makes="checkpoints/RTE-lime/checkpoint_best.pt",
        kept_as=("finetuned.pt",),
    ),
)
WRITTEN = (  # when the trainings look finished; docs/formats.md is compared with what they write
    Rule("^iel extract .*--force-target .*> found.txt", more="--cpu", makes="found.txt"),
    Rule("^iel translate news.fr .*--format jsonl", more="--cpu", makes="news.jsonl"),
    Rule("^iel report runs/multi30k.fr-en$", makes="runs/mine/results.html"),
    Rule(
        "^iel faithfulness", more="--cpu --json faithfulness.json", says=r"\| lime \| -?0\.", makes="faithfulness.json"
    ),
    Rule("^iel predict", more="--cpu", makes="RTE.tsv"),
    Rule("^iel explain", more="--cpu --importance-samples 100", makes="explained.jsonl"),
)
AFTERWARDS = (
    Rule("^iel score-aer", says="^recall "),
    Rule(r"^echo .* \| iel translate", more="--cpu", says=r"^.*\t\S+/1\b|^.*\t\S+/\d"),
    Rule("^iel translate news.fr .*--output news.en", more="--cpu", makes="news.en"),
    Rule("^fairseq-generate", more="--cpu", says=r"(?s)^H-19\t.*BLEU"),
    Rule("^fairseq-interactive", more="--cpu", stdin="a1 n2\n", says=r"(?m)^D-0\t"),
    Rule("^iel extract .*--gen-subset train$", more="--cpu --attn-store anew", says="train: sentences 1 to .* read in"),
    Rule("^iel extract .*--gen-subset valid$", more="--cpu --attn-store anew", says="valid: sentences 1 to .* read in"),
    Rule("^iel extract .*--num-shards 4", more="--cpu --attn-layer 0", says="train: sentences 1 to .* read in"),
    Rule("^iel extract .*--format pharaoh$", more="--cpu", says=r"(?m)^\d+-0"),
    Rule("^iel extract .*--format jsonl --force-target", more="--cpu", says='"id": 19, "source"'),
    Rule("iel plot attention read.jsonl", makes="attention.png"),
    Rule("iel plot attention .*--path", more="--cpu", makes="attention.html"),
    Rule("^iel plot bootstrap", makes="rounds.png"),
    Rule(r"^printf .* \| iel predict", more="--cpu", says=r"^index\tprediction\n0\t(not_)?entailment$"),
    Rule("^fairseq-validate GLUE-DIR", more="--cpu", says="accuracy"),
    Rule("^iel plot importance", more="--cpu", makes="importance.html"),
    Rule("^iel export-hf", makes="FOLDER/model.safetensors"),
)
UNDERSTOOD_ONLY = {  # regular expression: why it is not run
    "^make ": "minutes, or it is what runs this test, or changes the virtual environment",
    r"^([A-Z_0-9]+=.* )?examples/\w+/run\.sh": "downloads and trains; tests/system/test_recipes.py runs the steps",
    "^for seed in": "likewise",
    "pip install": "installs",
    "^torchrun": "several GPUs",
    "^fairseq-hydra-train": "tests/system/test_training.py runs it with the same configuration, but for its paths",
    "^fairseq-train .*--distributed-world-size": "two processes; tests/system/test_training.py starts them",
    "^iel prepare multi30k": "downloads; tests/test_corpora.py reads the files' likes",
    "^iel prepare .*big/train": "a million pairs",
    "^iel plot noise": "draws what hours of training leave; tests/reports/test_plots.py draws small ones",
    r"^iel report .*\.seed": "several trainings; tests/reports/test_report.py makes such a report",
    "iel serve": "serves until it is interrupted; tests/web/test_page.py opens the page",
    "^iel doctor": "trains; tests/test_doctor.py runs it",
    "^(python )?benchmarks/": "measures, for minutes",
    "python -m pytest": "runs tests",
    "pre-commit install$": "changes the checkout",
}


@dataclass(frozen=True)
class Command:
    """A command line, what stands for something else in it replaced.

    Attributes:
        program: first word
        words: the others
        stdin: what another program, ``echo`` or ``printf``, writes into it
        stdout: file that its output goes into
    """

    program: str
    words: list[str]
    stdin: str = ""
    stdout: str = ""

    @classmethod
    def of(cls, text: str) -> Command:
        before, piped, text = ("", "", text) if " | " not in text else text.partition(" | ")
        text, _, stdout = text.partition(" > ")
        text = f"{text} ".replace(" ... ", f" {CLASSIFIER if 'glue-task' in text else MODEL} ")
        text = text.replace("--user-dir iel_fairseq", f"--user-dir {shlex.quote(USER_DIR)}")
        program, *words = shlex.split(text.replace("--hf-model bert-base-cased", "--hf-model bert"))
        assert not piped or shlex.split(before)[0] in ("echo", "printf"), before
        stdin = subprocess.run(shlex.split(before), capture_output=True, text=True, check=True).stdout if piped else ""
        return cls(program.removeprefix(".venv/bin/"), words, stdin, stdout)


def run_rule(rule: Rule, text: str, folder: Path) -> None:
    """Run the command *text* in the workspace at *folder*."""
    folder = folder / ("classification" if re.search("GLUE-DIR|glue|export-hf|iel predict", text) else "translation")
    command = Command.of(text)
    words = [*command.words, *shlex.split(rule.more)]
    output, log = run_forked(command.program, words, folder, rule.stdin or command.stdin)
    assert re.search(rule.says, output + log, re.MULTILINE), output[-2000:] + log[-2000:]
    if command.stdout:
        (folder / command.stdout).write_text(output)
    assert (folder / rule.makes).exists(), log[-3000:]
    for copy in rule.kept_as:
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / rule.makes, folder / copy)


def make_workspace(folder: Path) -> None:
    """Make two folders in which the documents' names are those of small things, by the documents' own commands."""
    translation, classification = folder / "translation", folder / "classification"
    write_corpus(translation / "corpus")
    shutil.copy(translation / "corpus/test2024.fr", translation / "news.fr")
    (translation / "gold.txt").write_text("0-0 1p1\n" * 20)
    (translation / "DATA-BIN").symlink_to("runs/mine/data-bin")
    (translation / "runs/mine").mkdir(parents=True)
    for name in ("demo.de-en", "multi30k.fr-en"):
        (translation / "runs" / name).symlink_to("mine")
    (classification / "GLUE-DIR/RTE").mkdir(parents=True)
    make_folder(classification / "bert")
    for name, count in (("train", 16), ("dev", 13), ("test", 3)):
        labels = ["not_entailment", "entailment"] * count
        rows = [[str(n), "the film is good", ["a bad dog", "a good cat"][n % 2], labels[n]] for n in range(count)]
        lines = [["index", "sentence1", "sentence2", "label"], *rows]
        text = "".join("\t".join(line[: 3 if name == "test" else 4]) + "\n" for line in lines)
        (classification / f"GLUE-DIR/RTE/{name}.tsv").write_text(text)
    for runs in ("runs/glue", "runs/glue.small"):
        (classification / runs).mkdir(parents=True)
        (classification / runs / "data").symlink_to("../../GLUE-DIR")
    run_rules(TRAINED, folder)
    for system in ("baseline", "attention-positions"):  # as a recipe leaves them
        finished = translation / "runs/mine/transformer" / system
        (finished / "finished").touch()
        for split in ("valid", "test"):
            shutil.copy(translation / f"runs/mine/raw/{split}.en", finished)
    run_rules(WRITTEN, folder)


def write_corpus(folder: Path) -> None:
    """Write the texts that the documents name into *folder*."""
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate((("train", 250), ("valid", 20), ("test2024", 20))):
        pairs = make_pairs(seed, count)
        for language, sides in (("fr", [pair.source for pair in pairs]), ("en", [pair.target for pair in pairs])):
            (folder / f"{name}.{language}").write_text("".join(f"{' '.join(side)}\n" for side in sides))


def run_rules(rules: Iterable[Rule], folder: Path) -> None:
    """Run all commands that *rules* are for."""
    for rule in rules:
        for text in rule.commands:
            run_rule(rule, text, folder)
