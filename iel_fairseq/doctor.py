"""Whether everything is there that this package needs, and works: each check gives findings in words."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import platform
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import fairseq
import torch
from fairseq import options, utils
from fairseq.data import Dictionary, indexed_dataset
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.transformer import TransformerModel
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from iel_fairseq.errors import IELError

OK, WARNING, FAILED = "ok", "warning", "FAILED"

DISTRIBUTION = "iel-fairseq"
PACKAGE = os.path.dirname(os.path.abspath(__file__))

SCRIPTS = "中あ한अ"
"""A character each of Chinese, Japanese, Korean and Hindi, which Matplotlib's own font has not."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        status: ``ok``, ``warning`` or ``FAILED``
        subject: what was looked at
        message: what it is; where it is not as it should be, what is wrong and how to fix it
    """

    status: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.status:<7} {self.subject}: {self.message}"


def examine() -> Iterator[Finding]:
    """All checks, one after the other; one that breaks is a failed one."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("libraries", check_libraries),
        ("fairseq", check_fairseq),
        ("GPU", check_gpus),
        ("--user-dir", check_user_dir),
        ("fonts", check_fonts),
        ("temporary folder", check_temporary_folder),
        ("two passes", check_two_passes),
    ]
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:  # whatever it is, it is what the user wants to know
            reason = " ".join(str(error).split())
            if not isinstance(error, IELError):
                reason = f"{type(error).__name__}: {reason}; fix what is listed above, or else report it"
            yield Finding(FAILED, subject, reason)


def check_libraries() -> Iterator[Finding]:
    """Python and each library against the range that the installed package declares."""
    try:
        declared = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        message = f"not installed, so that the versions it needs are not known; pip install -e {Path(PACKAGE).parent}"
        yield Finding(WARNING, DISTRIBUTION, message)
        return
    python, wanted = platform.python_version(), declared["Requires-Python"]
    if SpecifierSet(wanted).contains(python):
        yield Finding(OK, "Python", python)
    else:
        yield Finding(FAILED, "Python", f"{python}, but {wanted} is needed; make a virtual environment with that")
    for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _library(requirement)


def _library(requirement: Requirement) -> Finding:
    mend = f'pip install "{requirement}"'
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(FAILED, requirement.name, f"not installed; {mend}")
    if requirement.specifier.contains(installed, prereleases=True):
        return Finding(OK, requirement.name, installed)
    return Finding(FAILED, requirement.name, f"{installed}, but {requirement.specifier} is needed; {mend}")


def check_fairseq() -> Iterator[Finding]:
    """Which distribution the module ``fairseq`` is from: two of them overwrite each other's files."""
    owners = sorted(set(metadata.packages_distributions().get("fairseq", [])))
    if owners == ["ve-fairseq"]:
        yield Finding(OK, "fairseq", f"from ve-fairseq, in {os.path.dirname(fairseq.__file__)}")
    else:
        found = " and ".join(owners) or "no distribution"
        mend = f"pip uninstall {' '.join(sorted({*owners, 've-fairseq'}))}, then pip install ve-fairseq==0.12.3"
        yield Finding(FAILED, "fairseq", f"from {found}, but ve-fairseq alone is needed; {mend}")


def check_gpus() -> Iterator[Finding]:
    """Each GPU, with a small product of matrices compared with the CPU's."""
    if not torch.cuda.is_available():
        if torch.version.cuda is not None:
            message = f"torch is built for CUDA {torch.version.cuda} but sees none, so that the CPU is used; "
            yield Finding(WARNING, "GPU", message + "if there is one, look at nvidia-smi and CUDA_VISIBLE_DEVICES")
        elif shutil.which("nvidia-smi"):
            message = "torch is a build for CPUs, though there seems to be one; install a build of torch for CUDA"
            yield Finding(WARNING, "GPU", message)
        else:
            yield Finding(OK, "GPU", "none; the CPU is used")
        return
    for index in range(torch.cuda.device_count()):
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
        name = f"{torch.cuda.get_device_name(index)}, {free:.1f} of {total:.1f} GiB free, CUDA {torch.version.cuda}"
        left, right = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(1))
        product = (left.to(f"cuda:{index}") @ right.to(f"cuda:{index}")).cpu()
        if torch.allclose(product, left @ right, atol=0.1):
            yield Finding(OK, f"GPU {index}", name)
        else:
            message = f"{name}: a product of matrices is wrong; leave it out with CUDA_VISIBLE_DEVICES"
            yield Finding(FAILED, f"GPU {index}", message)


def check_user_dir() -> Iterator[Finding]:
    """What ``--user-dir`` finds. fairseq looks in the folder in hand, and then beside its own package."""
    with _silence():
        utils.import_user_module(argparse.Namespace(user_dir=PACKAGE))
    beside = os.path.join(os.path.dirname(os.path.dirname(fairseq.__file__)), os.path.basename(PACKAGE))
    if not os.path.exists(beside):
        yield Finding(OK, "--user-dir", f"give the path {PACKAGE}")
    elif os.path.samefile(beside, PACKAGE):
        yield Finding(OK, "--user-dir", f"give {os.path.basename(PACKAGE)}, from any folder")
    else:
        mend = f"pip uninstall {DISTRIBUTION}, or leave {PACKAGE} out of PYTHONPATH"
        yield Finding(FAILED, "--user-dir", f"there are two copies, {PACKAGE} and {beside}; {mend}")


def check_fonts() -> Iterator[Finding]:
    """Fonts for heat maps, of Latin and of scripts that Matplotlib's own font has not."""
    from iel_fairseq.fonts import fonts_for  # matplotlib is slow to import

    try:
        yield Finding(OK, "fonts", ", ".join(fonts_for(SCRIPTS)))
    except IELError as error:
        yield Finding(WARNING, "fonts", f"for pictures of attention: {error}")


def check_temporary_folder() -> Iterator[Finding]:
    """Whether files can be written and locked in it."""
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"iel")
            file.flush()
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Finding(OK, "temporary folder", os.path.dirname(file.name))
    except OSError as error:
        message = f"{tempfile.gettempdir()}: cannot be written or locked ({error.strerror}); name another with TMPDIR"
        yield Finding(FAILED, "temporary folder", message)


def check_two_passes() -> Iterator[Finding]:
    """Train a tiny model, fine-tune it by one update on its attention words, and decode in two passes."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _silence():
        data, baseline, enhanced = (os.path.join(folder, name) for name in ("data", "baseline", "enhanced"))
        sentences = _write_data(data)
        _train(data, baseline, "--task", "translation", "--required-batch-size-multiple", "1")
        extractor = os.path.join(baseline, "checkpoint_last.pt")
        enhanced_task = ("--user-dir", PACKAGE, "--task", "attn_enhanced_translation", "--attn-positions")
        _train(data, enhanced, *enhanced_task, "--finetune-from-model", extractor)
        model: Any = TransformerModel.from_pretrained(
            enhanced, "checkpoint_last.pt", data_name_or_path=data, user_dir=PACKAGE
        )
        if torch.cuda.is_available():
            model.cuda()
        translations = model.translate(sentences, beam=2)
        read_first = model.task.extractor() is not None and model.task.extractor().path == extractor
    if len(translations) != len(sentences) or not read_first:
        message = f"{len(translations)} of {len(sentences)} sentences decoded, read first: {read_first}; report it"
        yield Finding(FAILED, "two passes", message)
    else:
        where = "the GPU" if torch.cuda.is_available() else "the CPU"
        seconds = time.perf_counter() - started
        message = f"a tiny model was trained, fine-tuned and decoded on {where} in {seconds:.1f} s"
        yield Finding(OK, "two passes", message)


def _write_data(folder: str) -> list[str]:
    """A data folder of some sentences and their copies; the sentences."""
    os.makedirs(folder)
    dictionary = Dictionary()
    words = [f"w{number}" for number in range(10)]
    for word in words:
        dictionary.add_symbol(word)
    rng = random.Random(1)
    sentences = [" ".join(rng.choices(words, k=rng.randint(1, 6))) for _ in range(16)]
    for language in ("src", "tgt"):
        dictionary.save(os.path.join(folder, f"dict.{language}.txt"))
        prefix = os.path.join(folder, f"train.src-tgt.{language}")
        builder = indexed_dataset.make_builder(f"{prefix}.bin", "mmap", vocab_size=len(dictionary))
        for sentence in sentences:
            builder.add_item(dictionary.encode_line(sentence, add_if_not_exist=False))
        builder.finalize(f"{prefix}.idx")
    return sentences


def _train(data: str, save_dir: str, *arguments: str) -> None:
    """One update of a tiny Transformer, in this process."""
    from fairseq_cli import train

    sizes = [("embed-dim", "16"), ("ffn-embed-dim", "32"), ("layers", "1"), ("attention-heads", "2")]
    model = [word for half in ("encoder", "decoder") for name, size in sizes for word in (f"--{half}-{name}", size)]
    asked = (
        *(data, "-s", "src", "-t", "tgt", "--save-dir", save_dir, "--arch", "transformer", *model, *arguments),
        *("--optimizer", "adam", "--lr", "1e-3", "--max-tokens", "1000", "--max-update", "1", "--disable-validation"),
        *("--no-epoch-checkpoints", "--log-format", "none", "--distributed-world-size", "1", "--num-workers", "0"),
    )
    parsed = options.parse_args_and_arch(options.get_training_parser(), input_args=list(asked))
    train.main(convert_namespace_to_omegaconf(parsed))


@contextmanager
def _silence() -> Iterator[None]:
    """Neither logs nor warnings: findings say what matters."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
