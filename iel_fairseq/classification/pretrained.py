"""A model of the transformers library as plain data: its configuration and tokenizer, without the weights.

transformers is imported where it is needed: fairseq imports this package for translation, too.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.classification.glue import GlueTask
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import parse_json

NOT_LOADED = "not a model that transformers can load as a classifier"
OF_THE_WEIGHTS = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
"""What a configuration says that decides what the weights are; not all models have all of it."""
NOT_THERE = "no such folder here, and no model of that name that transformers can load from the hub"


@dataclass(frozen=True)
class Pretrained:
    """Everything but the weights. Plain data, which torch's safe loader reads out of a checkpoint.

    Attributes:
        config: the model's configuration, in JSON
        tokenizer: the tokenizer's files: name and text
    """

    config: str
    tokenizer: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_name(cls, name: str, glue: GlueTask) -> Pretrained:
        """Of a local folder, or a name on the hub, for the classes of *glue*.

        Raises:
            IELError: there is no such model, its tokenizer is not a fast one, or it has the classes in another order
        """
        from transformers import AutoConfig, AutoTokenizer

        labels = glue.labels or (glue.label,)
        with in_one_line(name, NOT_LOADED if os.path.isdir(name) else NOT_THERE):
            theirs = [*AutoConfig.from_pretrained(name, trust_remote_code=False).id2label.values()]
            if sorted(theirs) == sorted(labels) and theirs != [*labels]:
                raise IELError(
                    f"{name}: a classifier whose classes are {', '.join(theirs)}, in another order than those of "
                    f"{glue.name}; take the encoder that it was made of"
                )
            config = AutoConfig.from_pretrained(
                name,
                num_labels=glue.outputs,
                id2label=dict(enumerate(labels)),
                label2id={label: number for number, label in enumerate(labels)},
                problem_type="regression" if glue.regression else "single_label_classification",
                trust_remote_code=False,
            )
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if not tokenizer.is_fast:
            raise IELError(f"{name}: it has no fast tokenizer, which tells what piece belongs to what word")
        if tokenizer.pad_token_id is None:
            raise IELError(
                f"{name}: its tokenizer has no padding token, with which texts are read together; take another encoder"
            )
        if not tokenizer("").input_ids:
            raise IELError(
                f"{name}: its tokenizer adds no token to a text, so that one without words would be nothing; "
                f"take another encoder"
            )
        if getattr(config, "pad_token_id", None) is None:  # by which some find the last token
            config.pad_token_id = tokenizer.pad_token_id
        try:
            check_vocabulary(tokenizer, getattr(config, "vocab_size", None))
        except ValueError as error:
            raise IELError(f"{name}: {error}") from error
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for path in tokenizer.save_pretrained(folder):
                if path.endswith((".json", ".txt")) and os.path.exists(path):
                    with open(path, encoding="utf-8") as file:
                        files[os.path.basename(path)] = file.read()
        return cls(config.to_json_string(use_diff=False), files)

    def build_config(self):
        """The configuration, as an object of transformers, which raises anything where it is of no model."""
        from transformers import AutoConfig

        return AutoConfig.for_model(**parse_json(self.config, dict[str, Any]))

    def build_tokenizer(self):
        """The tokenizer, a fast one; transformers raises anything where its files are damaged."""
        from transformers import AutoTokenizer

        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"config.json": self.config, **self.tokenizer}.items():
                with open(os.path.join(folder, os.path.basename(name)), "w", encoding="utf-8") as file:
                    file.write(text)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        # Whatever its files say: what is cut is the end, and what is read at one end of the input is no padding.
        tokenizer.truncation_side = "right"
        if tokenizer("").input_ids[:1] == [tokenizer.cls_token_id]:
            tokenizer.padding_side = "right"
        return tokenizer

    def build_model(self, weights: str | None = None) -> torch.nn.Module:
        """The classifier, in float32.

        Args:
            weights: folder or name whose weights are read, the last layer's being new, unless there is one for as
                many classes; None: all are random, to be loaded from a checkpoint

        Raises:
            IELError: the weights cannot be had, or transformers has no such classifier; without *weights* anything, as
                :meth:`build_config`
        """
        from transformers import AutoModelForSequenceClassification

        if weights is None:
            # Not in the precision of the file that it was made of, which the configuration has.
            return AutoModelForSequenceClassification.from_config(
                self.build_config(), dtype=torch.float32, trust_remote_code=False
            )
        with in_one_line(weights, NOT_LOADED):
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                weights,
                config=self.build_config(),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # of the last layer
                output_loading_info=True,
                trust_remote_code=False,
            )
        if others := _not_loaded(model, loaded):
            raise IELError(
                f"{weights}: its weights do not fit its configuration: {others[0]} and {len(others) - 1} more "
                f"would be random; take the weights and the config.json of one model"
            )
        return model

    def same_model(self, other: Pretrained) -> bool:
        """Whether both name a model of the same kind and sizes, and a tokenizer of the same words.

        What another version of transformers writes differently is no difference.
        """
        ours, theirs = (
            {key: value for key, value in parse_json(each.config, dict[str, Any]).items() if key in OF_THE_WEIGHTS}
            for each in (self, other)
        )
        return ours == theirs and self._vocabulary == other._vocabulary

    @property
    def _vocabulary(self) -> Any:
        described = parse_json(self.tokenizer.get("tokenizer.json", "{}"), dict[str, Any])
        return described.get("model", {}).get("vocab", self.tokenizer)


def embeddings_of(model: Any) -> int | None:
    """How many a model of transformers has; None: it does not say."""
    with suppress(NotImplementedError):  # by some
        rows: int | None = getattr(model.get_input_embeddings(), "num_embeddings", None)
        if rows is not None:
            return rows
    return getattr(model.config, "vocab_size", None)


def check_vocabulary(tokenizer: Any, embeddings: int | None) -> None:
    """See whether there is an embedding for all that a tokenizer may give.

    Args:
        tokenizer: of transformers
        embeddings: how many the model has; None: not known

    Raises:
        ValueError: there is not
    """
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if embeddings is not None and highest >= embeddings:
        raise ValueError(
            f"its tokenizer gives numbers up to {highest:,}, the model has {embeddings:,} embeddings; "
            f"take the tokenizer that the model was trained with"
        )


def _not_loaded(model: Any, loaded: dict[str, Any]) -> list[str]:
    """Weights of the encoder that are not those of the file, but for a pooler, which many encoders come without."""
    mismatched = (name if isinstance(name, str) else name[0] for name in loaded["mismatched_keys"])
    new = {*mismatched, *loaded["missing_keys"]}
    encoder = f"{model.base_model_prefix}."
    return [
        name
        for name, _ in model.named_parameters()
        if name in new and name.startswith(encoder) and "pooler" not in name
    ]


def longest_input(model: torch.nn.Module, tokenizer) -> int:
    """Tokens, special ones among them, that a model of transformers can read with *tokenizer*."""
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(getattr(module, "weight", None), torch.Tensor):
            padding = getattr(module, "padding_idx", None)  # positions begin behind its number, as RoBERTa's
            limits.append(len(module.weight) - (0 if padding is None else padding + 1))
    none = torch.iinfo(torch.int32).max  # XLNet has no limit, and says -1
    return min([none, *(limit for limit in limits if limit is not None and limit > 0)])
