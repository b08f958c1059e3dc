"""Score a recipe's translations and print one Markdown table, and example sentences with their attention words."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from fairseq import checkpoint_utils
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

import iel_fairseq  # noqa: F401  (lets torch's safe loader read fairseq's checkpoints)
from iel_fairseq.attention_words import extract_attention_words
from iel_fairseq.files import whole_file

EXAMPLES = 5


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def updates(run: Path, system: str) -> int:
    """Optimiser updates behind the best checkpoint of *system*, those of the baseline included."""
    state = checkpoint_utils.load_checkpoint_to_cpu(str(run / system / "checkpoint_best.pt"))
    own = state["optimizer_history"][-1]["num_updates"]
    return own if system == "baseline" else own + updates(run, "baseline")


def print_table(arguments: argparse.Namespace) -> list[dict]:
    """BLEU, its 95% confidence interval, and the paired bootstrap significance against a control; as data, too."""
    records = []
    names = dict(zip(arguments.splits, arguments.names, strict=True))
    header = " | ".join(f"{names[split]} (p)" for split in arguments.splits)
    print(f"| model | system | updates | {header} |")
    print("|---|---|---:|" + "---:|" * len(arguments.splits))
    signature = ""
    for arch in arguments.archs:
        run = arguments.work / arch
        # The first system is the one that PairedTest compares the others with.
        systems = [arguments.reference] + [system for system in arguments.systems if system != arguments.reference]
        cells: dict[str, list[str]] = {system: [] for system in systems}
        for split in arguments.splits:
            references = read_lines(arguments.work / "raw" / f"{split}.{arguments.target}")
            outputs = [(system, read_lines(run / system / f"{split}.{arguments.target}")) for system in systems]
            metric = {"BLEU": BLEU(references=[references])}
            signatures, scores = PairedTest(outputs, metric, references=None, test_type="bs", n_samples=1000)()
            signature = str(signatures["BLEU"])
            for system, result in zip(systems, scores["BLEU"], strict=True):
                p_value = "" if result.p_value is None else f" ({result.p_value:.3f})"
                cells[system].append(f"{result.score:.1f} ± {result.ci:.1f}{p_value}")
                record = {"model": arch, "system": system, "set": names[split], "bleu": result.score}
                records.append({**record, "ci": result.ci, "p": result.p_value, "signature": signature})
        for system in arguments.systems:
            print(f"| {arch} | {system} | {updates(run, system):,} | " + " | ".join(cells[system]) + " |")
    print(f"\nsacreBLEU signature: `{signature}`; ± is the 95% confidence interval, (p) the paired bootstrap")
    print(f"significance of the difference from {arguments.reference}.")
    return records


def print_examples(arguments: argparse.Namespace) -> None:
    """The first test sentences: attention words with their positions, and both systems' translations."""
    arch, (_, split, *_) = arguments.archs[0], arguments.splits
    run = arguments.work / arch
    _, _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(run / "attention-positions" / "checkpoint_best.pt")],
        arg_overrides={"data": str(arguments.work / "data-bin")},
    )
    extractor = task.extractor()
    raw = read_lines(arguments.work / "raw" / f"{split}.{arguments.source}")
    translations = {
        system: read_lines(run / system / f"{split}.{arguments.target}")
        for system in ("control", "attention-positions")
    }
    for index, line in enumerate(read_lines(arguments.work / "bpe" / f"{split}.{arguments.source}")[:EXAMPLES]):
        tokens = task.source_dictionary.encode_line(line, add_if_not_exist=False).long()
        words = extract_attention_words(extractor.model, tokens.unsqueeze(0))
        positions = words.positions[0].tolist()
        x = line.split()
        print(f"\n{index + 1}. source: {raw[index]}")
        print("   attention words: " + " ".join(f"{x[position - 1]}/{position}" for position in positions))
        for system, lines in translations.items():
            print(f"   {system}: {lines[index]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the recipe")
    parser.add_argument("--source", required=True, help="source language")
    parser.add_argument("--target", required=True, help="target language")
    parser.add_argument("--archs", nargs="+", required=True, help="folders of the architectures")
    parser.add_argument("--systems", nargs="+", required=True, help="systems, rows of the table")
    parser.add_argument("--reference", default="control", help="system that the others are compared with")
    parser.add_argument("--splits", nargs="+", required=True, help="fairseq's names of the sets, columns of the table")
    parser.add_argument("--names", nargs="+", required=True, help="the sets' own names, in the same order")
    parser.add_argument("--json", type=Path, required=True, help="file for the same figures as data")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    records = print_table(arguments)
    with whole_file(str(arguments.json)) as file:
        json.dump(records, file, indent=1)
    if "attention-positions" in arguments.systems:
        print_examples(arguments)


if __name__ == "__main__":
    main()
