"""Seconds of LIME and SHAP over texts, against a plain loop over the packages' own calls; [CLS] attention, prediction.

    python benchmarks/explainers.py GLUE-DIR --path baseline.pt [--cpu]

The plain loop is what each package's documentation shows: `LimeTextExplainer.explain_instance` and
`shap.Explainer(...)`, a text at a time, with the pipeline of transformers as the classifier. Both ways explain the same
words with the same samples and seeds, and what they find is compared first. They then take turns. What shap compiles at
its first use does not count for either.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from iel_fairseq.classification.checkpoint import load_classifier
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.glue import read_glue
from iel_fairseq.classification.words import SEPARATOR, words_of
from iel_fairseq.device import chosen_device
from iel_fairseq.explainers import EXPLAINERS
from iel_fairseq.explainers.lime import lime_explainer
from iel_fairseq.explainers.result import seed_of
from iel_fairseq.explainers.shap import WordMasker

BATCH = 32
"""Texts that the pipeline reads at once, where it is asked for so many."""


def pipeline_scores(classifier: Classifier) -> Callable[[list[str]], np.ndarray]:
    """The classifier as transformers' pipeline has it: from texts to ``(texts, classes)``."""
    from transformers import pipeline  # after iel_fairseq, which hides a torchaudio that cannot be imported

    pipe = pipeline(
        "text-classification", model=classifier.model.hf, tokenizer=classifier.model.tokenizer, device=classifier.device
    )
    options = {"function_to_apply": "none" if classifier.glue.regression else "softmax", "top_k": None}
    number = {name: place for place, name in classifier.model.hf.config.id2label.items()}

    def scores(texts) -> np.ndarray:
        inputs = [dict(zip(("text", "text_pair"), str(text).split(SEPARATOR), strict=False)) for text in texts]
        found = pipe(inputs, batch_size=BATCH, truncation=True, max_length=classifier.model.limit, **options)
        return np.array(
            [[row["score"] for row in sorted(rows, key=lambda row: number[row["label"]])] for rows in found]
        )

    return scores


def plain_lime(classifier: Classifier, texts: list[str], samples: int) -> list[np.ndarray]:
    scores, found = pipeline_scores(classifier), []
    for text in texts:
        words = words_of(text)
        explanation = lime_explainer(text, seed=1).explain_instance(
            text, scores, top_labels=1, num_features=len(words), num_samples=samples
        )
        weights = dict(explanation.as_list(explanation.top_labels[0]))
        found.append(np.array([weights[word.text] for word in words]))
    return found


def plain_shap(classifier: Classifier, texts: list[str], samples: int) -> list[np.ndarray]:
    import shap

    scores, found = pipeline_scores(classifier), []
    masker = WordMasker(classifier.model.tokenizer.mask_token or "...")
    explainer = shap.Explainer(scores, masker, algorithm="partition")
    for text in texts:
        np.random.seed(seed_of(text, 1))
        values = explainer([text], max_evals=samples, silent=True).values[0]
        found.append(values[:, int(scores([text])[0].argmax())])
    return found


def ours(name: str, classifier: Classifier, texts: list[str], samples: int) -> list[np.ndarray]:
    found = dict(EXPLAINERS[name].explain(classifier, texts, samples, 1))
    return [found[row].scores for row in range(len(texts))]


def seconds(run: Callable) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="GLUE-DIR", help="folder that holds the tasks' folders")
    parser.add_argument("--path", required=True, help="checkpoint of a classifier")
    parser.add_argument("--gen-subset", default="valid")
    parser.add_argument("--sentences", type=int, default=20, help="texts to explain, evenly spread over the split")
    parser.add_argument("--samples", type=int, nargs=2, default=[5000, 500], help="of LIME and of SHAP")
    parser.add_argument("--predictions", type=int, default=500, help="texts to predict and to read attention from")
    parser.add_argument("--repeat", type=int, default=3, help="turns")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    arguments = parser.parse_args()
    classifier = load_classifier(arguments.path, chosen_device(arguments.cpu))
    classifier.model.to(classifier.device).eval()
    texts = [example.text for example in read_glue(arguments.data, classifier.glue, arguments.gen_subset)]
    chosen = [text for text in texts if len(words_of(text)) > 1]
    chosen = chosen[:: max(1, len(chosen) // arguments.sentences)][: arguments.sentences]
    print(f"{classifier.glue.name}, {len(chosen)} texts, {sum(len(words_of(text)) for text in chosen)} words, ", end="")
    print(f"{classifier.device.type}, {torch.get_num_threads()} threads, {platform.machine()}, torch ", end="")
    print(f"{torch.__version__}\n")
    columns = ("same scores", "same word", "ours, s", "plain loop, s", "ours is faster by", "least", "most")
    print(f"| explainer, samples | {' | '.join(columns)} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, plain, samples in zip(("lime", "shap"), (plain_lime, plain_shap), arguments.samples, strict=True):
        ours(name, classifier, chosen[:1], 10), plain(classifier, chosen[:1], 10)  # what is compiled at first use
        found, expected = ours(name, classifier, chosen, samples), plain(classifier, chosen, samples)
        close = sum(np.allclose(a, b, atol=1e-4) for a, b in zip(found, expected, strict=True))
        same = sum(int(a.argmax()) == int(b.argmax()) for a, b in zip(found, expected, strict=True))
        turns = []
        for turn in range(arguments.repeat):
            mine = seconds(lambda name=name, samples=samples: ours(name, classifier, chosen, samples))
            theirs = seconds(lambda plain=plain, samples=samples: plain(classifier, chosen, samples))
            turns.append((mine, theirs))
            print(f"{name}, turn {turn + 1} of {arguments.repeat}: {turns[-1]}", file=sys.stderr)
        ratios = [theirs / mine for mine, theirs in turns]
        medians = " | ".join(f"{statistics.median(column):.1f}" for column in zip(*turns, strict=True))
        print(
            f"| {name}, {samples} | {close} of {len(chosen)} | {same} of {len(chosen)} | {medians} "
            f"| {statistics.median(ratios):.1f} | {min(ratios):.1f} | {max(ratios):.1f} |"
        )
    several = texts[: arguments.predictions]
    classifier.scores(several)
    turns = []
    for _ in range(2 * arguments.repeat + 1):
        predicted = seconds(lambda: classifier.scores(several))
        turns.append((seconds(lambda: ours("attention", classifier, several, 0)), predicted))
    ratios = [attention / predicted for attention, predicted in turns]
    print(
        f"\n[CLS] attention of {len(several)} texts takes {statistics.median(ratios):.2f} times as long as prediction ",
        end="",
    )
    print(f"({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
