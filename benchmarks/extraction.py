"""Sentences per second of extraction, beside other ways to the same attention words.

    python benchmarks/extraction.py DATA-BIN --path model.pt [--cpu]

What the ways find is compared first. They then take turns, each in the setting (tokens in a batch, threads) that was
fastest in a first turn, which does not count; ours keeps its defaults. `fairseq-generate` reports its own time; the
others count from the data set to the attention positions, without starting up. The floor is the time that the matrix
products alone would take at the rate that this machine multiplies large matrices at. CTranslate2 takes part when it is
installed (`pip install ctranslate2`) and can read the model.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from commands import command_line
from fairseq.models.transformer import TransformerModelBase
from some_sentences import some_sentences
from ways import CTranslate2, Found, Material, Workers, print_alignment

from iel_fairseq.extraction import TOKENS

BATCH_TOKENS = {"cpu": (2000, 4000, 8000), "cuda": (4000, 16_000, 64_000)}
Run = Callable[..., tuple[float, Found | None]]


def multiplications(model, source_tokens: int, target_tokens: int) -> float:
    """Multiply-adds of the weight matrices for so many tokens, ``</s>`` among them. Attention itself is not counted."""
    decoder = model.decoder
    vocabulary = decoder.output_projection if isinstance(model, TransformerModelBase) else decoder.fc3

    def matrices(module: torch.nn.Module) -> int:
        weights = [weight for name, weight in module.named_parameters() if weight.dim() > 1 and "embed" not in name]
        return sum(weight.numel() for weight in weights if weight is not vocabulary.weight)

    once_a_source = sum(
        projection.weight.numel()
        for layer in getattr(decoder, "layers", [])
        for projection in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
    )
    step = matrices(decoder) - once_a_source + vocabulary.weight.numel()
    return source_tokens * (matrices(model.encoder) + once_a_source) + target_tokens * step


def matrix_rate(device: torch.device) -> float:
    """Multiply-adds per second on large float32 matrices, the best of several."""
    a, b = (torch.randn(2048, 2048, device=device) for _ in range(2))
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2048**3 / min(seconds)


def extract_command(material: Material, data: Path) -> tuple[float, float]:
    """Seconds that `iel extract` reports, and its peak memory in MiB."""
    command = command_line("iel", "extract", data, "--path", material.path, "--gen-subset", "train")
    command += ["--cpu"] if material.cpu else []
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(log[-2000:])
    return sum(float(seconds) for seconds in re.findall(r"read in ([\d.]+) s", log)), usage.ru_maxrss / 1024


def same(found: Found, expected: Found, what: int) -> str:
    """How many sentences are the same: hypotheses (*what* 0) or attention positions (1)."""
    return f"{sum(row[what] == expected[index][what] for index, row in found.items()):,} of {len(found):,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fairseq data folder")
    parser.add_argument("--path", required=True, help="checkpoint of a Transformer or ConvS2S")
    parser.add_argument("--gen-subset", default="train")
    parser.add_argument("--sentences", type=int, default=1500, help="the first so many of the split")
    parser.add_argument("--naive-sentences", type=int, default=50, help="of those, for the naive way")
    parser.add_argument("--repeat", type=int, default=5, help="turns")
    parser.add_argument("--only", nargs="+", metavar="WAY", help="ways that take part beside ours, by their names")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        benchmark(arguments, Path(name))


def benchmark(arguments: argparse.Namespace, folder: Path) -> None:
    whole = Material(str(arguments.data), arguments.path, arguments.gen_subset, arguments.cpu)
    model, task = whole.load()
    dataset = task.dataset(whole.split)
    count = min(arguments.sentences, len(dataset))
    few = range(min(arguments.naive_sentences, count))
    sentences = range(count)
    device = next(model.parameters()).device
    rate = matrix_rate(device)  # before CTranslate2, which changes this process's number of threads
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    material = Material(
        str(some_sentences(task, whole.split, count, count, folder / "once")), whole.path, "train", whole.cpu
    )

    one_process = Workers(material, 1, cores)
    default = TOKENS[device.type]
    tokens = [(tokens,) for tokens in BATCH_TOKENS[device.type]]
    ways: dict[str, tuple[Run, list[tuple], range]] = {
        "ours": (lambda: one_process.run("ours", sentences, default), [()], sentences),
        "decode, then one forward pass": (lambda t: one_process.run("afterwards", sentences, t), tokens, sentences),
        "SequenceGenerator, beam 1": (lambda t: one_process.run("generator", sentences, t), tokens, sentences),
        "fairseq-generate --print-alignment": (
            lambda t: (print_alignment(material, count, t), None),
            tokens,
            sentences,
        ),
        "naive Algorithm 1": (lambda: one_process.run("naive", few, 1), [()], few),
    }
    if importlib.util.find_spec("ctranslate2") and isinstance(model, TransformerModelBase):
        engine = CTranslate2(material, dataset, sentences, folder)
        threads = {(cores, 1), (1, cores)} if device.type == "cpu" else {(1, 1)}
        settings = [(inter, intra, *t) for inter, intra in threads for t in tokens]
        for kind in ("float32", "int8"):
            ways[f"CTranslate2 {kind}"] = (lambda *s, kind=kind: engine.run(kind, *s), settings, sentences)
    if cores > 1:
        one_core, two = Workers(material, 1, 1), Workers(material, 2, 1)
        ways["ours, one process, one thread"] = (lambda: one_core.run("ours", sentences, default), [()], sentences)
        ways["ours, two processes, one thread each"] = (lambda: two.run("ours", sentences, default), [()], sentences)

    if arguments.only:
        if unknown := set(arguments.only) - set(ways):
            raise SystemExit(f"--only {unknown.pop()!r}: it is one of {', '.join(map(repr, ways))}")
        ways = {way: each for way, each in ways.items() if way in ("ours", *arguments.only)}

    hypotheses = one_process.run("hypotheses", sentences, 4000)[1]
    found: dict[str, Found | None] = {}
    chosen: dict[str, tuple] = {}
    for way, (run, settings, _) in list(ways.items()):
        results = []
        for setting in settings:
            try:
                results.append((run(*setting), setting))
            except (RuntimeError, SystemExit) as error:  # what one engine lacks here is no reason to lose the others
                print(f"{way} {setting}: left out, {error}", file=sys.stderr)
                if way == "ours":
                    raise
        if not results:
            del ways[way]
            continue
        (seconds, found[way]), chosen[way] = min(results, key=lambda result: result[0][0])
        print(f"{way}: {chosen[way] or 'default'}, {seconds:.2f} s", file=sys.stderr)
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(arguments.repeat):
        for way, (run, _, which) in ways.items():
            speeds[way].append(len(which) / run(*chosen[way])[0])
        latest = ", ".join(f"{way} {values[-1]:,.0f}" for way, values in speeds.items())
        print(f"turn {turn + 1} of {arguments.repeat}, sentences/s: {latest}", file=sys.stderr)

    source_tokens = int(dataset.src_sizes[:count].sum())
    target_tokens = sum(len(row[0]) + 1 for row in hypotheses.values())
    floor = multiplications(model, source_tokens, target_tokens) / rate
    print(f"{count:,} sentences, {source_tokens:,} source and {target_tokens:,} generated tokens,")
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{where}, {cores} threads, {platform.machine()}, torch {torch.__version__}; floor {floor:.2f} s\n")
    # Only sentences that end are limited alike by all ways; tokens/s compares those that do not.
    columns = ("sentences/s, median", "least", "most", "ours is faster by", "tokens/s", "time / floor")
    print(f"| way | {' | '.join((*columns, 'same words', 'same positions'))} |")
    print("|---" + "|---:" * 8 + "|")
    for way, values in speeds.items():
        ratio = statistics.median(ours / other for ours, other in zip(speeds["ours"], values, strict=True))
        rows = found[way] or {}
        texts = same(rows, hypotheses, 0) if any(row[0] for row in rows.values()) else ""
        generated = hypotheses if way.startswith("ours") else rows if texts else {}
        tokens_each = sum(len(row[0]) + 1 for row in generated.values()) / max(len(generated), 1)
        speed = f"{statistics.median(values) * tokens_each:,.0f}" if generated else ""
        positions = same(rows, hypotheses, 1) if any(row[1] for row in rows.values()) else ""
        print(
            f"| {way} | {statistics.median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f} | {ratio:.2f} "
            f"| {speed} | {count / statistics.median(values) / floor:.1f} | {texts} | {positions} |"
        )

    if arguments.only:
        return
    print("\n| `iel extract`, sentences | seconds | peak memory, MiB |\n|---:|---:|---:|")
    for times in (8, 16, 32):
        data = some_sentences(task, whole.split, count, times * count, folder / f"{times} times")
        seconds, memory = extract_command(material, data)
        print(f"| {times * count:,} | {seconds:.1f} | {memory:,.0f} |")


if __name__ == "__main__":
    main()
