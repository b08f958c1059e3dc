"""Read what a trained translation model looks at from Python: raw text in, readings out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from fairseq import checkpoint_utils

from iel_fairseq.attention_words import NotFiniteError
from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.data_folder import data_folder_of
from iel_fairseq.device import chosen_device
from iel_fairseq.enhancement import Enhancement
from iel_fairseq.extraction import DatasetExtraction
from iel_fairseq.extractor import Extractor, load_extractor
from iel_fairseq.preparation.raw_text import RawText, TokensForText, text_of
from iel_fairseq.readings import Reading, readings_of_batch
from iel_fairseq.remembered_extractor import RememberedExtractor
from iel_fairseq.source_tokens import listed, source_tokens
from iel_fairseq.tasks.attn_enhanced_translation import AttnEnhancedTranslationTask


@dataclass(frozen=True)
class AttentionReader:
    """A model whose attention is read (paper, Algorithm 1), with its way from raw text to tokens.

        >>> reader = AttentionReader.from_pretrained("baseline/checkpoint_best.pt")
        >>> [reading] = reader.read(["Ein Hund läuft."])
        >>> reading.hypothesis, reading.attention_words, reading.attention

    Attributes:
        extractor: the model
        task: of its data folder
        text: to tokens and back, as :class:`~iel_fairseq.translator.AttnEnhancedTranslator` has it
        layer: decoder layer that is read; None: Algorithm 1's own choice
        heads: attention heads that are read; None: all
        cpu: do not use the GPU where there is one
    """

    extractor: Extractor
    task: AttnEnhancedTranslationTask
    text: RawText | TokensForText
    layer: int | None = None
    heads: Sequence[int] | None = None
    cpu: bool = False

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None, *, cpu: bool = False
    ) -> AttentionReader:
        """Load a checkpoint; or, where it was trained on attention words, the extractor that reads for it.

        Args:
            path: of the checkpoint, of any of fairseq's encoder-decoder models
            data: folder with the dictionaries; None: the one that the model was trained on
            cpu: do not use the GPU where there is one

        Raises:
            IELError: missing, damaged or hostile file; no data folder, or another one's; no readable attention
        """
        path, data = os.fspath(path), None if data is None else os.fspath(data)
        state = checkpoint_utils.load_checkpoint_to_cpu(path)
        with in_one_line(path, "no translation model, or a damaged one"):
            if "source_lang" not in state["cfg"].task:
                raise ValueError(f"the task {state['cfg'].task.get('_name')} has no languages")
            trained = Enhancement.of_training(state)
            folder = data_folder_of(data, trained.data)
        task = AttnEnhancedTranslationTask.of_data_folder(folder, trained.source_lang, trained.target_lang)
        remembered = RememberedExtractor(trained.extractor, trained.extractor_sha256, "--path")
        load = partial(load_extractor, task=task, layer=trained.attn_layer, heads=trained.attn_heads)
        itself = trained.extractor is None or trained.reads_itself
        extractor = load(path) if itself else remembered.load(str(trained.extractor), load)
        return cls(extractor, task, text_of(folder), trained.attn_layer, trained.attn_heads, cpu)

    def read(self, sentences: Iterable[str]) -> list[Reading]:
        """What the model looks at while it translates each sentence greedily, with the whole attention.

        The results are in the order of *sentences*; one without words has an empty reading.

        Args:
            sentences: raw text

        Raises:
            IELError: no list of texts; a sentence is longer than the model can read
            NotFiniteError: the model's numbers for a sentence are not finite
        """
        sentences = listed(sentences)
        dictionary = self.task.source_dictionary
        longest = self.extractor.model.encoder.max_positions()
        tokens = source_tokens(sentences, self.text, dictionary, longest)
        found = [Reading([], [], []) for _ in sentences]
        numbers = [number for number, row in enumerate(tokens) if len(row) > 1]
        if not numbers:
            return found
        tokens = [tokens[number] for number in numbers]
        extraction = DatasetExtraction(
            self.task.build_dataset_for_inference(tokens, [len(row) for row in tokens]),
            "text",
            self.extractor,
            chosen_device(self.cpu),
            layer=self.layer,
            heads=self.heads,
            all_weights=True,
        )
        try:
            for indices, words in extraction.batches(range(len(tokens))):
                rows = [tokens[index] for index in indices]
                readings = readings_of_batch(words, rows, dictionary, self.task.target_dictionary)
                for index, reading in zip(indices, readings, strict=True):
                    found[numbers[index]] = reading
        except NotFiniteError as error:
            given = [numbers[index] for index in error.batch]
            raise NotFiniteError(given, error.row, f"sentence {given[error.row] + 1:,}", error.model) from error
        return found
