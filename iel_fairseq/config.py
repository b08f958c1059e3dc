"""The options of the task ``attn_enhanced_translation``."""

from dataclasses import dataclass, field
from typing import List, Optional  # the spelling that fairseq can read

from fairseq.tasks.translation import TranslationConfig
from omegaconf import II

from iel_fairseq.training_start import TrainingStart


@dataclass
class AttnEnhancedTranslationConfig(TranslationConfig, TrainingStart):
    attn_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint whose attention is read; default: --finetune-from-model in training, "
            "in decoding the extractor that the checkpoint remembers. 'self': the model reads its own in decoding and "
            "validation; in training those of --finetune-from-model"
        },
    )
    attn_positions: bool = field(
        default=False,
        metadata={"help": "give attention words the positions they were read from, not the next free ones"},
    )
    attn_max_tokens: Optional[int] = field(
        default=None,
        metadata={
            "help": "source tokens that are read at once, by all threads together, when a data set's attention words "
            "are extracted; default: 16,000, on a GPU 64,000"
        },
    )
    attn_store: Optional[str] = field(
        default=None, metadata={"help": "folder in which attention positions are kept; default: the data folder"}
    )
    attn_layer: Optional[int] = field(
        default=None,
        metadata={
            "help": "decoder layer whose attention is read, from 0, or from -1 backwards; default: the last "
            "(Transformer), the average of those that attend (ConvS2S)"
        },
    )
    attn_heads: Optional[List[int]] = field(
        default=None, metadata={"help": "attention heads to read, e.g. 0,3; default: all (Transformer)"}
    )
    attn_noise: Optional[float] = field(
        default=None,
        metadata={
            "help": "share of each sentence's attention words, 0 to 1, replaced by words drawn from the same source; "
            "default: 0 in training, in decoding what the checkpoint was trained with"
        },
    )
    attn_dropout: float = field(
        default=0.0,
        metadata={"help": "share of the training sentences, 0 to 1, without attention words, others in each epoch"},
    )
    bootstrap_rounds: int = field(
        default=1,
        metadata={"help": "rounds of: extract with the best model so far, fine-tune it on what it found"},
    )
    bootstrap_epochs: int = field(default=1, metadata={"help": "epochs of a round, at most"})
    bootstrap_epoch_patience: int = field(
        default=0,
        metadata={
            "help": "end a round after so many epochs without a better score in it; default: after all its epochs"
        },
    )
    bootstrap_patience: int = field(
        default=0, metadata={"help": "end after so many rounds without a better validation score; default: never"}
    )
    bootstrap_restart: bool = field(
        default=False,
        metadata={
            "help": "begin each round with a new optimizer and from the start of the learning rate schedule; "
            "default: go on with those of the best checkpoint"
        },
    )
    seed: int = II("common.seed")
    no_save: bool = II("checkpoint.no_save")
    no_save_optimizer_state: bool = II("checkpoint.no_save_optimizer_state")
    save_interval: int = II("checkpoint.save_interval")
    save_interval_updates: int = II("checkpoint.save_interval_updates")
    disable_validation: bool = II("dataset.disable_validation")
    skip_invalid_size_inputs_valid_test: bool = II("dataset.skip_invalid_size_inputs_valid_test")
    validate_after_updates: int = II("dataset.validate_after_updates")
    validate_interval: int = II("dataset.validate_interval")
    validate_interval_updates: int = II("dataset.validate_interval_updates")
    max_epoch: int = II("optimization.max_epoch")
    best_checkpoint_metric: str = II("checkpoint.best_checkpoint_metric")
    maximize_best_checkpoint_metric: bool = II("checkpoint.maximize_best_checkpoint_metric")
    cpu: bool = II("common.cpu")
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")
    max_tokens: Optional[int] = II("dataset.max_tokens")
    max_tokens_valid: Optional[int] = II("dataset.max_tokens_valid")
    log_format: Optional[str] = II("common.log_format")
    log_interval: int = II("common.log_interval")
