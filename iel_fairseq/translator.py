"""Translate raw text in two passes from Python: raw text in, translations and their attention words out."""

from __future__ import annotations

import copy
import numbers
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from fairseq import checkpoint_utils, tasks, utils
from fairseq.data import data_utils
from fairseq.models import BaseFairseqModel
from fairseq.sequence_generator import SequenceGenerator
from omegaconf import DictConfig, open_dict
from torch import Tensor

from iel_fairseq.attention_words import MAX_LEN_A, NotFiniteError, read_attention_words
from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.data_folder import data_folder_of
from iel_fairseq.device import chosen_device, chosen_dtype
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.preparation.raw_text import RawText, TokensForText, text_of
from iel_fairseq.readings import Reading, readings_of_batch, symbols_of
from iel_fairseq.source_tokens import listed, source_tokens
from iel_fairseq.two_passes import FirstPass

MAX_TOKENS = 4000
"""Source tokens of a batch, padding included."""


@dataclass(frozen=True)
class AttnEnhancedTranslation:
    """A sentence translated in two passes.

    Attributes:
        source: raw text
        translation: raw text, what the model made of x'
        score: mean log-probability, base e, of the translation's tokens, ``</s>`` among them
        first_pass: raw text, what the extractor generated while its attention was read
        reading: the first pass token by token: x, hypothesis, positions of the attention words, and x'
    """

    source: str
    translation: str
    score: float
    first_pass: str
    reading: Reading

    @property
    def attention_words(self) -> list[str]:
        """The words that were appended to the source; pieces of words where BPE made them."""
        return [word for word, _ in self.reading.appended]

    @property
    def positions(self) -> list[int]:
        """For each of them the 1-based position in x that it was read from."""
        return [position for _, position in self.reading.appended]


class AttnEnhancedTranslator:
    """A model that was fine-tuned on attention words, with its extractor and its way from raw text to tokens.

    A sentence is tokenised, truecased and split as ``iel prepare`` did with the data. A folder that something else
    prepared does not say how: its sentences are tokens that stand between spaces, and so are the translations.

        >>> translator = AttnEnhancedTranslator.from_pretrained("checkpoints/checkpoint_best.pt")
        >>> [found] = translator.translate(["Ein Hund läuft."])
        >>> found.translation, found.attention_words, found.positions
    """

    def __init__(self, task: Any, model: BaseFairseqModel, generation: DictConfig, text: RawText | TokensForText):
        """See :meth:`from_pretrained`.

        Args:
            task: the checkpoint's, told by ``load_state_dict`` how its input is enhanced
            model: ready for inference
            generation: fairseq's options of generation
            text: to tokens and back
        """
        self._task = task
        self._model = model
        self._generation = generation
        self._text = text

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        data: str | os.PathLike[str] | None = None,
        *,
        attn_model: str | os.PathLike[str] | None = None,
        cpu: bool = False,
        fp16: bool = False,
        bf16: bool = False,
    ) -> AttnEnhancedTranslator:
        """Load a checkpoint and its extractor.

        Args:
            path: of the checkpoint
            data: folder with the dictionaries; None: the one that the model was trained on
            attn_model: the extractor; None: the one that the checkpoint remembers; ``self``: the model itself
            cpu: do not use the GPU where there is one
            fp16: half precision
            bf16: bfloat16

        Raises:
            IELError: missing, damaged or hostile file; a model without extractor; no data folder, or another one's
        """
        path, data = os.fspath(path), None if data is None else os.fspath(data)
        asked = {"attn_model": None if attn_model is None else os.fspath(attn_model), "attn_noise": None, "cpu": cpu}
        state = checkpoint_utils.load_checkpoint_to_cpu(path, asked)
        with in_one_line(path, "damaged"):
            remembered = Enhancement.of_training(state)
            if remembered.extractor is None and not remembered.reads_itself:
                raise IELError(f"{path}: not trained on attention words; translate with fairseq-interactive")
            options = state["cfg"].task
            options.data = folder = data_folder_of(data, remembered.data)
            options.source_lang, options.target_lang = remembered.source_lang, remembered.target_lang
            task = tasks.setup_task(options)  # whose --attn-model is asked for now
        with torch.random.fork_rng(devices=[]):  # who calls this draws what was to be drawn
            (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([path], task=task, state=state)
        device, dtype = chosen_device(cpu), chosen_dtype(fp16, bf16)
        model.to(device, dtype).eval()
        # Not fairseq's prepare_for_inference_, which binds a ConvS2S to one size of beam.
        model.make_generation_fast_()
        task.reader(model)  # better to fail now
        return cls(task, model, cfg.generation, text_of(folder))

    @property
    def knows_raw_text(self) -> bool:
        """Whether the data folder says how raw text becomes tokens; otherwise sentences are tokens."""
        return isinstance(self._text, RawText)

    def check(self, sentences: Iterable[str]) -> None:
        """Raise now what :meth:`translate` would raise.

        Args:
            sentences: raw text

        Raises:
            IELError: no list of texts
            TooLongError: a sentence is longer than the models can read
        """
        self._tokens(listed(sentences))

    def one_text(self) -> AbstractContextManager[None]:
        """All that is translated within it is parts of one text: attention words that are cut are counted together."""
        return self._task.cut_words.one_text()

    @torch.no_grad()
    def translate(
        self, sentences: Iterable[str], beam: int = 5, *, all_weights: bool = False
    ) -> list[AttnEnhancedTranslation]:
        """Translate in two passes. The results are in the order of *sentences*; one without words stays empty.

        Args:
            sentences: raw text
            beam: size of the beam of the second pass; the first one is greedy
            all_weights: keep the whole attention in the readings

        Raises:
            IELError: no list of texts, or no such beam
            TooLongError: a sentence is longer than the models can read
            NotFiniteError: their numbers for a sentence are not finite
        """
        sentences = listed(sentences)
        generator = self._generator(self._model, beam)
        found = [AttnEnhancedTranslation(sentence, "", 0.0, "", Reading([], [], [])) for sentence in sentences]
        with self._task.cut_words.one_text():
            for indices, sample in self._batches(sentences):
                enhanced, first = self._task.first_pass(sample, self._model)
                hypotheses = self._task.inference_step(generator, [self._model], enhanced)
                for index, best, reading in zip(
                    indices, hypotheses, self._readings(sample, first, all_weights), strict=True
                ):
                    found[index] = AttnEnhancedTranslation(
                        sentences[index],
                        self._raw(best[0]["tokens"]),
                        float(best[0]["score"]),
                        self._text.decode(" ".join(reading.hypothesis)),
                        reading,
                    )
        return found

    @torch.no_grad()
    def translate_plain(self, sentences: Iterable[str], beam: int = 5) -> list[str]:
        """Translate in one pass with the extractor: what the baseline makes of the plain sources.

        Args:
            sentences: raw text
            beam: size of the beam

        Raises:
            IELError: no list of texts; a sentence is longer than the extractor can read
        """
        sentences = listed(sentences)
        extractor = self._task.reader(self._model)
        generator = self._generator(extractor, beam)
        found = [""] * len(sentences)
        for indices, sample in self._batches(sentences):
            for index, best in zip(indices, generator.generate([extractor], sample), strict=True):
                found[index] = self._raw(best[0]["tokens"])
        return found

    def _generator(self, model: BaseFairseqModel, beam: int) -> SequenceGenerator:
        if not isinstance(beam, numbers.Integral) or beam < 1:
            raise IELError(f"beam {beam}: it is a whole number, at least 1")
        options = copy.deepcopy(self._generation)
        with open_dict(options):
            options.beam = beam
            options.max_len_a = MAX_LEN_A  # fairseq's bound, 200 tokens whatever the source, cuts what is long
        return self._task.build_generator([model], options)

    def _batches(self, sentences: Sequence[str]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Sentences that have words, of similar lengths together: their numbers, and fairseq's batch."""
        tokens = self._tokens(sentences)
        lengths = np.array([len(row) for row in tokens], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        dataset = self._task.build_dataset_for_inference(tokens, lengths)
        device = next(self._model.parameters()).device
        for batch in data_utils.batch_by_size(
            order[lengths[order] > 1],
            lambda number: lengths[number],
            max_tokens=max(MAX_TOKENS, int(lengths.max(initial=0))),
        ):
            # The data set sorts a batch again.
            sample = dataset.collater([dataset[int(number)] for number in batch])
            yield sample["id"].tolist(), utils.apply_to_sample(lambda tensor: tensor.to(device), sample)

    def _tokens(self, sentences: Sequence[str]) -> list[Tensor]:
        longest = min(self._model.max_positions()[0], self._task.reader(self._model).max_positions()[0])
        return source_tokens(sentences, self._text, self._task.source_dictionary, longest)

    def _readings(self, sample: dict[str, Any], first: FirstPass, all_weights: bool) -> list[Reading]:
        src_tokens, words = sample["net_input"]["src_tokens"], first.words
        if all_weights:
            reader = self._task.reader(self._model)
            try:
                read = read_attention_words(reader, src_tokens, words.hypotheses, **self._task.attention_choice())
            except NotFiniteError as error:
                raise self._task.not_finite(sample, error.row, self._task.reader_name) from error
            words = replace(words, attention=read.attention)
        readings = readings_of_batch(words, src_tokens, self._task.source_dictionary, self._task.target_dictionary)
        return [
            # Noise may have moved the words, and scores are not of them; those that are cut x' does not have.
            replace(reading, scores=None, positions=[*reading.positions[: len(reading.positions) - cut], *[[]] * cut])
            for reading, cut in zip(readings, first.enhanced.cut.tolist(), strict=True)
        ]

    def _raw(self, tokens: Tensor) -> str:
        return self._text.decode(" ".join(symbols_of(tokens, self._task.target_dictionary)))
