"""The model ``hf_sequence_classifier``: any encoder of the transformers library with a layer for classes on top."""

from __future__ import annotations

from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor

from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.classification.encoding import encode, pad
from iel_fairseq.classification.pretrained import Pretrained, check_vocabulary, embeddings_of, longest_input
from iel_fairseq.errors import IELError


@register_model("hf_sequence_classifier", dataclass=FairseqDataclass)
class HFSequenceClassifier(BaseFairseqModel):
    """A classifier of transformers as a fairseq model.

    Which one is the task's business (``--hf-model``), for its tokenizer is. Configuration and tokenizer lie in the
    task state of each checkpoint, the weights beside them: a checkpoint needs nothing else.
    """

    def __init__(self, pretrained: Pretrained, weights: str | None = None):
        """
        Args:
            pretrained: configuration and tokenizer
            weights: as :meth:`Pretrained.build_model` has it

        Raises:
            ValueError: the tokenizer is of a larger model; or what :class:`Pretrained` raises
        """
        super().__init__()
        self.pretrained = pretrained
        self.hf = pretrained.build_model(weights)
        self.tokenizer = pretrained.build_tokenizer()
        check_vocabulary(self.tokenizer, embeddings_of(self.hf))
        self.limit = longest_input(self.hf, self.tokenizer)
        self.attention_readers = 0
        """How many read its attention at once."""
        self.attention_before: str | None = None
        """How it computed attention before they did."""

    @classmethod
    def build_model(cls, cfg, task):
        """Build the model that *task* names.

        Raises:
            IELError: another task, or transformers cannot load the model
        """
        if not hasattr(task, "pretrained"):
            raise IELError("--arch hf_sequence_classifier: its task is importance_enhanced_classification")
        origin = str(task.initial_weights or task.cfg.finetune_from_model or "the checkpoint")
        with in_one_line(origin, "no classifier can be made of its configuration and tokenizer"):
            model = cls(task.pretrained, task.initial_weights)
            if task.initial_weights is not None:  # else they are still to be loaded
                model.check_padding()
            return model

    @torch.no_grad()
    def check_padding(self) -> None:
        """See whether what it says of a text is the same beside a longer one: not all encoders leave padding out.

        Raises:
            ValueError: it is not; or whatever transformers raises where it cannot read a text
        """
        encoded, _ = encode(self.tokenizer, ["a text", "a longer text beside it"], self.limit)
        training = self.training
        self.eval()
        alone, beside = (self(**pad(encoded[:texts], self.tokenizer))[0] for texts in (1, 2))
        self.train(training)
        if not torch.allclose(alone, beside, rtol=1e-3, atol=1e-4, equal_nan=True):
            hf: Any = self.hf
            raise ValueError(
                f"what {hf.config.model_type} says of a text is something else beside a longer one; "
                f"take an encoder that leaves padding out"
            )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """
        Args:
            input_ids: int64 ``(B, T)``
            attention_mask: int64 ``(B, T)``, 1 where there is no padding
            token_type_ids: int64 ``(B, T)``, for models that want them

        Returns:
            float ``(B, classes)``: logits, or ``(B, 1)``: scores
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self.hf(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types).logits

    def max_positions(self) -> int:
        """Tokens that it can read, special ones among them."""
        return self.limit
