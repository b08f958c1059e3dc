"""Predict with a fine-tuned classifier, in two passes where it was trained so, and write GLUE's submission file.

    iel predict GLUE-DIR --path finetuned.pt --gen-subset test --output RTE.tsv --scores scores.jsonl
    echo "a good dog" | iel predict - --path finetuned.pt

The first pass finds the important word of each text with the extractor that the checkpoint remembers, the second one
predicts from the text with that word at its end. Where the split has labels, GLUE's metrics are logged.
"""

from __future__ import annotations

import argparse
import json
import logging
from contextlib import ExitStack

import numpy as np
from fairseq import checkpoint_utils

from iel_fairseq.classification.checkpoint import WordEnhancement
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.encoding import without_special_tokens
from iel_fairseq.classification.glue import submission_value
from iel_fairseq.classification.metrics import METRICS
from iel_fairseq.cli.files import check_outputs, output_file
from iel_fairseq.cli.texts import add_store, add_texts, files_of, read_texts, split_of, stores_of
from iel_fairseq.device import chosen_device

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = add_texts(parser, "test")
    read.add_argument("--importance-model", help="extractor; default: the one that the checkpoint remembers")
    add_store(parser)
    written = parser.add_argument_group("output")
    written.add_argument("--output", help="submission file to write; default: standard output")
    written.add_argument("--scores", help="file of JSON lines to write: text, important word, scores, prediction")
    computation = parser.add_argument_group("computation")
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand.

    Raises:
        IELError: any problem of the data, the checkpoint, the extractor or the files to write
    """
    outputs = {"--output": arguments.output, "--scores": arguments.scores}
    check_outputs([*files_of(arguments), arguments.importance_model], outputs)
    overrides = {"data": arguments.data, "cpu": arguments.cpu, "importance_model": arguments.importance_model}
    state = checkpoint_utils.load_checkpoint_to_cpu(arguments.path, overrides)
    WordEnhancement.from_task_state(arguments.path, state["task_state"])  # it is one of this task
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([arguments.path], state=state)
    examples = read_texts(arguments, task.glue)
    written = [example.text for example in examples]
    texts = without_special_tokens(model.tokenizer, written)
    with ExitStack() as stack:  # better to fail now than when hours of explaining are over
        submission = stack.enter_context(output_file(arguments.output))
        details = None if arguments.scores is None else stack.enter_context(output_file(arguments.scores))
        words = task.important_words(written, split_of(arguments), stores_of(arguments, task.enhancement.store))
        classifier = Classifier(model, task.glue, chosen_device(arguments.cpu), path=arguments.path)
        scores = classifier.scores(texts, words)
        predictions = classifier.predictions(scores)
        print("index\tprediction", file=submission)
        for number, prediction in enumerate(predictions):
            print(f"{number}\t{submission_value(task.glue, float(prediction))}", file=submission)
        if details is not None:
            for number, text in enumerate(texts):
                line = {"text": text, "important_word": words and words[number]}
                line["scores"] = [round(float(score), 6) for score in scores[number]]
                line["prediction"] = float(predictions[number])
                print(json.dumps(line, ensure_ascii=False), file=details)
    labels = [example.label for example in examples]
    if None not in labels:
        right = np.array(labels)
        found = ", ".join(f"{name} {METRICS[name](predictions, right):.2f}" for name in task.glue.metrics)
        logger.info(f"{task.glue.name}, {arguments.gen_subset}, {len(texts):,} texts: {found}")
