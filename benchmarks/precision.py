"""What half precision changes: attention positions, and the BLEU of a fine-tuning on them, against float32.

    python benchmarks/precision.py DATA-BIN --path baseline.pt --arch transformer ... [--cpu]

bfloat16, and float16 where there is a GPU. Each precision extracts the training set, fine-tunes on what it found with
the options of fairseq-train that are given, for as many updates, and translates in two passes, in float32. Same seed.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import torch
from commands import USER_DIR, run

from iel_fairseq.attention_store import StoredPositions, read_attention_positions


def compared(found: StoredPositions, expected: StoredPositions) -> str:
    """How many attention positions, and how many sentences, are others than *expected*."""
    changed = other_sentences = 0
    for ours, theirs in zip(found, expected, strict=True):
        shorter = min(len(ours), len(theirs))
        differ = int((ours[:shorter] != theirs[:shorter]).sum()) + max(len(ours), len(theirs)) - shorter
        changed += differ
        other_sentences += differ > 0
    return f"{changed / expected.sizes.sum():.2%} | {other_sentences / len(expected):.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fairseq data folder")
    parser.add_argument("--path", type=Path, required=True, help="baseline checkpoint, the extractor")
    parser.add_argument("--updates", type=int, default=200, help="of each fine-tuning")
    parser.add_argument("--gen-subset", default="test", help="split to translate")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments, options = parser.parse_known_args()
    cpu = arguments.cpu or not torch.cuda.is_available()
    device = ("--cpu",) if cpu else ()
    precisions = {"float32": (), "bfloat16": ("--bf16",)} | ({} if cpu else {"float16": ("--fp16",)})
    print("| precision | extraction, s | positions changed | sentences changed | BLEU | difference |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        expected, plain_bleu = None, None
        for precision, half in precisions.items():
            folder = Path(name) / precision
            stores = ("--attn-store", folder, *half, *device)
            extracted = run(
                "iel", "extract", arguments.data, "--path", arguments.path, "--gen-subset", "train", *stores
            )
            seconds = sum(float(seconds) for seconds in re.findall(r"read in ([\d.]+) s", extracted))
            found = read_attention_positions(folder)
            expected = expected or found
            task = (*USER_DIR, "--task", "attn_enhanced_translation", "--seed", 1, *device)
            training = (
                "--finetune-from-model",
                arguments.path,
                "--max-update",
                arguments.updates,
                "--save-dir",
                folder,
            )
            training += ("--attn-store", folder, "--disable-validation", "--no-epoch-checkpoints", *half, *options)
            run("fairseq-train", arguments.data, *task, *training)
            decoding = ("--path", folder / "checkpoint_last.pt", "--gen-subset", arguments.gen_subset, "--beam", 5)
            decoding += ("--remove-bpe", "--scoring", "sacrebleu", "--max-tokens", 4000)
            log = run("fairseq-generate", arguments.data, *task, *decoding)
            bleu = float(re.search(r"Generate .* BLEU[^=]*= ([\d.]+)", log)[1])
            plain_bleu = plain_bleu or bleu
            changed = compared(found, expected)
            print(f"| {precision} | {seconds:.1f} | {changed} | {bleu:.2f} | {bleu - plain_bleu:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
