"""The model ``hf_sequence_classifier``: any encoder of the transformers library with a layer for classes on top."""

from __future__ import annotations

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor, nn

from iel_fairseq.checkpoint_safety import in_one_line
from iel_fairseq.classification.pretrained import Pretrained, check_vocabulary, embeddings_of, longest_input
from iel_fairseq.errors import IELError


@register_model("hf_sequence_classifier", dataclass=FairseqDataclass)
class HFSequenceClassifier(BaseFairseqModel):
    """A classifier of transformers as a fairseq model.

    Which one is the task's business (``--hf-model``), for its tokenizer is. Configuration and tokenizer lie in the
    task state of each checkpoint, the weights beside them: a checkpoint needs nothing else.
    """

    def __init__(self, hf: nn.Module, tokenizer, pretrained: Pretrained):
        """
        Args:
            hf: a model ``AutoModelForSequenceClassification`` knows
            tokenizer: its fast tokenizer
            pretrained: both as data

        Raises:
            ValueError: the tokenizer is of a larger model
        """
        super().__init__()
        check_vocabulary(tokenizer, embeddings_of(hf))
        self.hf = hf
        self.tokenizer = tokenizer
        self.pretrained = pretrained
        self.limit = longest_input(hf, tokenizer)

    @classmethod
    def build_model(cls, cfg, task):
        """Build the model that *task* names.

        Raises:
            IELError: another task, or transformers cannot load the model
        """
        if not hasattr(task, "pretrained"):
            raise IELError("--arch hf_sequence_classifier: its task is importance_enhanced_classification")
        pretrained: Pretrained = task.pretrained
        origin = str(task.initial_weights or task.cfg.finetune_from_model or "the checkpoint")
        with in_one_line(origin, "no classifier can be made of its configuration and tokenizer"):
            return cls(pretrained.build_model(task.initial_weights), task.tokenizer, pretrained)

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
        return self.hf(input_ids=input_ids, attention_mask=attention_mask, **types).logits

    def max_positions(self) -> int:
        """Tokens that it can read, special ones among them."""
        return self.limit
