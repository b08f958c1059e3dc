"""How long a store of attention positions takes to be joined from its shards, to be checked and opened, and what a
training set over it takes of the memory, batch after batch.

    python benchmarks/store.py [--sentences 5000000] [--batches 5000]

Sentences are random, 10 to 44 tokens, and so are their attention positions: no model is read. Memory is what the
process holds for itself, without the pages of the files that it has mapped.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fairseq.data import Dictionary, LanguagePairDataset
from fairseq.data.indexed_dataset import MMapIndexedDataset
from process import anonymous_mib

from iel_fairseq.attention_store import AttentionPositions, AttentionStore, store_request
from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.dataset import AttnEnhancedDataset
from iel_fairseq.noise import Noise


@contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"| {what} | {time.perf_counter() - started:.2f} |")


def write_source(path: Path, sizes: np.ndarray, random: np.random.Generator) -> None:
    with open(f"{path}.bin", "wb") as file:
        for part in np.array_split(sizes, 1 + len(sizes) // 100_000):
            file.write(random.integers(4, 16_000, part.sum()).astype(np.uint16).tobytes())
    with MMapIndexedDataset.Index.writer(f"{path}.idx", np.uint16) as index:
        index.write(sizes.tolist())


def train_on(dataset: LanguagePairDataset, positions: AttentionPositions, count: int) -> None:
    """Make *count* batches of 4,000 tokens from all over the enhanced data set, as an epoch does."""
    print("\n| batches | seconds | memory, MiB |\n|---:|---:|---:|")
    started, before = time.perf_counter(), anonymous_mib()
    enhanced = AttnEnhancedDataset(
        dataset, positions, attn_positions=True, limit=1024, noise=Noise(), dropout=AttnDropout()
    )
    batches = enhanced.batch_by_size(enhanced.ordered_indices(), max_tokens=4000, required_batch_size_multiple=8)
    chosen = np.random.default_rng(1).permutation(len(batches))[:count]
    for number, batch in enumerate(chosen):
        if number % max(1, len(chosen) // 10) == 0:
            print(f"| {number:,} | {time.perf_counter() - started:.1f} | {anonymous_mib() - before:+,.0f} |")
        enhanced.collater([enhanced[index] for index in batches[batch]])
    print(f"| {len(chosen):,} | {time.perf_counter() - started:.1f} | {anonymous_mib() - before:+,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=5_000_000)
    parser.add_argument("--batches", type=int, default=5_000)
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    sizes = random.integers(10, 45, arguments.sentences)
    with tempfile.TemporaryDirectory() as folder:
        write_source(Path(folder) / "source", sizes, random)
        print("| step | seconds |\n|---|---:|")
        with timed("open the source"):
            source = MMapIndexedDataset(str(Path(folder) / "source"))
            dataset = LanguagePairDataset(source, source.sizes, Dictionary())
        with timed("fingerprint of the source"):
            request = store_request(dataset, "0" * 64, None, None)
        with timed("fill the store, without extraction"):
            AttentionStore(folder, "train", request).fill(
                lambda sentences: [np.arange(1, size) for size in sizes[sentences.start : sentences.stop]]
            )
        with timed("check its checksums and open it"):
            positions = AttentionStore(folder, "train", request).fill(lambda sentences: [])
        train_on(dataset, positions, arguments.batches)


if __name__ == "__main__":
    main()
