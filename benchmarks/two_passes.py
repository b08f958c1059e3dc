"""Seconds of two passes in one command, against the two steps by hand, and against one pass of the extractor.

    python benchmarks/two_passes.py DATA-BIN --path finetuned.pt [--attn-model baseline.pt] [--cpu]

One command: `fairseq-generate` of attn_enhanced_translation. By hand: `iel extract`, and `fairseq-generate` of plain
translation on x' written out as text (attention positions off). Beside them: plain translation of x by the extractor,
which is what one had before. All report their own time: start-up is not counted, but what a GPU loads at its first
computation is. They take turns, and each turn has a ratio of its own: machines drift.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

from commands import USER_DIR, run, write_enhanced_text

from iel_fairseq.enhancement import Enhancement


def generate_seconds(data: Path, path: Path, task: str, options: tuple) -> float:
    log = run("fairseq-generate", data, *USER_DIR, "--task", task, "--path", path, *options)
    return float(re.search(r"Translated .* in ([\d.]+)s", log)[1])


def extract_seconds(data: Path, extractor: str, split: str, store: Path, *device: str) -> float:
    options = ("--gen-subset", split, *device, "--attn-store", store)
    log = run("iel", "extract", data, "--path", extractor, *options)
    return sum(float(seconds) for seconds in re.findall(r"read in ([\d.]+) s", log))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fairseq data folder")
    parser.add_argument("--path", type=Path, required=True, help="checkpoint fine-tuned on attention words")
    parser.add_argument("--attn-model", help="extractor; default: the one that the checkpoint remembers")
    parser.add_argument("--gen-subset", default="test")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=5, help="turns")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments = parser.parse_args()
    device = ("--cpu",) if arguments.cpu else ()
    enhancement = Enhancement.from_checkpoint(str(arguments.path))
    extractor = arguments.attn_model or enhancement.extractor
    if extractor is None:
        parser.error(f"{arguments.path}: it remembers no extractor")
    if enhancement.attn_positions:
        parser.error(f"{arguments.path}: trained with --attn-positions, which plain translation of x' does not have")
    split = arguments.gen_subset
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written, source, target = write_enhanced_text(arguments.data, Path(extractor), split, folder, *device)
        options = ("-s", source, "-t", target, "--gen-subset", split, "--beam", arguments.beam)
        options += ("--max-tokens", arguments.max_tokens, "--required-batch-size-multiple", 1, *device)
        read_by = ("--attn-model", extractor)
        for turn in range(arguments.repeat):
            rows.append(
                (
                    generate_seconds(arguments.data, arguments.path, "attn_enhanced_translation", (*options, *read_by)),
                    extract_seconds(arguments.data, extractor, split, folder / f"store {turn}", *device),
                    generate_seconds(written, arguments.path, "translation", options),
                    generate_seconds(arguments.data, extractor, "translation", options),
                )
            )
            print(f"turn {turn + 1} of {arguments.repeat}: {rows[-1]}", file=sys.stderr)
    print("| seconds, median | two passes in one | first pass | second pass | plain translation of x |")
    print("|---|---:|---:|---:|---:|")
    print(f"| {split} | {' | '.join(f'{statistics.median(values):.2f}' for values in zip(*rows, strict=True))} |\n")
    print("| two passes in one against | median | least | most |\n|---|---:|---:|---:|")
    for what, ratios in (
        ("first and second pass", [both / (first + second) for both, first, second, _ in rows]),
        ("plain translation of x", [both / plain for both, _, _, plain in rows]),
    ):
        print(f"| {what} | {statistics.median(ratios):.3f} | {min(ratios):.3f} | {max(ratios):.3f} |")


if __name__ == "__main__":
    main()
