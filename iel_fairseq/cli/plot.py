"""Draw results.

    iel plot noise runs/ablation.multi30k/ablation.json --output noise.png
    iel plot bootstrap SAVE-DIR --output bootstrapping.png
    iel extract DATA-BIN --path model.pt --format jsonl --all-weights | iel plot attention - --output attention.html
    iel plot importance GLUE-DIR --path baseline.pt --sentences 0 7 12 --output importance.html

noise: BLEU against the share of random attention words, from what examples/ablation/run.sh writes. bootstrap: the
validation score over the rounds of a training with --bootstrap-rounds, from its save directory. attention: heat map
of source against hypothesis, attention words framed, and x' with its positions; .html, a page of all sentences.
importance: texts with the importance of their words for a classifier's prediction as colour, all explainers side by
side.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext

from iel_fairseq.bootstrapping import Record
from iel_fairseq.cli.explained_texts import add_explained_texts, explain, explained_texts
from iel_fairseq.errors import IELError
from iel_fairseq.files import whole_file
from iel_fairseq.readings import read_readings
from iel_fairseq.reports.runs import control_score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    noise = kinds.add_parser("noise", help="BLEU against randomness (paper, figure 3)")
    noise.add_argument("results", metavar="RESULTS.json", help="file of results")
    noise.set_defaults(figure=_noise)
    bootstrap = kinds.add_parser("bootstrap", help="validation score over rounds (paper, section 4.3)")
    bootstrap.add_argument("save_dir", metavar="SAVE-DIR", help="save directory of the training")
    bootstrap.add_argument("--baseline", metavar="SCORE", type=float, help="validation score of the baseline")
    bootstrap.add_argument("--control", metavar="SAVE-DIR", help="that of a control with the same validation score")
    bootstrap.set_defaults(figure=_bootstrap)
    attention = kinds.add_parser(
        "attention", help="what a model looked at, as heat map or page (paper, figures 1 and 2)"
    )
    attention.add_argument(
        "readings", metavar="READINGS.jsonl", help="what iel extract --format jsonl prints; -: standard input"
    )
    attention.add_argument(
        "--sentence", type=int, default=0, help="number of the one in a picture, from 0; default: %(default)s"
    )
    attention.add_argument("--remove-bpe", action="store_true", help="join pieces of words to words")
    attention.set_defaults(figure=_attention)
    importance = kinds.add_parser("importance", help="importance of words (paper, section 2.3)")
    add_explained_texts(importance, ["attention", "lime", "shap"])
    importance.add_argument("--sentences", type=int, nargs="+", default=[0, 1, 2], help="numbers of texts, from 0")
    importance.set_defaults(figure=_importance)
    for kind in (noise, bootstrap, attention, importance):
        kind.add_argument("--output", required=True, help="picture to write: .png, .pdf or .svg; of texts also .html")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: what is to be drawn cannot be read, or the picture cannot be written
    """
    figure = arguments.figure(arguments)
    try:
        if isinstance(figure, str):
            with whole_file(arguments.output) as file:
                file.write(figure)
        else:
            figure.savefig(arguments.output, dpi=150)
    except (OSError, ValueError) as error:
        raise IELError(f"{arguments.output}: cannot be written ({error})") from error


def _attention(arguments: argparse.Namespace):
    from iel_fairseq.attention_plots import attention_figure, attention_page

    path = arguments.readings
    try:
        with nullcontext(sys.stdin) if path == "-" else open(path, encoding="utf-8") as file:
            readings = read_readings(file, path)
    except OSError as error:
        raise IELError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise IELError(f"{path}: not UTF-8 text ({error.reason})") from error
    if arguments.remove_bpe:
        readings = [reading.joined() for reading in readings]
    if arguments.output.endswith(".html"):
        return attention_page(readings)
    if not 0 <= arguments.sentence < len(readings):
        raise IELError(f"--sentence {arguments.sentence}: {path} has the sentences 0 to {len(readings) - 1}")
    return attention_figure(readings[arguments.sentence])


def _importance(arguments: argparse.Namespace):
    from iel_fairseq.classification.plots import importance_figure, importance_html

    classifier, texts = explained_texts(arguments)
    if wrong := [number for number in arguments.sentences if not 0 <= number < len(texts)]:
        raise IELError(f"--sentences {wrong[0]}: {arguments.gen_subset} has the texts 0 to {len(texts) - 1}")
    chosen = [texts[number] for number in arguments.sentences]
    explained = {name: explain(arguments, classifier, chosen, name) for name in arguments.importance}
    first = next(iter(explained.values()))
    glue = classifier.glue
    labels = [
        f"{glue.label}: " + (glue.labels[int(found.prediction)] if glue.labels else f"{found.prediction:.2f}")
        for found in first
    ]
    draw = importance_html if arguments.output.endswith(".html") else importance_figure
    return draw(chosen, explained, labels)


def _noise(arguments: argparse.Namespace):
    from iel_fairseq.plots import noise_figure  # matplotlib is slow to import

    try:
        with open(arguments.results, encoding="utf-8") as file:
            return noise_figure(json.load(file))
    except OSError as error:
        raise IELError(f"{arguments.results}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise IELError(f"{arguments.results}: not results as examples/ablation/run.sh writes them ({error})") from error


def _bootstrap(arguments: argparse.Namespace):
    from iel_fairseq.plots import bootstrapping_figure

    record = Record.read(os.path.join(arguments.save_dir, "bootstrapping.json"))
    control = None if arguments.control is None else control_score(arguments.control, record.metric)
    return bootstrapping_figure(record, {"baseline": arguments.baseline, "control": control})
