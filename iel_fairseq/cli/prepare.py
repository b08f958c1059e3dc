"""Prepare raw parallel text for training: tokenise, truecase, filter, split into BPE pieces, binarise.

    iel prepare multi30k -s fr -t en --raw FOLDER --destdir runs/multi30k
    iel prepare -s fr -t en --trainpref corpus/train --validpref corpus/valid --testpref corpus/test --destdir runs/mine

DESTDIR/data-bin becomes fairseq's data folder, which remembers how it was made. Started again after a kill, it goes on
where it stopped. Prints the statistics of the paper's table 2, which DESTDIR/data-bin/statistics.json holds as well.
"""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

from iel_fairseq.corpora import CORPORA, corpus_splits
from iel_fairseq.corpora.parallel_text import Split
from iel_fairseq.errors import IELError
from iel_fairseq.files import alone_in
from iel_fairseq.preparation.pair_work import Options
from iel_fairseq.preparation.steps import Preparation
from iel_fairseq.processes import cores
from iel_fairseq.text_files import text_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("dataset", nargs="?", choices=list(CORPORA), metavar="DATASET", help=", ".join(CORPORA))
    read.add_argument("-s", "--source-lang", required=True, help="source language")
    read.add_argument("-t", "--target-lang", required=True, help="target language")
    read.add_argument("--raw", metavar="DIR", help="folder that holds DATASET's files; default: they are downloaded")
    read.add_argument("--trainpref", metavar="FP", help="your own data: training text, FP.LANGUAGE[.gz|.xz]")
    read.add_argument("--validpref", metavar="FP", help="likewise, for validation")
    read.add_argument("--testpref", metavar="FP", help="likewise, test sets, with commas between them")
    text = parser.add_argument_group("what is done to the text")
    text.add_argument("--merges", type=int, default=Options.merges, help="BPE merge operations")
    dictionaries = text.add_mutually_exclusive_group()
    dictionaries.add_argument(
        "--joint", action="store_true", default=True, help="merges and dictionary of both languages together: default"
    )
    dictionaries.add_argument("--separate", action="store_false", dest="joint", help="of each language for itself")
    text.add_argument("--no-truecase", action="store_false", dest="truecase", help="leave case as it is")
    text.add_argument(
        "--max-ratio",
        type=float,
        default=Options.max_ratio,
        help="drop training pairs with a higher length ratio; 0: none",
    )
    text.add_argument(
        "--max-length",
        type=int,
        default=Options.max_length,
        help="drop training pairs with more words on a side; 0: none",
    )
    written = parser.add_argument_group("output")
    written.add_argument("--destdir", required=True, metavar="DIR", help="folder for everything that is made")
    computation = parser.add_argument_group("computation")
    computation.add_argument("--workers", type=int, default=cores(), help="processes; default: cores")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: wrong options, or any problem of the data
    """
    if (arguments.dataset is None) == (arguments.trainpref is None):
        raise IELError("name a DATASET, or your own data with --trainpref and --validpref, and not both")
    for option in ("validpref", "testpref"):
        if arguments.dataset is not None and getattr(arguments, option) is not None:
            raise IELError(f"--{option} {getattr(arguments, option)}: DATASET {arguments.dataset} has sets of its own")
    if arguments.trainpref is not None and (arguments.validpref is None or arguments.raw is not None):
        raise IELError("--trainpref goes with --validpref, and without --raw")
    if arguments.source_lang == arguments.target_lang:
        raise IELError(f"--source-lang and --target-lang are both {arguments.source_lang}")
    if arguments.merges < 1:
        raise IELError(f"--merges {arguments.merges}: it is at least 1")
    if arguments.workers < 1:
        raise IELError(f"--workers {arguments.workers}: it is at least 1")
    if "," in arguments.destdir:
        raise IELError(f"--destdir {arguments.destdir}: fairseq-preprocess takes a comma for the end of a name")
    if ":" in os.path.abspath(arguments.destdir):
        raise IELError(
            f"--destdir {os.path.abspath(arguments.destdir)}: fairseq-train takes a colon for the end of a data folder"
        )
    if arguments.max_length < 0:
        raise IELError(f"--max-length {arguments.max_length}: a number of words, or 0")
    if not (arguments.max_ratio == 0 or arguments.max_ratio >= 1):
        raise IELError(f"--max-ratio {arguments.max_ratio}: it is at least 1, or 0")
    options = Options(**{each.name: getattr(arguments, each.name) for each in fields(Options)})
    print(statistics_table(Preparation(arguments.destdir, _splits(arguments), options, arguments.workers).run()))


def _splits(arguments: argparse.Namespace) -> list[Split]:
    source, target = arguments.source_lang, arguments.target_lang
    if arguments.dataset is not None:
        downloads = os.path.join(arguments.destdir, "downloads")
        with nullcontext() if arguments.raw else alone_in(downloads):
            return corpus_splits(arguments.dataset, source, target, arguments.raw, downloads)
    prefixes = {"train": arguments.trainpref, "valid": arguments.validpref}
    for prefix in (arguments.testpref or "").split(","):
        name = os.path.basename(prefix)
        if name in prefixes:
            raise IELError(f"--testpref {prefix}: two sets would be called {name}; rename the files of one")
        if prefix:
            prefixes[name] = prefix
    return [Split.of_files(name, [(_text(prefix, source), _text(prefix, target))]) for name, prefix in prefixes.items()]


def _text(prefix: str, language: str) -> str:
    path = f"{prefix}.{language}"
    found = text_file(path)
    if found is None:
        raise IELError(f"{path}[.gz|.xz]: no such file")
    return found


def statistics_table(statistics: dict[str, Any]) -> str:
    """The statistics of a preparation as a Markdown table (paper, table 2)."""
    lines = [
        "| set | language | sentences | kept | empty | overlong | ratio | words | vocabulary "
        "| BPE pieces | BPE vocabulary |",
        "|---|---|" + "---:|" * 9,
    ]
    for name, split in statistics.items():
        dropped = [split["dropped"].get(reason, 0) for reason in ("empty", "overlong", "ratio")]
        for language in split["words"]:
            numbers = [split["raw"], split["kept"], *dropped, *split["words"][language], *split["pieces"][language]]
            lines.append(f"| {name} | {language} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    return "\n".join(lines)
