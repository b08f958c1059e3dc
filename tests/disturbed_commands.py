"""Commands that are disturbed, how far they have come, and what they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commands import MODELS, USER_DIR
from forked import ForkedCommand, run_forked
from synthetic import make_pairs


@dataclass(frozen=True)
class Command:
    """A command that is disturbed.

    Attributes:
        program: ``iel``, or one of fairseq's
        words: what follows
        phases: by regular expression, what it is at once it says that; groups are filled in
        says_in: file that its log goes into, besides standard output and error
    """

    program: str
    words: str
    phases: Mapping[str, str] = field(default_factory=dict)
    says_in: str = ""

    def start(self, names: Mapping[str, str], folder: Path) -> ForkedCommand:
        """Start it in *folder*."""
        return ForkedCommand(self.program, self.arguments(names), folder)

    def finish(self, names: Mapping[str, str], folder: Path) -> None:
        """Run it in *folder*, to its end, which is a good one."""
        run_forked(self.program, self.arguments(names), folder)

    def arguments(self, names: Mapping[str, str]) -> list[str]:
        return shlex.split(self.words.format(**names))

    def phase(self, log: str) -> str:
        """What it is at when it has said *log*."""
        reached = [
            (match.end(), match.expand(name)) for said, name in self.phases.items() for match in re.finditer(said, log)
        ]
        return max(reached, default=(0, "before its work"))[1]


TRAIN = (
    "fairseq-train",
    "{translation}/DATA-BIN --user-dir {user_dir} --task attn_enhanced_translation {model} --criterion cross_entropy "
    "--cpu --max-tokens 200 --log-format none --finetune-from-model {translation}/baseline.pt --save-dir saved "
    "--attn-store stores ",
)
TRAINING = {
    "Start iterating|begin training epoch|Saved checkpoint": "training",
    "loaded .* examples|done loading": "extraction",
    "Preparing to save checkpoint": "writing checkpoints",
    "begin validation": "validation",
    "round (\\d) of": "the round after \\1 begins",
    "done training": "the end",
}
EXTRACTION = "extract {many} --path {translation}/baseline.pt --gen-subset train --attn-store stores --cpu "
COMMANDS = {
    "iel prepare": Command(
        "iel",
        "prepare --trainpref {translation}/corpus/train --validpref {translation}/corpus/valid "
        "--testpref {translation}/corpus/test2024 -s fr -t en --destdir prepared --merges 200 --workers 2",
        {
            r"(read|tokenise|truecase|split into pieces) \S+: .* pairs in": r"after: \1",
            r"\[fr\] Dictionary": "binarise",
        },
    ),
    "iel extract": Command("iel", EXTRACTION, {r"sentences ([\d,]+) to .* read in": r"after the shard from \1"}),
    "iel extract --output": Command(
        "iel",
        f"{EXTRACTION} --format jsonl --output found.jsonl",
        {r"sentences ([\d,]+) to .* read in": r"after the sentences from \1"},
    ),
    "fine-tuning": Command(
        TRAIN[0], f"{TRAIN[1]} --attn-positions --max-epoch 3 --save-interval-updates 7 --num-workers 1", TRAINING
    ),
    "bootstrapping": Command(TRAIN[0], f"{TRAIN[1]} --bootstrap-rounds 3 --bootstrap-epochs 2", TRAINING),
    "fairseq-generate": Command(
        "fairseq-generate",
        "{translation}/DATA-BIN --user-dir {user_dir} --path {translation}/finetuned.pt --cpu --batch-size 2 "
        "--task attn_enhanced_translation --results-path found --beam 5",
        {r"(?m)^H-\d": "translating", "Translated": "the end"},
        says_in="found/generate-test.txt",
    ),
    "iel translate": Command(
        "iel",
        "translate {translation}/news.fr --path {translation}/finetuned.pt "
        "--data {translation}/DATA-BIN --cpu --format jsonl --output news.jsonl",
        {"dictionary: ": "translating"},
    ),
    "classification": Command(
        "fairseq-train",
        "{classification}/GLUE-DIR --user-dir {user_dir} --task importance_enhanced_classification --glue-task RTE "
        "--arch hf_sequence_classifier --criterion glue --optimizer adam --lr 1e-3 --cpu --batch-size 8 --max-epoch 3 "
        "--finetune-from-model {classification}/baseline.pt --importance lime --importance-samples 200 "
        "--importance-store stores --save-dir saved --log-format none",
        {**TRAINING, "task: |criterion: ": "extraction"},
    ),
    "iel report": Command(
        "iel", "report {translation}/runs/mine --output found/results", {"no control for": "after the scores"}
    ),
    "iel plot": Command("iel", "plot bootstrap {translation}/SAVE-DIR --output rounds.png"),
}


def make_names(workspace: Path, folder: Path) -> dict[str, str]:
    """What the commands name: those of *workspace*; and, made in *folder*, data of which five shards are extracted."""
    pairs = make_pairs(seed=1, count=34_000)
    for language, sides in (("fr", [pair.source for pair in pairs]), ("en", [pair.target for pair in pairs])):
        (folder / f"train.{language}").write_text("".join(f"{' '.join(side)}\n" for side in sides))
    data = workspace / "translation/DATA-BIN"
    dictionaries = ("--srcdict", f"{data}/dict.fr.txt", "--tgtdict", f"{data}/dict.en.txt")
    words = (
        "-s",
        "fr",
        "-t",
        "en",
        "--trainpref",
        str(folder / "train"),
        "--destdir",
        str(folder / "bin"),
        *dictionaries,
    )
    run_forked("fairseq-preprocess", words, folder)
    return {
        **{name: str(workspace / name) for name in ("translation", "classification")},
        "many": str(folder / "bin"),
        "user_dir": USER_DIR,
        "model": shlex.join(MODELS["transformer"]),
    }
