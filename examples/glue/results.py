"""The scores of the recipe's trainings, and the table that the paper calls table 5."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from fairseq import checkpoint_utils

import iel_fairseq  # noqa: F401  (lets torch's safe loader read fairseq's checkpoints)
from iel_fairseq.files import whole_file
from iel_fairseq.json_data import write_json


def write_score(folder: Path) -> None:
    """Write down the best validation score of the training in *folder*, and drop worse learning rates' checkpoints."""
    state = checkpoint_utils.load_checkpoint_to_cpu(str(folder / "checkpoint_best.pt"))
    with whole_file(str(folder / "score")) as file:
        print(state["extra_state"]["best"], file=file)
    scores = scores_of(folder.parent)
    best = max(scores, key=lambda rate: scores[rate])
    for rate in set(scores) - {best}:
        (folder.parent / rate / "checkpoint_best.pt").unlink(missing_ok=True)


def scores_of(folder: Path) -> dict[str, float]:
    """The validation score at each learning rate."""
    return {file.parent.name: float(file.read_text()) for file in sorted(folder.glob("*/score"))}


def print_table(arguments: argparse.Namespace) -> list[dict]:
    """Mean and standard deviation over seeds, at the learning rate that has the best mean; as data, too.

    The baseline has one of its own. What other trainings in the folder had no part in is not theirs to choose from.
    """
    records = []
    for task in arguments.tasks:
        for system in arguments.systems:
            by_seed = {seed: scores_of(arguments.work / task / str(seed) / system) for seed in arguments.seeds}
            rates = set.intersection(*(set(scores) for scores in by_seed.values()))
            if system != "baseline":
                rates &= {*arguments.rates}
            means = {rate: statistics.mean(scores[rate] for scores in by_seed.values()) for rate in sorted(rates)}
            rate = max(means, key=lambda rate: means[rate])
            found = [scores[rate] for scores in by_seed.values()]
            spread = statistics.stdev(found) if len(found) > 1 else None
            record = {"task": task, "system": system, "learning_rate": rate, "mean": means[rate], "spread": spread}
            records.append({**record, "scores": dict(zip(arguments.seeds, found, strict=True)), "means": means})
    print("| system | " + " | ".join(f"{task} (learning rate)" for task in arguments.tasks) + " |")
    print("|---|" + "---:|" * len(arguments.tasks))
    for system in arguments.systems:
        cells = [_cell(record) for record in records if record["system"] == system]
        print(f"| {system} | " + " | ".join(cells) + " |")
    print(
        f"\nValidation set; mean and standard deviation over seeds {', '.join(map(str, arguments.seeds))}; the learning"
    )
    print("rate with the best mean, which is chosen on the same set.")
    return records


def _cell(record: dict) -> str:
    spread = "" if record["spread"] is None else f" ± {record['spread']:.1f}"
    return f"{record['mean']:.1f}{spread} ({record['learning_rate']})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True, dest="kind")
    score = kinds.add_parser("score", help="write down the score of one training")
    score.add_argument("folder", type=Path, help="its save directory")
    table = kinds.add_parser("table", help="print the table")
    table.add_argument("work", type=Path, help="folder of the recipe")
    table.add_argument("--tasks", nargs="+", required=True)
    table.add_argument("--seeds", nargs="+", type=int, required=True)
    table.add_argument("--systems", nargs="+", required=True, help="rows of the table")
    table.add_argument("--rates", nargs="+", required=True, help="learning rates of all but the baseline")
    table.add_argument("--json", type=Path, required=True, help="file for the same figures as data")
    arguments = parser.parse_args()
    if arguments.kind == "score":
        write_score(arguments.folder)
        return
    records = print_table(arguments)
    write_json(arguments.json, records)


if __name__ == "__main__":
    main()
