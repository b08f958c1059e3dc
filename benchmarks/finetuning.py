"""Words per second of fine-tuning on attention words, against plain translation on the same x' written out as text.

Both read the same batches of the same x'. The runs alternate, and each is compared with the plain run of its own
turn: machines drift.

    python benchmarks/finetuning.py DATA-BIN --path baseline.pt --arch transformer ... [--cpu]
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

from commands import USER_DIR, run, write_enhanced_text


def words_per_second(*arguments: object) -> float:
    log = run("fairseq-train", *USER_DIR, *arguments)
    return float(re.findall(r"train \| epoch .*?\| wps ([\d.]+)", log)[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fairseq data folder")
    parser.add_argument("--path", type=Path, required=True, help="baseline checkpoint, the extractor")
    parser.add_argument("--updates", type=int, default=150, help="of each run")
    parser.add_argument("--repeat", type=int, default=5, help="turns, of one run of each kind")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments, options = parser.parse_known_args()
    device = ("--cpu",) if arguments.cpu else ()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written, source, target = write_enhanced_text(arguments.data, arguments.path, "train", folder, *device)
        common = [*("-s", source, "-t", target, *device, "--no-save", "--disable-validation", "--seed", 1)]
        common += [*("--max-update", arguments.updates, "--finetune-from-model", arguments.path, *options)]
        common += [*("--required-batch-size-multiple", 1, "--save-dir", folder / "save", "--log-format", "simple")]
        kinds = {
            "plain translation on x' as text": (written, "--task", "translation"),
            "attention words": (arguments.data, "--task", "attn_enhanced_translation"),
            "attention words with positions": (
                *(arguments.data, "--task", "attn_enhanced_translation", "--attn-positions"),
            ),
        }
        speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(arguments.repeat):
            for kind, first in kinds.items():
                speeds[kind].append(words_per_second(*first, *common))
                print(f"turn {turn + 1} of {arguments.repeat}, {kind}: {speeds[kind][-1]:,.0f}", file=sys.stderr)
    plain, *_ = speeds.values()
    print("| fine-tuning | words/s, median | of plain in the same turn: median | least | most |")
    print("|---|---:|---:|---:|---:|")
    for kind, values in speeds.items():
        shares = [value / other for value, other in zip(values, plain, strict=True)]
        print(
            f"| {kind} | {statistics.median(values):,.0f} | {statistics.median(shares):.1%} "
            f"| {min(shares):.1%} | {max(shares):.1%} |"
        )


if __name__ == "__main__":
    main()
