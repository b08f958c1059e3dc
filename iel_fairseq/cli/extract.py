"""Extract a data set's attention words: fill the store that training uses, or print them.

    iel extract DATA-BIN --path baseline.pt --gen-subset train
    iel extract DATA-BIN --path baseline.pt --gen-subset test --format pharaoh > alignment.txt

Without --format the store in the data folder is filled. Started again after a kill, or on several machines that share
the folder, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator

from fairseq import utils

from iel_fairseq.cli.files import check_outputs, output_file
from iel_fairseq.device import chosen_device, chosen_dtype
from iel_fairseq.errors import IELError
from iel_fairseq.extraction import DatasetExtraction
from iel_fairseq.extractor import Extractor, load_extractor
from iel_fairseq.readings import Reading, is_marked, mark_of, readings_of_batch, symbols_of
from iel_fairseq.store import shards_of
from iel_fairseq.tasks.attn_enhanced_translation import AttnEnhancedTranslationTask

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("data", metavar="DATA-BIN", help="fairseq data folder")
    read.add_argument("--path", required=True, help="checkpoint of the extractor")
    read.add_argument("--gen-subset", default="test", help="split to read")
    read.add_argument("-s", "--source-lang", help="source language; default: as the data folder has it")
    read.add_argument("-t", "--target-lang", help="target language; default: likewise")
    attention = parser.add_argument_group("attention that is read")
    attention.add_argument(
        "--attn-layer",
        type=int,
        help="decoder layer to read; default: the last (Transformer), the average of those that attend (ConvS2S)",
    )
    attention.add_argument("--attn-heads", type=_heads, help="attention heads to read, e.g. 0,3; default: all")
    attention.add_argument(
        "--beam", type=int, default=1, help="with --format: read the best hypothesis of a beam of this size, not greedy"
    )
    attention.add_argument(
        "--force-target",
        action="store_true",
        help="with --format: read the reference (forced decoding), not what is generated",
    )
    store = parser.add_argument_group("store")
    store.add_argument("--attn-store", help="folder in which attention positions are kept; default: DATA-BIN")
    store.add_argument("--num-shards", type=int, default=1, help="number of machines that share the work")
    store.add_argument("--shard-id", type=int, default=0, help="which of them this one is, from 0")
    written = parser.add_argument_group("output")
    written.add_argument(
        "--format",
        choices=["pharaoh", "jsonl", "text"],
        help="print one line a sentence: pharaoh, pairs i-j of source and generated token, from 0; jsonl, source, "
        "hypothesis, attention words, positions, scores; text, the enhanced source; default: nothing",
    )
    written.add_argument(
        "--remove-bpe", action="store_true", help="with --format pharaoh: number whole words, not pieces of words"
    )
    written.add_argument(
        "--all-weights", action="store_true", help="with --format jsonl: the whole attention, to be plotted"
    )
    written.add_argument("--output", help="file to print to; default: standard output")
    computation = parser.add_argument_group("computation")
    computation.add_argument(
        "--attn-max-tokens", type=int, help="source tokens read at once; default: 16,000, on a GPU 64,000"
    )
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")
    computation.add_argument("--fp16", action="store_true", help="half precision, as training with --fp16 has it")
    computation.add_argument("--bf16", action="store_true", help="bfloat16, likewise")
    computation.add_argument(
        "--log-format",
        choices=["json", "none", "simple", "tqdm"],
        help="of the progress bar; default: fairseq's",
    )
    computation.add_argument("--log-interval", type=int, default=100, help="batches between two lines of the log")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: wrong options, or any problem of the data, the extractor or the store
    """
    if arguments.num_shards < 1:
        raise IELError(f"--num-shards {arguments.num_shards}: it is at least 1")
    if not 0 <= arguments.shard_id < arguments.num_shards:
        raise IELError(
            f"--shard-id {arguments.shard_id}: with --num-shards {arguments.num_shards} "
            f"it is 0 to {arguments.num_shards - 1}"
        )
    if arguments.num_shards > 1 and arguments.format:
        raise IELError("--format prints the whole data set: leave --num-shards out, and run it when all have finished")
    if arguments.output and not arguments.format:
        raise IELError("--output: nothing is printed without --format")
    if arguments.all_weights and arguments.format != "jsonl":
        raise IELError("--all-weights: only --format jsonl has room for them")
    if arguments.remove_bpe and arguments.format != "pharaoh":
        raise IELError("--remove-bpe: only with --format pharaoh; iel plot attention joins words by itself")
    if (arguments.beam > 1 or arguments.force_target) and not arguments.format:
        raise IELError("--beam and --force-target are for analysis, and not stored: print the result with --format")
    if arguments.beam < 1 or (arguments.beam > 1 and arguments.force_target):
        raise IELError(f"--beam {arguments.beam}: it is at least 1, and 1 with --force-target")
    check_outputs([arguments.path], {"--output": arguments.output})
    # Training data may be in several folders, and all else is in the first.
    folders = utils.split_paths(arguments.data)[: None if arguments.gen_subset == "train" else 1]
    if len(folders) > 1 and arguments.format:
        raise IELError("--format prints one data folder at a time: name one of them")
    task = AttnEnhancedTranslationTask.of_data_folder(arguments.data, arguments.source_lang, arguments.target_lang)
    extractor = load_extractor(arguments.path, task, arguments.attn_layer, arguments.attn_heads)
    for epoch, folder in enumerate(folders, start=1):
        whole = arguments.gen_subset == "train"  # as training reads it, with train1, train2 and so on
        task.load_dataset(arguments.gen_subset, epoch=epoch, combine=whole, task_cfg=task.cfg)  # plain
        extraction = _extraction(arguments, task, extractor)
        stores = arguments.attn_store or folder
        if arguments.format:
            _print(extraction, arguments, stores)
        elif arguments.num_shards > 1:
            extraction.store(stores).fill_share(extraction.positions, arguments.num_shards, arguments.shard_id)
        else:
            extraction.store(stores).fill(extraction.positions)


def _extraction(
    arguments: argparse.Namespace, task: AttnEnhancedTranslationTask, extractor: Extractor
) -> DatasetExtraction:
    return DatasetExtraction(
        task.dataset(arguments.gen_subset),
        arguments.gen_subset,
        extractor,
        chosen_device(arguments.cpu),
        chosen_dtype(arguments.fp16, arguments.bf16),
        max_tokens=arguments.attn_max_tokens,
        layer=arguments.attn_layer,
        heads=arguments.attn_heads,
        log_format=arguments.log_format,
        log_interval=arguments.log_interval,
        beam=arguments.beam,
        force_target=arguments.force_target,
        all_weights=arguments.all_weights,
    )


def _print(extraction: DatasetExtraction, arguments: argparse.Namespace, stores: str) -> None:
    if arguments.force_target and extraction.dataset.tgt is None:
        raise IELError(f"--force-target: {arguments.gen_subset} has no target side")
    with output_file(arguments.output) as output:
        for line in _lines(extraction, arguments.format, stores, arguments.remove_bpe):
            print(line, file=output)


def _lines(extraction: DatasetExtraction, kind: str, stores: str, remove_bpe: bool) -> Iterator[str]:
    """What ``--format`` prints, in the order of the data set."""
    dataset = extraction.dataset
    hypotheses_matter = kind == "jsonl" or remove_bpe or extraction.beam > 1 or extraction.force_target
    if not hypotheses_matter:  # all that is needed is stored
        for index, positions in enumerate(extraction.store(stores).fill(extraction.positions)):
            source = symbols_of(dataset.src[index], dataset.src_dict)
            reading = Reading(source, (), [[position] for position in positions.tolist()])
            yield _line(kind, index, reading)
        return
    unknown = {dataset.src_dict.unk_word, dataset.tgt_dict.unk_word}
    marks = mark_of(dataset.src_dict.symbols), mark_of(dataset.tgt_dict.symbols)
    in_pieces = any(map(is_marked, [*dataset.src_dict.symbols, *dataset.tgt_dict.symbols]))
    uncertain = 0
    for sentences in shards_of(len(dataset)):
        lines = [""] * len(sentences)
        for indices, words in extraction.batches(sentences):
            rows = [dataset.src[index] for index in indices]
            readings = readings_of_batch(words, rows, dataset.src_dict, dataset.tgt_dict)
            for index, reading in zip(indices, readings, strict=True):
                if remove_bpe:
                    uncertain += in_pieces and not unknown.isdisjoint([*reading.source, *reading.hypothesis])
                    reading = reading.joined(*marks)
                lines[index - sentences.start] = _line(kind, index, reading)
        yield from lines
    if uncertain:
        logger.warning(
            f"{uncertain:,} sentences have unknown pieces, which do not say where a word ends: the numbers of the "
            f"words behind them may be too high or too low"
        )


def _line(kind: str, index: int, reading: Reading) -> str:
    if kind == "pharaoh":
        return reading.pharaoh
    if kind == "text":
        return " ".join(word for word, _, _ in reading.marked)
    return json.dumps({"id": index, **reading.values}, ensure_ascii=False)


def _heads(text: str) -> list[int]:
    try:
        return [int(head) for head in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers, with commas between them") from error
