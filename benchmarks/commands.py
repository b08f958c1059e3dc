"""The project's and fairseq's commands, as a user starts them, for the benchmarks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fairseq import checkpoint_utils

import iel_fairseq

USER_DIR = ("--user-dir", str(Path(iel_fairseq.__file__).parent))


def command_line(command: str, *arguments: object) -> list[str]:
    """The words that start ``iel`` or one of fairseq's commands, whether or not it is installed as a script."""
    module = "iel_fairseq.cli" if command == "iel" else command.replace("fairseq-", "fairseq_cli.")
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(command: str, *arguments: object) -> str:
    """Standard output and error of a command; a failure ends the benchmark with its last lines."""
    done = subprocess.run(command_line(command, *arguments), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout + done.stderr


def write_enhanced_text(data: Path, extractor: Path, split: str, folder: Path, *device: str) -> tuple[Path, str, str]:
    """Binarise x' and the target of *split* as two plain texts; the data folder and its languages.

    The split has its name in there, too. *device* is ``--cpu``, or nothing.
    """
    _, cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(extractor)], arg_overrides={"data": str(data)})
    source, target = cfg.task.source_lang, cfg.task.target_lang
    task.load_dataset(split)
    with open(folder / f"{split}.{target}", "w") as plain:
        for sentence in task.dataset(split).tgt:
            plain.write(task.target_dictionary.string(sentence) + "\n")
    text = ("--gen-subset", split, "--format", "text", "--output", folder / f"{split}.{source}")
    run("iel", "extract", data, "--path", extractor, *device, *text)
    dictionaries = ("--srcdict", data / f"dict.{source}.txt", "--tgtdict", data / f"dict.{target}.txt")
    prefix = (f"--{split}pref", folder / split, "--destdir", folder / "bin")
    run("fairseq-preprocess", "-s", source, "-t", target, *dictionaries, *prefix)
    return folder / "bin", source, target
