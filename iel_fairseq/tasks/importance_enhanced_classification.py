"""The task ``importance_enhanced_classification``: classify texts with their most important word at the end."""

import logging
import os
from dataclasses import replace
from functools import partial
from typing import Any

from fairseq import checkpoint_utils
from fairseq.tasks import FairseqTask, register_task

from iel_fairseq.checkpoint_safety import task_state_of
from iel_fairseq.classification.checkpoint import WordEnhancement, load_classifier
from iel_fairseq.classification.classifier import Classifier
from iel_fairseq.classification.config import ImportanceEnhancedClassificationConfig
from iel_fairseq.classification.dataset import ClassificationDataset
from iel_fairseq.classification.glue import GLUE_TASKS, read_glue
from iel_fairseq.classification.importance import ImportanceExtraction, check_samples, store_folder
from iel_fairseq.classification.pretrained import Pretrained
from iel_fairseq.criterions.glue import log_glue_metrics
from iel_fairseq.device import chosen_device
from iel_fairseq.errors import IELError
from iel_fairseq.models.hf_sequence_classifier import HFSequenceClassifier
from iel_fairseq.remembered_extractor import RememberedExtractor
from iel_fairseq.training_start import check_start, resumed_checkpoint

logger = logging.getLogger(__name__)


@register_task("importance_enhanced_classification", dataclass=ImportanceEnhancedClassificationConfig)
class ImportanceEnhancedClassificationTask(FairseqTask):
    """Fine-tune a pretrained encoder on a task of GLUE, and once more on enhanced texts (IEL, Algorithms 2 and 4).

    With an extractor and an explainer every split is enhanced when it is loaded, by training and by the commands that
    read a checkpoint alike: both passes of Algorithm 4. Without, this is plain fine-tuning.
    """

    cfg: ImportanceEnhancedClassificationConfig

    def __init__(self, cfg: ImportanceEnhancedClassificationConfig):
        super().__init__(cfg)
        self.glue = GLUE_TASKS[str(cfg.glue_task)]
        self.initial_weights: str | None = None
        """Folder or name of pretrained weights; None: a checkpoint has them."""
        self.enhancement: WordEnhancement | None = None
        """What checkpoints remember."""
        self._model: HFSequenceClassifier | None = None
        self._reading = False  # a checkpoint, as opposed to training
        self._extractor: Classifier | None = None

    @classmethod
    def setup_task(cls, cfg: ImportanceEnhancedClassificationConfig, from_checkpoint: bool = False, **kwargs):
        """Find out which pretrained model it is.

        Args:
            cfg: the options
            from_checkpoint: given by fairseq where :meth:`load_state_dict` will say

        Raises:
            IELError: a missing option, or the model cannot be had
        """
        if cfg.data is None:
            raise IELError("DATA: give the folder that holds GLUE's tasks, each in a folder of its own")
        if cfg.glue_task is None:
            raise IELError(f"--glue-task: give one of {', '.join(GLUE_TASKS)}")
        check_samples(cfg.importance_samples)
        task = cls(cfg)
        if from_checkpoint:
            return task
        task._check_metric()
        for option, value in (("model", cfg.importance_model), ("samples", cfg.importance_samples)):
            if cfg.importance is None and value is not None:
                raise IELError(
                    f"--importance-{option} {value}: it does nothing without --importance; give both, or none"
                )
        if cfg.importance is not None and task._extractor_path() is None:
            raise IELError(
                f"--importance {cfg.importance}: no extractor without --importance-model or --finetune-from-model"
            )
        if cfg.finetune_from_model is not None and cfg.hf_model is not None:
            raise IELError(
                f"--hf-model {cfg.hf_model}: --finetune-from-model has a model of its own; leave one of them out"
            )
        if cfg.finetune_from_model is not None:
            state = checkpoint_utils.load_checkpoint_to_cpu(cfg.finetune_from_model)
            before = WordEnhancement.from_task_state(cfg.finetune_from_model, state["task_state"])
            task._check_glue_task(cfg.finetune_from_model, before.glue_task)
            pretrained = before.pretrained
        elif cfg.hf_model is not None:
            pretrained = Pretrained.from_name(cfg.hf_model, task.glue)
            task.initial_weights = cfg.hf_model
        else:
            raise IELError("--hf-model: give a pretrained encoder, or a trained checkpoint with --finetune-from-model")
        task._remember(WordEnhancement(task.glue.name, pretrained))
        return task

    def _check_metric(self) -> None:
        """Raise IELError unless the best checkpoint is chosen by what is measured, and in its direction."""
        metric, highest = self.cfg.best_checkpoint_metric, self.cfg.maximize_best_checkpoint_metric
        if metric not in ("loss", *self.glue.metrics):
            measured = ", ".join(("loss", *self.glue.metrics))
            raise IELError(f"--best-checkpoint-metric {metric}: for {self.glue.name} it is one of {measured}")
        if highest != (metric != "loss"):
            mend = f"{'leave out' if highest else 'add'} --maximize-best-checkpoint-metric"
            raise IELError(f"--best-checkpoint-metric {metric}: the worst would count as the best; {mend}")

    @property
    def pretrained(self) -> Pretrained:
        assert self.enhancement is not None
        return self.enhancement.pretrained

    def _remember(self, enhancement: WordEnhancement) -> None:
        self.enhancement = enhancement
        self.state.merge_state_dict(enhancement.to_task_state())

    def _check_glue_task(self, path: str, name: str) -> None:
        if name != self.glue.name:
            raise IELError(f"{path}: this checkpoint is for {name}, not for {self.glue.name}")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint remembers. fairseq calls this for reading one only.

        Raises:
            IELError: it is of another task of GLUE, or an option contradicts it
        """
        super().load_state_dict(state_dict)
        remembered = WordEnhancement.from_task_state("the checkpoint", state_dict)
        self._check_glue_task("--glue-task", remembered.glue_task)
        if self.cfg.importance is not None and str(self.cfg.importance) != remembered.importance:
            raise IELError(
                f"--importance {self.cfg.importance}: the checkpoint was trained with "
                f"{remembered.importance or 'none'}; "
                f"leave the option out"
            )
        samples, model = self.cfg.importance_samples, self.cfg.importance_model
        if samples is not None and not remembered.same_input(replace(remembered, samples=samples)):
            raise IELError(
                f"--importance-samples {samples}: the checkpoint was trained with "
                f"{remembered.samples or 'the number that its explainer has by default'}; leave the option out"
            )
        if remembered.importance is None and model is not None:
            raise IELError(
                f"--importance-model {model}: the checkpoint of --path reads texts as they are; leave the option out"
            )
        self._reading = True
        self._remember(remembered)

    # --- the extractor -----------------------------------------------------------------------------------------

    def _extractor_path(self) -> str | None:
        if self._reading:
            assert self.enhancement is not None
            return self.cfg.importance_model or self.enhancement.extractor
        return self.cfg.importance_model or self.cfg.finetune_from_model

    def extractor(self) -> Classifier:
        """The classifier whose predictions are explained, loaded at the first call.

        Raises:
            IELError: it is missing or damaged, of another task, or not the one that the checkpoint remembers
        """
        if self._extractor is not None:
            return self._extractor
        path = os.path.abspath(self._extractor_path() or "")
        known = self.enhancement
        assert known is not None
        remembered = RememberedExtractor(known.extractor, known.extractor_sha256, "--importance-model")
        load = partial(load_classifier, device=chosen_device(self.cfg.cpu), max_tokens=self.cfg.importance_max_tokens)
        asked_for = self.cfg.importance_model is not None
        extractor = remembered.load(path, load, asked_for=asked_for) if self._reading else load(path)
        self._check_glue_task(path, extractor.glue.name)
        extractor.check_plain("give its extractor, which reads them as they are, with --importance-model")
        self._extractor = extractor
        return extractor

    def _start_training(self) -> None:
        """Settle what the checkpoints will remember.

        Raises:
            IELError: any problem of the extractor; the training that goes on in the save directory began differently
        """
        assert self.enhancement is not None
        if self.cfg.importance is not None:
            extractor = self.extractor()
            self._remember(
                replace(
                    self.enhancement,
                    importance=str(self.cfg.importance),
                    extractor=extractor.path,
                    extractor_sha256=extractor.sha256,
                    importance_model=self.cfg.importance_model,
                    samples=self.cfg.importance_samples,
                    seed=self.cfg.seed,
                    store=self.cfg.importance_store and os.path.abspath(self.cfg.importance_store),
                )
            )
        last = resumed_checkpoint(self.cfg)
        if last is not None:
            began = WordEnhancement.from_task_state(last, task_state_of(last))
            if not began.pretrained.same_model(self.pretrained):
                raise IELError(
                    f"{last}: this training began with another model, or tokenizer, than that of "
                    f"{self.cfg.finetune_from_model or self.cfg.hf_model}; give the same, or another --save-dir"
                )
            if not began.same_input(self.enhancement):
                raise IELError(
                    f"{last}: this training began with {began.describe()}, not with {self.enhancement.describe()}; "
                    f"give the same options, or another --save-dir"
                )

    # --- data --------------------------------------------------------------------------------------------------

    def load_dataset(self, split, epoch=1, combine=False, task_cfg=None, **kwargs):
        """Load a split, enhanced where there is an explainer.

        Args:
            split: ``train``, ``valid`` or ``test``
            epoch: not used, there is one training folder
            combine: not used
            task_cfg: given by fairseq's commands that read a checkpoint

        Raises:
            IELError: missing or malformed file, or any problem of the extractor
        """
        assert self._model is not None
        assert self.enhancement is not None
        if not self._reading:
            self._start_training()
        examples = read_glue(str(self.cfg.data), self.glue, split)
        texts = [example.text for example in examples]
        kept = self.enhancement.store if self._reading else None
        stores = store_folder(self.cfg.importance_store, kept, str(self.cfg.data), otherwise=self.cfg.save_dir)
        appended = self.important_words(texts, split, stores)
        dataset = ClassificationDataset(examples, self._model, appended, shuffle=split == self.cfg.train_subset)
        logger.info(f"{split}: {len(examples):,} texts, {dataset.cut:,} of them cut to {self._model.limit} tokens")
        self.datasets[split] = dataset

    def important_words(self, texts: list[str], split: str, stores: str | None) -> list[str | None] | None:
        """For each of *texts* its important word; None where the text stays plain. A text without words has none.

        Args:
            texts: of a split, or one's own
            split: its name
            stores: folder in which the importance of words is kept; None: it is not

        Raises:
            IELError: any problem of the extractor or the store
        """
        enhancement = self.enhancement
        assert enhancement is not None
        if enhancement.importance is None:
            return None
        extractor = self.extractor()
        extraction = ImportanceExtraction(
            texts,
            f"{self.glue.name}.{split}",
            extractor,
            enhancement.importance,
            enhancement.samples,
            enhancement.seed,
            self.cfg.log_format,
            self.cfg.log_interval,
        )
        words = [explanation.important_word for explanation in extraction.found(stores)]
        extractor.model.cpu()  # leave the GPU to the training
        logger.info(
            f"{split}: {enhancement.importance} of {extractor.path} found the important words of "
            f"{len(words):,} texts, {words.count(None):,} of which have no words"
        )
        return words

    def get_batch_iterator(self, dataset, max_tokens=None, *args, **kwargs):
        """fairseq's.

        Raises:
            IELError: a text alone has more than *max_tokens*
        """
        longest = int(dataset.sizes.max(initial=0))
        if max_tokens is not None and longest > max_tokens:
            raise IELError(f"--max-tokens {max_tokens}: a text has {longest}; give at least as many, or --batch-size")
        return super().get_batch_iterator(dataset, max_tokens, *args, **kwargs)

    def max_positions(self):
        return self._model.max_positions() if self._model is not None else None

    @property
    def source_dictionary(self):
        return None

    @property
    def target_dictionary(self):
        return None

    # --- the model ---------------------------------------------------------------------------------------------

    def build_model(self, cfg, from_checkpoint=False):
        """Build the classifier.

        Raises:
            IELError: ``--arch`` is another model, or transformers cannot load it; options that no training may have
        """
        if not from_checkpoint:  # a training begins
            check_start(self.cfg)
        if cfg._name != "hf_sequence_classifier":
            raise IELError(f"--arch {cfg._name}: this task's model is hf_sequence_classifier")
        self._model = super().build_model(cfg, from_checkpoint)
        return self._model

    def build_criterion(self, cfg, from_checkpoint=False):
        """Build the criterion.

        Raises:
            IELError: it is not ``glue``
        """
        if cfg._name != "glue":
            raise IELError(f"--criterion {cfg._name}: this task's criterion is glue")
        return super().build_criterion(cfg, from_checkpoint)

    def reduce_metrics(self, logging_outputs, criterion):
        """fairseq's, and GLUE's metrics over all that was validated."""
        super().reduce_metrics(logging_outputs, criterion)
        log_glue_metrics(self.glue, logging_outputs)
