"""The options of the task ``importance_enhanced_classification``."""

from dataclasses import dataclass, field
from typing import Optional  # the spelling that fairseq can read

from fairseq.dataclass import ChoiceEnum
from omegaconf import II

from iel_fairseq.classification.glue import GLUE_TASKS
from iel_fairseq.explainers import EXPLAINERS
from iel_fairseq.training_start import TrainingStart


@dataclass
class ImportanceEnhancedClassificationConfig(TrainingStart):
    data: Optional[str] = field(
        default=None, metadata={"help": "folder that holds the tasks' folders, or GLUE's name on the hub"}
    )
    glue_task: Optional[ChoiceEnum(list(GLUE_TASKS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": "task of GLUE"}
    )
    hf_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "pretrained encoder of Hugging Face Transformers: a folder, or a name on their Hub; "
            "with --finetune-from-model it is that checkpoint's"
        },
    )
    importance: Optional[ChoiceEnum(list(EXPLAINERS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "append the word that is most important by this measure; default: the plain text"},
    )
    importance_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint whose predictions are explained; default: --finetune-from-model in training, "
            "otherwise the extractor that the checkpoint remembers"
        },
    )
    importance_samples: Optional[int] = field(
        default=None,
        metadata={"help": "perturbations of a text; default: the package's, 5000 (lime) and 500 (shap)"},
    )
    importance_store: Optional[str] = field(
        default=None, metadata={"help": "folder in which the importance of words is kept; default: the data folder"}
    )
    importance_max_tokens: Optional[int] = field(
        default=None,
        metadata={
            "help": "tokens that the extractor reads at once, in each thread; default: 4,096; on a GPU 65,536, or "
            "16,384 with attention"
        },
    )
    seed: int = II("common.seed")
    best_checkpoint_metric: str = II("checkpoint.best_checkpoint_metric")
    maximize_best_checkpoint_metric: bool = II("checkpoint.maximize_best_checkpoint_metric")
    train_subset: str = II("dataset.train_subset")
    cpu: bool = II("common.cpu")
    log_format: Optional[str] = II("common.log_format")
    log_interval: int = II("common.log_interval")
