"""Raw parallel text to a fairseq data folder (paper, section 5.1), in steps that can be interrupted.

The folder that it makes::

    raw/SPLIT.LANGUAGE      the text as it came, one sentence per line: what BLEU is computed against
    tok/SPLIT.LANGUAGE      tokenised; of the training data, the pairs that are kept
    true/SPLIT.LANGUAGE     truecased
    bpe/SPLIT.LANGUAGE      in pieces of words
    data-bin/               fairseq's data folder, with what PreparedFolder remembers, and statistics.json
    journal.json            which steps are done

Pairs flow through processes in small pieces: memory grows with the vocabulary, not with the number of sentences. The
same input gives the same files, whatever the number of processes.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from tqdm import tqdm

from iel_fairseq.corpora.parallel_text import Pair, Split, aligned
from iel_fairseq.errors import IELError
from iel_fairseq.files import alone_in, file_sha256, whole_file, writing
from iel_fairseq.json_data import write_json
from iel_fairseq.preparation.bpe import apply_codes, learn_codes, write_vocabulary
from iel_fairseq.preparation.journal import Journal
from iel_fairseq.preparation.moses_text import write_truecaser
from iel_fairseq.preparation.pair_work import Options, Tokenize, Transform, Worked, truecase
from iel_fairseq.preparation.prepared_folder import FORMAT, PreparedFolder
from iel_fairseq.processes import in_order, in_pieces

logger = logging.getLogger(__name__)

PIECE = 1000
"""Pairs that a process works on at a time."""
FEW = 4 * PIECE
"""Pairs for which other processes would take longer to start than to work."""


class Preparation:
    """Prepares one set of splits in one folder; started again it goes on where it stopped."""

    def __init__(self, folder: str, splits: Sequence[Split], options: Options, workers: int):
        """
        Args:
            folder: for everything that is made
            splits: train, valid, and test sets
            options: how
            workers: number of processes; changes speed only

        Raises:
            IELError: an input cannot be read; or the folder was made by something else
        """
        self._folder, self._options, self._workers = folder, options, workers
        names = ["train", "valid", "test", *(f"test{number}" for number in range(1, len(splits)))]
        self._splits = dict(zip(names, splits, strict=False))
        """By fairseq's names for the splits."""
        sums: dict[str, str] = {}
        for path in dict.fromkeys(path for split in splits for path in split.inputs):
            try:
                sums[path] = file_sha256(path)
            except OSError as error:
                raise IELError(f"{path}: cannot be read ({error.strerror})") from error
        self._inputs = {
            f"{split.name}: {os.path.basename(path)}": sums[path] for split in splits for path in split.inputs
        }
        # A journal that was damaged may have been removed.
        ours = [self._path("journal.json"), self._path("data-bin", "preparation.json")]
        if os.path.exists(self._path("data-bin")) and not any(map(os.path.exists, ours)):
            raise IELError(f"{self._path('data-bin')}: was not made by iel prepare; name another folder")
        sets = {name: split.name for name, split in self._splits.items()}
        self._request = {**asdict(options), "sets": sets, "input": self._inputs, "format": FORMAT}

    def run(self) -> dict[str, Any]:
        """Do what is not done yet.

        Returns:
            statistics (paper, table 2), which ``data-bin/statistics.json`` holds as well: by split, ``raw`` and
            ``kept`` sentences, ``dropped`` by reason; by language, running words and vocabulary of the kept ones, as
            words and as pieces

        Raises:
            IELError: the folder was prepared from other inputs, or in another way; a file is not UTF-8, or not
                aligned, or cannot be written; nothing is left to train on
        """
        with alone_in(self._folder):
            self._journal = Journal(self._folder, "journal.json", self._request)
            with writing(self._folder):
                return self._run()

    def _run(self) -> dict[str, Any]:
        started = time.perf_counter()
        statistics = {name: self._write_raw(name) for name in self._splits}
        for name, split in self._splits.items():
            if not statistics[name]["raw"]:
                raise IELError(f"{', '.join(split.inputs)}: no sentences; {name} needs some")
        for name in self._splits:
            statistics[name] |= self._tokenize(name, statistics[name]["raw"])
        if not statistics["train"]["kept"]:
            raise IELError(
                f"{self._path('raw')}: no training pair is left; see what --max-ratio and --max-length drop, and put "
                f"spaces between the words of a language that is written without"
            )
        words = "tok"
        if self._options.truecase:
            words = "true"
            for name in self._splits:
                statistics[name] |= self._truecase(name, statistics[name]["kept"])
        kept = statistics["train"]["kept"]
        for language, (running, _) in statistics["train"]["words"].items():
            if running < 2 * kept:
                logger.warning(
                    f"{language}: {running:,} words in {kept:,} sentences: Moses' tokeniser finds what stands between "
                    f"spaces; put some between the words of a language that is written without"
                )
        self._learn_bpe(words)
        for name in self._splits:
            statistics[name] |= self._apply_bpe(name, words, statistics[name]["kept"])
        self._journal.step(
            "binarize", self._data_files, partial(self._binarize, statistics), [f"bpe {name}" for name in self._splits]
        )
        seconds = time.perf_counter() - started
        pairs = sum(split["raw"] for split in statistics.values())
        logger.info(f"{self._folder}: {pairs:,} sentence pairs prepared in {seconds:.0f} s")
        return statistics

    def _path(self, *names: str) -> str:
        return os.path.join(self._folder, *names)

    def _texts(self, stage: str, name: str) -> list[str]:
        return [os.path.join(stage, f"{name}.{language}") for language in self._options.languages]

    def _write_raw(self, name: str) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            pieces = in_pieces(self._splits[name].pairs(), PIECE)
            done = (Worked(pairs, (Counter(), Counter()), Counter()) for pairs in pieces)
            return {"raw": self._written(done, "raw", name, None)[0]}

        return self._journal.step(f"raw {name}", self._texts("raw", name), make)

    def _tokenize(self, name: str, count: int) -> dict[str, Any]:
        training = name == "train"
        files = self._texts("tok", name)
        if training:
            files += self._texts("tok", "truecaser" if self._options.truecase else "words")

        def make() -> dict[str, Any]:
            make_tokenizer = partial(Tokenize, self._options, training)
            kept, counts, dropped = self._written(
                self._worked(make_tokenizer, "raw", name, count), "tok", name, count, "tokenise"
            )
            write = write_truecaser if self._options.truecase else write_vocabulary
            for counted, file in zip(counts, files[2:], strict=False):
                write(counted, self._path(file))
            if self._options.truecase and training:  # words are counted when they have their case
                counts = (Counter(), Counter())
            return {"kept": kept, "dropped": dict(dropped), **self._counted("words", counts)}

        return self._journal.step(f"tok {name}", files, make, [f"raw {name}"])

    def _truecase(self, name: str, count: int) -> dict[str, Any]:
        files = self._texts("true", name) + (self._texts("true", "words") if name == "train" else [])

        def make() -> dict[str, Any]:
            models = map(self._path, self._texts("tok", "truecaser"))
            ways = [partial(truecase, *pair) for pair in zip(self._options.languages, models, strict=True)]
            work = self._worked(partial(Transform, *ways), "tok", name, count)
            _, counts, _ = self._written(work, "true", name, count, "truecase")
            for counted, file in zip(counts, files[2:], strict=False):
                write_vocabulary(counted, self._path(file))
            return self._counted("words", counts)

        return self._journal.step(f"true {name}", files, make, [f"tok {name}", "tok train"])

    @property
    def _codes(self) -> dict[str, str]:
        """By language, name of the file of its BPE codes."""
        return {
            language: "codes" if self._options.joint else f"codes.{language}" for language in self._options.languages
        }

    def _learn_bpe(self, words: str) -> None:
        files = sorted({os.path.join("bpe", codes) for codes in self._codes.values()})

        def make() -> dict[str, Any]:
            os.makedirs(self._path("bpe"), exist_ok=True)
            vocabularies = [self._path(file) for file in self._texts(words, "words")]
            if self._options.joint:
                learn_codes(vocabularies, self._options.merges, self._path("bpe", "codes"))
            else:
                for vocabulary, codes in zip(vocabularies, self._codes.values(), strict=True):
                    learn_codes([vocabulary], self._options.merges, self._path("bpe", codes))
            return {}

        self._journal.step("learn bpe", files, make, [f"{words} train"])

    def _apply_bpe(self, name: str, words: str, count: int) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            ways = [partial(apply_codes, self._path("bpe", codes)) for codes in self._codes.values()]
            work = self._worked(partial(Transform, *ways), words, name, count)
            return self._counted("pieces", self._written(work, "bpe", name, count, "split into pieces")[1])

        return self._journal.step(f"bpe {name}", self._texts("bpe", name), make, [f"{words} {name}", "learn bpe"])

    def _worked(
        self, make: Callable[[], Callable[[list[Pair]], Worked]], stage: str, name: str, count: int
    ) -> Iterator[Worked]:
        source, target = map(self._path, self._texts(stage, name))
        pieces = in_pieces(aligned(source, target), PIECE)
        return in_order(make, pieces, 1 if count <= FEW else self._workers)

    def _written(
        self, work: Iterable[Worked], stage: str, name: str, count: int | None, doing: str = "read"
    ) -> tuple[int, tuple[Counter[str], Counter[str]], Counter[str]]:
        """Write pairs as they come; their number, and what was counted."""
        os.makedirs(self._path(stage), exist_ok=True)
        left, right = map(self._path, self._texts(stage, name))
        written = 0
        counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        dropped: Counter[str] = Counter()
        started = time.perf_counter()
        bar = tqdm(total=count, unit=" pairs", disable=None, desc=f"{doing} {name}")
        with whole_file(left) as sources, whole_file(right) as targets, bar:
            for piece in work:
                for file, sentences in zip((sources, targets), zip(*piece.pairs, strict=True), strict=False):
                    file.writelines(f"{sentence}\n" for sentence in sentences)
                for all_counts, piece_counts in zip(counts, piece.counts, strict=True):
                    all_counts.update(piece_counts)
                written += len(piece.pairs)
                dropped.update(piece.dropped)
                bar.update(len(piece.pairs) + piece.dropped.total())
        seconds = max(time.perf_counter() - started, 1e-9)
        pairs = written + dropped.total()
        logger.info(f"{doing} {name}: {pairs:,} pairs in {seconds:.1f} s ({pairs / seconds:,.0f} pairs/s)")
        return written, counts, dropped

    def _counted(self, what: str, counts: tuple[Counter[str], Counter[str]]) -> dict[str, Any]:
        languages = self._options.languages
        return {what: {lang: [n.total(), len(n)] for lang, n in zip(languages, counts, strict=True)}}

    @property
    def _data_files(self) -> list[str]:
        source, target = self._options.languages
        names = [f"dict.{language}.txt" for language in (source, target)]
        names += [
            f"{name}.{source}-{target}.{language}.{ending}"
            for name in self._splits
            for language in (source, target)
            for ending in ("bin", "idx")
        ]
        names += [*sorted({*self._codes.values()}), *self._truecasers.values()]
        return [os.path.join("data-bin", name) for name in [*names, "preparation.json", "statistics.json"]]

    @property
    def _truecasers(self) -> dict[str, str]:
        return {lang: f"truecaser.{lang}" for lang in self._options.languages} if self._options.truecase else {}

    def _binarize(self, statistics: dict[str, Any]) -> dict[str, Any]:
        part, whole = self._path("data-bin.part"), self._path("data-bin")
        shutil.rmtree(part, ignore_errors=True)
        _fairseq_preprocess(self._options, self._path("bpe"), list(self._splits), part, self._workers)
        stages = {**dict.fromkeys(self._codes.values(), "bpe"), **dict.fromkeys(self._truecasers.values(), "tok")}
        for name, stage in stages.items():
            shutil.copyfile(self._path(stage, name), os.path.join(part, name))
        write_json(os.path.join(part, "statistics.json"), statistics)
        PreparedFolder(
            part,
            *self._options.languages,
            sets={name: split.name for name, split in self._splits.items() if name != "train"},
            truecasers=self._truecasers,
            codes=self._codes,
            options=asdict(self._options),
            inputs=self._inputs,
            versions={name: version(name) for name in ("sacremoses", "subword-nmt", "ve-fairseq")},
            sha256={name: file_sha256(os.path.join(part, name)) for name in stages},
        ).write()
        if not os.path.exists(whole):
            os.rename(part, whole)
        else:  # damaged: what others keep there stays
            for name in os.listdir(part):
                os.replace(os.path.join(part, name), os.path.join(whole, name))
            os.rmdir(part)
        return {}


def _fairseq_preprocess(options: Options, text: str, names: list[str], destination: str, workers: int) -> None:
    """fairseq-preprocess, in this process."""
    from fairseq import options as fairseq_options
    from fairseq_cli import preprocess

    tests = ",".join(os.path.join(text, name) for name in names if name.startswith("test"))
    words = ["--source-lang", options.source_lang, "--target-lang", options.target_lang]
    words += ["--trainpref", os.path.join(text, "train"), "--validpref", os.path.join(text, "valid")]
    words += ["--testpref", tests] if tests else []
    words += ["--destdir", destination, "--workers", str(workers)]
    words += ["--joined-dictionary"] if options.joint else []
    preprocess.main(fairseq_options.get_preprocessing_parser().parse_args(words))
