"""Tiny trained models, shared by every test that wants a real one. Each is trained once a session."""

from __future__ import annotations

from pathlib import Path

import pretended_gpu
import pytest
import torch
from commands import IEL, MODELS, PLAIN, load, preprocess, train
from filelock import FileLock
from hypothesis import settings
from synthetic import make_pairs, write_pairs

from iel_fairseq.attention_words import extract_attention_words

# The models are tiny and the system tests start processes of their own: threads would only wait for each other.
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")
    parser.addoption("--pretended-gpu", action="store_true", help="pretend that there is a GPU")


def pytest_configure(config):
    """Properties are tried on the same examples each time; on many in a slow run."""
    settings.register_profile("default", max_examples=20, derandomize=True, deadline=None, database=None)
    settings.register_profile("slow", settings.get_profile("default"), max_examples=500)
    settings.load_profile("slow" if config.getoption("--slow") else "default")
    if config.getoption("--pretended-gpu"):
        pretended_gpu.start()


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


def pytest_terminal_summary(terminalreporter):
    """Say how many damaged or generated inputs were tried, where tests have recorded it."""
    passed = terminalreporter.getreports("passed")
    tried = {each.nodeid: count for each in passed for name, count in each.user_properties if name == "inputs"}
    if tried:
        terminalreporter.write_sep("-", f"{sum(tried.values()):,} inputs tried")
        for test, count in sorted(tried.items()):
            terminalreporter.write_line(f"{count:7,} {test}")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Text of the synthetic language pair: train, valid, test (100 sentences, as in known_pairs)."""
    folder = tmp_path_factory.mktemp("corpus")
    write_pairs(folder / "train", make_pairs(seed=1, count=4000))
    write_pairs(folder / "valid", make_pairs(seed=2, count=100))
    write_pairs(folder / "test", known_pairs())
    return folder


def known_pairs():
    return make_pairs(seed=3, count=100)


@pytest.fixture(scope="session")
def data(corpus, tmp_path_factory) -> Path:
    """The corpus as a fairseq data folder; words seen once are unknown."""
    destination = tmp_path_factory.mktemp("data") / "bin"
    return preprocess(corpus, destination, "--thresholdsrc", 2, "--thresholdtgt", 2, splits=("train", "valid", "test"))


@pytest.fixture(scope="session", params=list(MODELS))
def arch(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory, worker_id):
    """trained(arch, "baseline" | "words" | "positions"): the checkpoint, and the log of its training.

    All processes that run tests share the models: the first one that wants one trains it.
    """
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent

    def get(arch: str, kind: str) -> tuple[Path, str]:
        baseline = None if kind == "baseline" else get(arch, "baseline")[0]
        folder = shared / f"{arch}-{kind}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "finished.log").exists():
                if kind == "baseline":
                    log = train(data, folder, *PLAIN[2:], *MODELS[arch], "--max-epoch", 12, forked=False)
                else:
                    extra = ["--attn-positions"] if kind == "positions" else []
                    options = ["--finetune-from-model", baseline, "--max-epoch", 3, *extra]
                    log = train(data, folder, *IEL, *MODELS[arch], *options, forked=False)
                (folder / "finished.log").write_text(log)
        return folder / "checkpoint_best.pt", (folder / "finished.log").read_text()

    return get


@pytest.fixture(scope="session")
def baseline(trained, arch) -> Path:
    """A plain fairseq model that knows the language pair."""
    return trained(arch, "baseline")[0]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, worker_id) -> Path:
    """Two folders, ``translation`` and ``classification``, in which what the documents name is there, and small."""
    from documented_commands import make_workspace

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "workspace"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            make_workspace(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def extracted(baseline, data):
    """The first step by hand: for each test sentence, alone, the hypothesis and the attention positions."""
    model, task = load(baseline, data)
    found = []
    for pair in known_pairs():
        tokens = task.source_dictionary.encode_line(" ".join(pair.source), add_if_not_exist=False).long()
        words = extract_attention_words(model, tokens.unsqueeze(0))
        hypothesis = task.target_dictionary.string(words.hypotheses).split()
        found.append((hypothesis, words.positions[0].tolist()))
    return found


@pytest.fixture(scope="session")
def by_hand(extracted, data, tmp_path_factory) -> Path:
    """x' of the test set as text, test.src beside the folder, binarised with the data's dictionaries."""
    folder = tmp_path_factory.mktemp("by-hand")
    with open(folder / "test.src", "w") as source, open(folder / "test.tgt", "w") as target:
        for pair, (_, positions) in zip(known_pairs(), extracted, strict=True):
            x = pair.source
            source.write(" ".join(x + [x[position - 1] for position in positions]) + "\n")
            target.write(" ".join(pair.target) + "\n")
    dictionaries = ("--srcdict", data / "dict.src.txt", "--tgtdict", data / "dict.tgt.txt")
    return preprocess(folder, folder / "bin", *dictionaries, splits=("test",))
