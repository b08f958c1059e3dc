"""Explain a classifier's predictions: how much each word matters, as JSON lines.

    iel explain GLUE-DIR --path baseline.pt --importance lime --output explained.jsonl
    echo "a good dog" | iel explain - --path baseline.pt

A line for each text: the explainer, what is predicted, words and their scores, and the most important word, which
training with --importance appends. What is found in a split is stored, as training stores it, and goes on after a kill.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.cli.explained_texts import add_explained_texts, explained_by, explained_texts
from iel_fairseq.cli.files import check_outputs, output_file
from iel_fairseq.cli.texts import files_of, stores_of
from iel_fairseq.explainers import Explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_explained_texts(parser, ["attention"], stored=True)
    written = parser.add_argument_group("output")
    written.add_argument("--output", help="file of JSON lines to write; default: standard output")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: any problem of the texts, the checkpoint, the store or the output
    """
    check_outputs(files_of(arguments), {"--output": arguments.output})
    classifier, texts = explained_texts(arguments)
    with output_file(arguments.output) as file:
        for name in arguments.importance:
            found = explained_by(name, arguments, classifier, texts).found(stores_of(arguments))
            for explanation in found:
                line = {"text": explanation.text, "importance": name, **_as_data(explanation, classifier)}
                print(json.dumps(line, ensure_ascii=False), file=file)


def _as_data(explanation: Explanation, classifier: Classifier) -> dict[str, Any]:
    labels, prediction = classifier.glue.labels, explanation.prediction
    return {
        "prediction": labels[int(prediction)] if labels else round(prediction, 6),
        "words": [word.text for word in explanation.words],
        "scores": [round(float(score), 6) for score in explanation.scores],
        "important_word": explanation.important_word,
    }
