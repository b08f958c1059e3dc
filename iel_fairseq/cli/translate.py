"""Translate raw text in two passes: one sentence per line in, one translation per line out.

    echo "Ein Hund läuft." | iel translate --path finetuned.pt --show-attention-words
    iel translate news.de --path finetuned.pt --output news.en
    iel translate news.de --path finetuned.pt --format jsonl --all-weights | iel plot attention - --output news.html

Text is tokenised, truecased and split as iel prepare did with the data, and put together again. Where the data folder
does not say how, sentences are tokens that stand between spaces, and so are the translations.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from tqdm import tqdm

from iel_fairseq.cli.files import check_outputs, input_lines, input_name, lines_of_text, output_file
from iel_fairseq.errors import IELError
from iel_fairseq.processes import in_pieces
from iel_fairseq.translator import AttnEnhancedTranslation, AttnEnhancedTranslator

Result = TypeVar("Result")

AT_ONCE = 1000
"""Sentences that are sorted by length together; at a keyboard each is translated when it is there."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("input", metavar="FILE", nargs="?", default="-", help="text; default: standard input")
    read.add_argument("--path", required=True, help="checkpoint that was trained on attention words")
    read.add_argument("--data", metavar="DATA-BIN", help="data folder; default: the one that it was trained on")
    read.add_argument("--attn-model", help="extractor; default: the one that the checkpoint remembers")
    written = parser.add_argument_group("output")
    written.add_argument(
        "--show-attention-words",
        action="store_true",
        help="behind each translation, after a tab, the words that were appended to the source, as word/position",
    )
    written.add_argument(
        "--format",
        choices=["text", "jsonl"],
        default="text",
        help="jsonl: text, translation, score, both passes and attention words as JSON, one sentence per line; "
        "iel plot attention reads it",
    )
    written.add_argument("--all-weights", action="store_true", help="with --format jsonl: the whole attention")
    written.add_argument("--output", help="file to write; default: standard output")
    computation = parser.add_argument_group("computation")
    computation.add_argument("--beam", type=int, default=5, help="size of the second pass's beam")
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")
    computation.add_argument("--fp16", action="store_true", help="half precision")
    computation.add_argument("--bf16", action="store_true", help="bfloat16")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: wrong options, or any problem of the text, the checkpoint, its data folder or its extractor
    """
    if arguments.format == "text" and arguments.all_weights:
        raise IELError("--all-weights: only --format jsonl has room for them")
    if arguments.format == "jsonl" and arguments.show_attention_words:
        raise IELError("--show-attention-words: --format jsonl has them anyway; leave it out")
    check_outputs([arguments.input, arguments.path, arguments.attn_model], {"--output": arguments.output})
    translator = AttnEnhancedTranslator.from_pretrained(
        arguments.path,
        arguments.data,
        attn_model=arguments.attn_model,
        cpu=arguments.cpu,
        fp16=arguments.fp16,
        bf16=arguments.bf16,
    )
    if not translator.knows_raw_text:
        logger.warning(
            "the data folder does not say how it was prepared, as iel prepare's do: sentences are tokens between "
            "spaces, in pieces where the data are, and so are the translations"
        )
    line_of = _json if arguments.format == "jsonl" else partial(_text, words=arguments.show_attention_words)
    name = input_name(arguments.input)
    if os.path.isfile(arguments.input):  # which can be read twice: better to fail now
        for _ in _in_turn(translator.check, input_lines(arguments.input), AT_ONCE, name):
            pass
    lines = tqdm(input_lines(arguments.input), unit=" sentences", disable=None)
    at_once = 1 if arguments.input == "-" and sys.stdin.isatty() else AT_ONCE
    translate = partial(translator.translate, beam=arguments.beam, all_weights=arguments.all_weights)
    with output_file(arguments.output) as output, translator.one_text():
        for translations in _in_turn(translate, lines, at_once, name):
            for translation in translations:
                print(line_of(translation), file=output)
            output.flush()


def _in_turn(do: Callable[[list[str]], Result], lines: Iterable[str], at_once: int, name: str) -> Iterator[Result]:
    """What *do* gives for lines of the text *name*, some at a time."""
    before = 0
    for sentences in in_pieces(lines, at_once):
        with lines_of_text(name, before):
            found = do(sentences)
        yield found
        before += len(sentences)


def _text(found: AttnEnhancedTranslation, words: bool) -> str:
    """The translation, and behind it, with *words*, the attention words."""
    if not words:
        return found.translation
    return f"{found.translation}\t{' '.join(f'{word}/{position}' for word, position in found.reading.appended)}"


def _json(found: AttnEnhancedTranslation) -> str:
    values = {
        "text": found.source,
        "translation": found.translation,
        "score": round(found.score, 6),
        "first_pass": found.first_pass,
        **found.reading.values,
    }
    return json.dumps(values, ensure_ascii=False)
