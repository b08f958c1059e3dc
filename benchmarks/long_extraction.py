"""Memory and speed of a long `iel extract`, from its beginning to its end.

    python benchmarks/long_extraction.py DATA-BIN --path model.pt [--sentences 1000000] [--plot memory.png] [--cpu]

The training set over and over, until it has so many sentences; a line for about each twentieth of them, when it is
there. Memory is what the process holds for itself, without the pages of files that it has mapped. Sentences per second
of a core do not change with what else the machine does.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from commands import command_line
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from process import anonymous_mib, cpu_seconds
from some_sentences import some_sentences

LINES = 20
EVERY = 1.0
"""Seconds between two looks at the process."""


@dataclass(frozen=True)
class Sample:
    """What `iel extract` has done and taken when it was looked at."""

    seconds: float
    cpu: float
    sentences: int
    mib: float


def repeated(data: Path, sentences: int, folder: Path) -> Path:
    """A data folder whose training set is that of *data* over and over."""
    cfg = TranslationConfig(data=str(data), train_subset="train", dataset_impl=None, required_seq_len_multiple=1)
    task = TranslationTask.setup_task(cfg)
    task.load_dataset("train")
    return some_sentences(task, "train", len(task.dataset("train")), sentences, folder)


def extract(data: Path, path: Path, cpu: bool) -> Iterator[Sample]:
    """Run `iel extract`, and look at it now and then."""
    command = command_line("iel", "extract", data, "--path", path)
    command += ["--gen-subset", "train", "--log-format", "none", *["--cpu"] * cpu]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log: list[str] = []

    def follow() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)

    reader = threading.Thread(target=follow)
    reader.start()
    started, cpu, mib = time.perf_counter(), 0.0, 0.0

    def sample() -> Sample:
        finished = re.findall(r"sentences [\d,]+ to ([\d,]+) of [\d,]+ read in", "".join(log))
        done = int(finished[-1].replace(",", "")) if finished else 0
        return Sample(time.perf_counter() - started, cpu, done, mib)

    while process.poll() is None:
        cpu, mib = cpu_seconds(process.pid) or cpu, anonymous_mib(process.pid) or mib
        yield sample()
        time.sleep(EVERY)
    reader.join()
    if process.returncode:
        raise SystemExit("".join(log[-20:]))
    yield sample()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fairseq data folder")
    parser.add_argument("--path", type=Path, required=True, help="checkpoint of the extractor")
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, help="picture to write, by its ending")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments = parser.parse_args()
    print("| sentences | seconds | sentences/s | sentences/s of a core | memory, MiB: least | most |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    samples: list[Sample] = []
    begin = 0
    with tempfile.TemporaryDirectory() as name:
        data = repeated(arguments.data, arguments.sentences, Path(name) / "data")
        for sample in extract(data, arguments.path, arguments.cpu):
            samples.append(sample)
            done = sample.sentences - samples[begin].sentences
            if done >= arguments.sentences / LINES or (done and sample.sentences == arguments.sentences):
                print(row(samples[begin:]), flush=True)
                begin = len(samples) - 1
    if arguments.plot:
        plot(samples, arguments.plot)


def row(samples: list[Sample]) -> str:
    first, last = samples[0], samples[-1]
    done, memory = last.sentences - first.sentences, [sample.mib for sample in samples]
    speeds = f"{done / (last.seconds - first.seconds):,.0f} | {done / (last.cpu - first.cpu):,.0f}"
    return f"| {last.sentences:,} | {last.seconds:,.0f} | {speeds} | {min(memory):,.0f} | {max(memory):,.0f} |"


def plot(samples: list[Sample], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, what, values in zip(
        figure.subplots(1, 2),
        ("memory, MiB", "sentences"),
        ([sample.mib for sample in samples], [sample.sentences for sample in samples]),
        strict=True,
    ):
        axes.plot([sample.seconds for sample in samples], values)
        axes.set(xlabel="seconds", ylabel=what, ylim=(0, None))
    figure.savefig(path)


if __name__ == "__main__":
    main()
