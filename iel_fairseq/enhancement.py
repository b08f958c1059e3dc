"""What a checkpoint remembers of the way its input was enhanced."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig

from iel_fairseq.checkpoint_safety import in_one_line, task_state_of
from iel_fairseq.config import AttnEnhancedTranslationConfig
from iel_fairseq.data_folder import first_folder
from iel_fairseq.dictionaries import dictionary_fingerprint
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import checked
from iel_fairseq.noise import Noise

KEY = "iel_fairseq"
"""Where in fairseq's task state the memory lies."""

SELF = "self"
"""What ``--attn-model`` says when one model serves both passes."""


@dataclass(frozen=True)
class Enhancement:
    """How the input of a model was enhanced. Plain data, so that torch's safe loader reads it.

    Attributes:
        extractor: absolute path of the extractor's checkpoint; None: the model reads the plain source
        extractor_sha256: SHA-256 of that file
        attn_model: what ``--attn-model`` said in training, for the record: of round 1 of bootstrapping
        reads_itself: the model itself is the extractor in decoding; *extractor* made the words it was trained on
        attn_positions: whether attention words had the positions they were read from
        attn_layer: the decoder layer that was read; None: Algorithm 1's own choice
        attn_heads: the heads that were read; None: all
        attn_noise: share of the attention words that were replaced by random ones
        attn_noise_seed: of those
        attn_dropout: share of the training sentences that had none, others in each epoch; None when not known
        round: bootstrapping round; 0 for a model that reads the plain source
        data: absolute path of the data folder, the first one; None when not known
        source_lang: source language of the data; None when not known
        target_lang: target language, likewise
        source_dictionary: fingerprint of the source dictionary; None when not known
        target_dictionary: fingerprint of the target dictionary; None when not known
    """

    extractor: str | None = None
    extractor_sha256: str | None = None
    attn_model: str | None = None
    reads_itself: bool = False
    attn_positions: bool = False
    attn_layer: int | None = None
    attn_heads: tuple[int, ...] | None = None
    attn_noise: float = 0.0
    attn_noise_seed: int = 1
    attn_dropout: float | None = None
    round: int = 0
    data: str | None = None
    source_lang: str | None = None
    target_lang: str | None = None
    source_dictionary: str | None = None
    target_dictionary: str | None = None

    @classmethod
    def of_data(cls, cfg: TranslationConfig, source: Dictionary, target: Dictionary) -> Enhancement:
        """What a translation task knows of its data; the source stays plain."""
        return cls(
            data=os.path.abspath(first_folder(cfg.data)),
            source_lang=cfg.source_lang,
            target_lang=cfg.target_lang,
            source_dictionary=dictionary_fingerprint(source),
            target_dictionary=dictionary_fingerprint(target),
        )

    def with_words_of(self, path: str, sha256: str, cfg: AttnEnhancedTranslationConfig, round: int) -> Enhancement:
        """The same data, read by an extractor, as the options of a training have it.

        Args:
            path: absolute path of the extractor's checkpoint
            sha256: of that file
            cfg: the options
            round: bootstrapping round
        """
        return replace(
            self,
            extractor=path,
            extractor_sha256=sha256,
            attn_model=cfg.attn_model,
            reads_itself=cfg.attn_model == SELF,
            attn_positions=cfg.attn_positions,
            attn_layer=cfg.attn_layer,
            attn_heads=None if cfg.attn_heads is None else tuple(cfg.attn_heads),
            attn_noise=cfg.attn_noise or 0.0,
            attn_noise_seed=cfg.seed,
            attn_dropout=cfg.attn_dropout,
            round=round,
        )

    @property
    def noise(self) -> Noise:
        """What replaced some of the attention words."""
        return Noise(self.attn_noise, self.attn_noise_seed)

    def to_task_state(self) -> dict[str, Any]:
        """The entry for fairseq's task state."""
        values = asdict(self)
        values["attn_heads"] = None if self.attn_heads is None else list(self.attn_heads)
        return {KEY: values}

    @classmethod
    def from_task_state(cls, task_state: dict[str, Any]) -> Enhancement:
        """Read the entry back; a checkpoint without one is plain fairseq's.

        Raises:
            ValueError: it is damaged
        """
        return checked(task_state.get(KEY) or {}, cls)

    @classmethod
    def of_training(cls, state: dict[str, Any]) -> Enhancement:
        """What a checkpoint remembers, with the data of its training as its options say where that tells more.

        Args:
            state: of the checkpoint, as fairseq loads it

        Raises:
            ValueError: it is damaged
        """
        remembered, options = cls.from_task_state(state["task_state"]), state["cfg"].task
        data, said = remembered.data, first_folder(options.get("data"))
        if data is None or (not os.path.isdir(data) and os.path.isdir(said)):
            data = said or data
        return replace(
            remembered,
            data=data,
            source_lang=options.get("source_lang") or remembered.source_lang,
            target_lang=options.get("target_lang") or remembered.target_lang,
        )

    @classmethod
    def from_checkpoint(cls, path: str) -> Enhancement:
        """Read the entry of a checkpoint file, and not its weights.

        Raises:
            IELError: the file cannot be read, or is damaged
        """
        with in_one_line(path, "damaged"):
            return cls.from_task_state(task_state_of(path))

    def asked_for(self, cfg: AttnEnhancedTranslationConfig) -> Enhancement:
        """What a checkpoint remembers, as the options of a decoding change it.

        Raises:
            IELError: an option that contradicts the checkpoint
        """
        if cfg.attn_positions and not self.attn_positions:
            raise IELError("--attn-positions: the checkpoint was trained without; leave the option out")
        for option, remembers in (("attn_layer", self.attn_layer), ("attn_heads", self.attn_heads)):
            asked = getattr(cfg, option)
            asked = tuple(asked) if option == "attn_heads" and asked is not None else asked
            if asked not in (None, remembers) and self.extractor is not None:
                raise IELError(
                    f"--{option.replace('_', '-')} {asked}: the checkpoint was trained with {remembers}; "
                    f"leave the option out"
                )
        changed = self if cfg.attn_model is None else replace(self, reads_itself=cfg.attn_model == SELF)
        if cfg.attn_noise is None:
            return changed
        return replace(changed, attn_noise=cfg.attn_noise, attn_noise_seed=cfg.seed)

    def check_data(self, other: Enhancement) -> None:
        """
        Raises:
            IELError: languages or dictionaries of *other*, the data's, are known to differ
        """
        languages, theirs = (f"{each.source_lang}-{each.target_lang}" for each in (self, other))
        if self.source_lang is not None and languages != theirs:
            raise IELError(
                f"the checkpoint translates {languages}, the data are {theirs}; "
                f"give data of that pair, and name it with --source-lang and --target-lang"
            )
        for side in ("source", "target"):
            ours, theirs = (getattr(each, f"{side}_dictionary") for each in (self, other))
            if None not in (ours, theirs) and ours != theirs:
                raise IELError(
                    f"the checkpoint was trained with another {side} dictionary than the data's; "
                    f"binarise the data with the training data's dictionaries (fairseq-preprocess --srcdict --tgtdict)"
                )

    def same_input(self, other: Enhancement, extractor_given: bool) -> bool:
        """Whether models that remember *self* and *other* want the same input, as an ensemble must.

        Args:
            other: of another model
            extractor_given: both shall read what another extractor finds, whatever they remember
        """
        return self._input(extractor_given) == other._input(extractor_given)

    def _input(self, extractor_given: bool) -> tuple:
        extractor = None if extractor_given else SELF if self.reads_itself else self.extractor_sha256
        noise = self.noise if self.attn_noise else None
        return extractor, self.attn_positions, self.attn_layer, self.attn_heads, noise

    def check_resumes(self, last: str, began: Enhancement, same_extractor: bool) -> None:
        """Before a training goes on from the checkpoint *last*, which remembers *began*.

        Args:
            last: path of the checkpoint
            began: how the input was enhanced until then
            same_extractor: whether it was to be the same: no round of bootstrapping has ended

        Raises:
            IELError: it was enhanced in another way
        """
        dropout = self.attn_dropout if began.attn_dropout is None else began.attn_dropout
        before, now = (
            (each.extractor is None, each.reads_itself, each.attn_dropout, each._input(extractor_given=True))
            for each in (replace(began, attn_dropout=dropout), self)
        )
        if before != now:
            raise IELError(
                f"{last}: this training began with {began.describe()}, not with {self.describe()}; "
                f"give the same options, or another --save-dir; with --restore-file, --reset-dataloader begins anew"
            )
        if same_extractor and began.extractor_sha256 != self.extractor_sha256:
            raise IELError(
                f"{last}: this training began with another extractor ({began.extractor}, SHA-256 "
                f"{began.extractor_sha256}) than {self.extractor}; give that one, or another --save-dir"
            )

    def describe(self) -> str:
        """One phrase for a message to the user."""
        if self.extractor is None and not self.reads_itself:
            return "the plain source"
        noise = f", {100 * self.attn_noise:g}% of them random, seed {self.attn_noise_seed}" if self.attn_noise else ""
        positions = "on" if self.attn_positions else "off"
        extractor = "the model itself" if self.reads_itself else self.extractor
        layer = "" if self.attn_layer is None else f", layer {self.attn_layer}"
        heads = "" if self.attn_heads is None else f", heads {','.join(map(str, self.attn_heads))}"
        dropout = f", {100 * self.attn_dropout:g}% of the sentences plain" if self.attn_dropout else ""
        return f"attention words of {extractor}{layer}{heads}{noise}{dropout}, attention positions {positions}"
