"""Draw results: the ablation, rounds of bootstrapping, attention, or the importance of words.

    iel plot noise runs/ablation.multi30k/ablation.json --output noise.png
    iel plot attention --help

Each kind has a help of its own.
"""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Callable
from typing import Any

from iel_fairseq.attention_reader import AttentionReader
from iel_fairseq.bootstrapping_record import Record
from iel_fairseq.cli.explained_texts import add_explained_texts, explained_by, explained_texts
from iel_fairseq.cli.files import input_lines, input_name, lines_of_text, output_file
from iel_fairseq.cli.help import HelpFormatter
from iel_fairseq.cli.texts import texts_name
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import read_json
from iel_fairseq.readings import Reading, joined_readings, readings_of
from iel_fairseq.reports.runs import control_score

PICTURES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(required=True, title="kinds", metavar="KIND")
    noise, bootstrap, attention, importance = (
        _add_kind(kinds, figure) for figure in (_noise, _bootstrap, _attention, _importance)
    )
    read = noise.add_argument_group("input")
    read.add_argument("results", metavar="RESULTS.json", help="what examples/ablation/run.sh writes")
    read = bootstrap.add_argument_group("input")
    read.add_argument("save_dir", metavar="SAVE-DIR", help="save directory of the training")
    read.add_argument("--baseline", metavar="SCORE", type=float, help="validation score of the baseline")
    read.add_argument("--control", metavar="SAVE-DIR", help="that of a control with the same validation score")
    read = attention.add_argument_group("input")
    read.add_argument(
        "input",
        metavar="FILE",
        nargs="?",
        default="-",
        help="what iel extract or iel translate --format jsonl prints, or with --path text, one sentence per line; "
        "default: standard input",
    )
    read.add_argument(
        "--path", help="checkpoint that reads the text; its extractor does, where it was trained with one"
    )
    read.add_argument("--data", metavar="DATA-BIN", help="data folder; default: the one that it was trained on")
    read.add_argument("--cpu", action="store_true", help="do not use the GPU")
    read.add_argument("--sentence", type=int, default=0, help="number of the one in a picture, from 0")
    read.add_argument("--remove-bpe", action="store_true", help="join pieces of words to words")
    read = add_explained_texts(importance, ["attention", "lime", "shap"], stored=False)
    read.add_argument("--sentences", type=int, nargs="+", help="numbers of texts, from 0; default: the first three")
    for kind, page in ((noise, ""), (bootstrap, ""), (attention, "; .html: a page"), (importance, "; .html: a page")):
        written = kind.add_argument_group("output")
        written.add_argument("--output", required=True, help=f"picture to write: .png, .pdf or .svg{page}")


def _add_kind(kinds: Any, figure: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
    """The parser of the kind that *figure* draws, whose docstring is the help."""
    text = inspect.getdoc(figure) or ""
    parser = kinds.add_parser(
        figure.__name__.removeprefix("_"),
        help=text.splitlines()[0],
        description=text,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(figure=figure)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: what is to be drawn cannot be read, or the picture cannot be written
    """
    ending = os.path.splitext(arguments.output)[1]
    if ending not in (endings := PICTURES if arguments.figure in (_noise, _bootstrap) else (*PICTURES, ".html")):
        raise IELError(f"--output {arguments.output}: its name ends in one of {', '.join(endings)}")
    figure = arguments.figure(arguments)
    try:
        with output_file(arguments.output, "w" if isinstance(figure, str) else "wb") as file:
            if isinstance(figure, str):
                file.write(figure)
            else:
                figure.savefig(file, dpi=150, format=ending.removeprefix("."))
    except ValueError as error:
        raise IELError(f"{arguments.output}: cannot be written ({error})") from error


def _attention(arguments: argparse.Namespace):
    """Draw what a model looked at, as heat map or page (paper, figures 1 and 2).

        echo "Ein Hund läuft." | iel plot attention --path baseline.pt --output attention.png
        iel plot attention news.de --path baseline.pt --remove-bpe --output attention.html
        iel extract DATA-BIN --path baseline.pt --format jsonl --all-weights --output read.jsonl
        iel plot attention read.jsonl --sentence 3 --output attention.png

    A heat map is of one sentence: source against hypothesis, attention words framed, and x' with its positions under
    it. A page is of all sentences.
    """
    from iel_fairseq.attention_plots import attention_figure, attention_page

    readings = _readings(arguments)
    if arguments.remove_bpe:
        readings = joined_readings(readings)
    if arguments.output.endswith(".html"):
        return attention_page(readings)
    if not 0 <= arguments.sentence < len(readings):
        raise IELError(
            f"--sentence {arguments.sentence}: {input_name(arguments.input)} has the sentences 0 to {len(readings) - 1}"
        )
    return attention_figure(readings[arguments.sentence])


def _readings(arguments: argparse.Namespace) -> list[Reading]:
    lines = input_lines(arguments.input)
    if arguments.path is None:
        if arguments.data is not None:
            raise IELError("--data: only text needs it; give the checkpoint that reads the text with --path")
        try:
            return readings_of(lines, input_name(arguments.input))
        except IELError as error:
            raise IELError(f"{error}; for text, give the checkpoint that reads it with --path") from error
    reader = AttentionReader.from_pretrained(arguments.path, arguments.data, cpu=arguments.cpu)
    with lines_of_text(input_name(arguments.input)):
        readings = reader.read(list(lines))
    if not readings:
        raise IELError(f"{input_name(arguments.input)}: holds no sentences")
    return readings


def _importance(arguments: argparse.Namespace):
    """Draw texts with the importance of their words for a classifier's prediction (paper, section 2.3).

        iel plot importance GLUE-DIR --path baseline.pt --sentences 0 7 12 --output importance.html

    Importance is colour; all explainers are side by side.
    """
    from iel_fairseq.classification.plots import importance_figure, importance_html

    classifier, texts = explained_texts(arguments)
    numbers = list(range(min(3, len(texts)))) if arguments.sentences is None else arguments.sentences
    if wrong := [number for number in numbers if not 0 <= number < len(texts)]:
        name = texts_name(arguments)
        raise IELError(f"--sentences {wrong[0]}: {name}: has the texts 0 to {len(texts) - 1}")
    chosen = [texts[number] for number in numbers]
    explained = {
        name: explained_by(name, arguments, classifier, chosen).explanations() for name in arguments.importance
    }
    first = next(iter(explained.values()))
    glue = classifier.glue
    labels = [
        f"{glue.label}: " + (glue.labels[int(found.prediction)] if glue.labels else f"{found.prediction:.2f}")
        for found in first
    ]
    draw = importance_html if arguments.output.endswith(".html") else importance_figure
    return draw(explained, labels)


def _noise(arguments: argparse.Namespace):
    """Draw BLEU against the share of random attention words (paper, figure 3).

        iel plot noise runs/ablation.multi30k/ablation.json --output noise.png

    Baseline and control are lines; seeds are dots around their mean.
    """
    from iel_fairseq.reports.plots import NoiseRecord, noise_figure  # matplotlib is slow to import

    try:
        return noise_figure(read_json(arguments.results, list[NoiseRecord], unknown="ignore"))
    except OSError as error:
        raise IELError(f"{arguments.results}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise IELError(f"{arguments.results}: not results as examples/ablation/run.sh writes them ({error})") from error


def _bootstrap(arguments: argparse.Namespace):
    """Draw the validation score over the rounds of a training with --bootstrap-rounds (paper, section 4.3).

        iel plot bootstrap SAVE-DIR --baseline 41.3 --output bootstrapping.png

    The score is the one that chooses the best checkpoint.
    """
    from iel_fairseq.reports.plots import bootstrapping_figure

    record = Record.read(os.path.join(arguments.save_dir, "bootstrapping.json"))
    control = None if arguments.control is None else control_score(arguments.control, record.metric)
    return bootstrapping_figure(record, {"baseline": arguments.baseline, "control": control})
