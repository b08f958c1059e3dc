"""The task ``attn_enhanced_translation``: fairseq's ``translation`` on sources enhanced with attention words."""

import logging
import os
import sys
from typing import Any

import torch
from fairseq import utils
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed.utils import get_global_rank
from fairseq.logging import metrics
from fairseq.models import BaseFairseqModel
from fairseq.tasks import register_task
from omegaconf import OmegaConf

from iel_fairseq.attention_store import AttentionPositions, share_of_new
from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.bootstrapping import Bootstrapping, NoMoreEpochs
from iel_fairseq.config import AttnEnhancedTranslationConfig
from iel_fairseq.data_folder import check_data_folder, first_folder
from iel_fairseq.dataset import AttnEnhancedDataset, CompleteLanguagePairDataset
from iel_fairseq.device import chosen_device, chosen_dtype
from iel_fairseq.dictionaries import read_dictionary
from iel_fairseq.enhancement import SELF, Enhancement
from iel_fairseq.errors import IELError
from iel_fairseq.extraction import DatasetExtraction
from iel_fairseq.extractor import Extractor, load_extractor
from iel_fairseq.noise import Noise
from iel_fairseq.remembered_extractor import RememberedExtractor
from iel_fairseq.source_positions import accept_source_positions
from iel_fairseq.training_start import check_start, resumed_checkpoint
from iel_fairseq.two_passes import TwoPassTranslationTask, check_generation, check_model

logger = logging.getLogger(__name__)


@register_task("attn_enhanced_translation", dataclass=AttnEnhancedTranslationConfig)
class AttnEnhancedTranslationTask(TwoPassTranslationTask):
    """Translate from sources to which the words that an extractor looked at are appended (IEL, sections 3 and 4).

    Training and validation data are extracted once, when they are loaded. Decoding is two passes: the extractor
    reads x, the model reads x'. Without any extractor this is plain ``translation``, which loses no sentence.
    """

    cfg: AttnEnhancedTranslationConfig

    def __init__(self, cfg: AttnEnhancedTranslationConfig, src_dict, tgt_dict):
        super().__init__(cfg, src_dict, tgt_dict)
        self._data = Enhancement.of_data(cfg, src_dict, tgt_dict)
        self.enhancement = self._data
        """How the model's input is enhanced: what its checkpoints remember."""
        self.state.merge_state_dict(self.enhancement.to_task_state())
        self.limit = cfg.max_source_positions
        """Longest enhanced source, with ``</s>``, that the models can read."""
        self._decoding = False  # from a checkpoint, as opposed to training
        self._extractor: Extractor | None = None
        self._bootstrapping: Bootstrapping | None = None
        self._round_of_extractor = 0  # the first one's
        self._extractor_before: str | None = None  # SHA-256 of the last round's, if it ended in an earlier process
        self._has_begun = False  # an epoch, in this process
        self._validated: int | None = None  # the epoch, until its first result is there
        self._combined: dict[str, bool] = {}  # of each split, whether with valid1, valid2, ...

    @classmethod
    def setup_task(cls, cfg: AttnEnhancedTranslationConfig, **kwargs):
        """Load the dictionaries.

        Raises:
            IELError: no data folder, no dictionary in it, or an option that does not go with two passes
        """
        if cfg.load_alignments:
            raise IELError("--load-alignments: alignments with attention words in the source are not supported")
        if cfg.num_batch_buckets:
            raise IELError("--num-batch-buckets: buckets are not supported with attention words; leave it out")
        Noise(cfg.attn_noise or 0.0)  # refuse what is no share, before any work
        AttnDropout(cfg.attn_dropout)
        check_data_folder(first_folder(cfg.data), (cfg.source_lang, cfg.target_lang))
        task = super().setup_task(cfg, **kwargs)
        if cfg.bootstrap_rounds != 1 and not kwargs.get("from_checkpoint"):
            task._bootstrapping = Bootstrapping(cfg)
        return task

    @classmethod
    def of_data_folder(cls, data: str, source_lang: str | None = None, target_lang: str | None = None):
        """The task for a data folder alone, outside fairseq's commands: plain sources, dictionaries, languages.

        Raises:
            IELError: as :meth:`setup_task`
        """
        options = OmegaConf.structured(FairseqConfig)  # those of other groups, which the task's refer to
        own = AttnEnhancedTranslationConfig(data=data, source_lang=source_lang, target_lang=target_lang)
        options.task = OmegaConf.structured(own)
        return cls.setup_task(options.task)

    @classmethod
    def load_dictionary(cls, filename):
        """Called by fairseq for each language.

        Raises:
            IELError: it cannot be read, or is none
        """
        return read_dictionary(filename)

    # --- the extractor -----------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over from a checkpoint how its model's input was enhanced. fairseq calls this for decoding only.

        Raises:
            IELError: other languages or dictionaries than the data's; an ensemble whose members want different input;
                options that contradict the checkpoint
        """
        super().load_state_dict(state_dict)
        remembered = Enhancement.from_task_state(state_dict).asked_for(self.cfg)
        remembered.check_data(self._data)
        if self._decoding and not remembered.same_input(self.enhancement, extractor_given=self._asked is not None):
            raise IELError(
                "--path: the models of the ensemble want different input "
                f"({self.enhancement.describe()}; {remembered.describe()}); decode them one by one"
            )
        if not self._decoding and self.cfg.max_source_positions == AttnEnhancedTranslationConfig.max_source_positions:
            self.limit = sys.maxsize  # fairseq's default is not the training's: the models say what they read
        self.enhancement = remembered
        self._decoding = True
        self._bootstrapping = None

    @property
    def _reads_itself(self) -> bool:
        """Whether one model serves both passes in decoding, and in the validation of its training."""
        return self.enhancement.reads_itself if self._decoding else self.cfg.attn_model == SELF

    @property
    def _asked(self) -> str | None:
        """The file that ``--attn-model`` asks for; None: none."""
        return None if self.cfg.attn_model == SELF else self.cfg.attn_model

    def _extractor_path(self) -> str | None:
        if self._decoding:
            return self._asked or self.enhancement.extractor
        found_best = self._bootstrapping.extractor if self._bootstrapping is not None else None
        return found_best or self._asked or self.cfg.finetune_from_model

    def attention_choice(self) -> dict[str, Any]:
        """Which attention is read, layer and heads: in decoding as in training, where the checkpoint knows."""
        known = self.enhancement if self._decoding and self.enhancement.extractor is not None else self.cfg
        return {"layer": known.attn_layer, "heads": known.attn_heads}

    def extractor(self) -> Extractor | None:
        """The extractor, loaded at the first call; None where there is none.

        Raises:
            IELError: as :func:`~iel_fairseq.extractor.load_extractor`; or, in decoding, the file is not the one
                that the checkpoint remembers
        """
        path = self._extractor_path()
        if path is None or (self._extractor is not None and self._extractor.path == os.path.abspath(path)):
            return self._extractor
        remembered = RememberedExtractor(self.enhancement.extractor, self.enhancement.extractor_sha256, "--attn-model")

        def load(path: str) -> Extractor:
            return load_extractor(path, self, **self.attention_choice())

        asked_for = self._asked is not None
        self._extractor = remembered.load(path, load, asked_for=asked_for) if self._decoding else load(path)
        return self._extractor

    def reader(self, second: BaseFairseqModel) -> BaseFairseqModel | None:
        """The model of the first pass, on the device and in the precision of the *second*; None: no extractor."""
        if self._reads_itself:
            return second
        extractor = self.extractor()
        parameter = next(second.parameters())
        return None if extractor is None else extractor.model.to(parameter.device, parameter.dtype)

    @property
    def reader_name(self) -> str:
        """What messages call it."""
        return "the model itself" if self._reads_itself else str(self._extractor_path())

    def _start_enhanced_training(self, extractor: Extractor) -> None:
        number = 1 if self._bootstrapping is None else self._bootstrapping.number
        if number == 1:
            self._round_of_extractor = extractor.round
        self.enhancement = self._data.with_words_of(
            extractor.path, extractor.sha256, self.cfg, self._round_of_extractor + number
        )
        self._resume()
        self.state.merge_state_dict(self.enhancement.to_task_state())

    def _resume(self) -> None:
        """Where an earlier training goes on, find out what it began with.

        Raises:
            IELError: it began with other input
        """
        last = None if self._has_begun else resumed_checkpoint(self.cfg)
        if last is None:
            return
        began = Enhancement.from_checkpoint(last)
        if self._bootstrapping is not None:
            self._bootstrapping.resume(last, began.round - self._round_of_extractor)
        ended = began.round == self.enhancement.round - 1
        self._extractor_before = began.extractor_sha256 if ended else None
        same_round = self._bootstrapping is None or began.round == self.enhancement.round
        self.enhancement.check_resumes(last, began, same_extractor=same_round)

    # --- data --------------------------------------------------------------------------------------------------

    def load_dataset(self, split, epoch=1, combine=False, task_cfg=None, **kwargs):
        """Load a split: enhanced for training, plain for decoding, where the first pass is made batch by batch.

        Args:
            split: name of the split
            epoch: chooses among several training folders
            combine: join valid, valid1, ... as fairseq does
            task_cfg: given by fairseq's commands that decode or validate a checkpoint, and only by them

        Raises:
            IELError: missing or empty split, or any problem of the extractor
        """
        self.cut_words.tell()  # of the set before
        earlier, another_round = self.datasets.get(split), False
        training = split == self.cfg.train_subset
        if training and task_cfg is None and self._bootstrapping is not None:
            another_round = self._bootstrapping.enter(epoch, self._extractor_path())
            same_data = self._bootstrapping.over or not super().has_sharded_data(split)
            if earlier is not None and not another_round and same_data:
                return  # the round goes on with its data, or the last one has ended
        folder = self._load_plain(split, epoch, combine, **kwargs)
        if task_cfg is not None or self._decoding:
            return
        if not training:
            self.check_sizes(self.datasets[split])
        extractor = self.extractor()
        if extractor is None:
            self._resume()
            if training:
                logger.warning("no extractor (--attn-model or --finetune-from-model): this is plain translation")
            return
        if self.cfg.fp16 and (self.cfg.cpu or not torch.cuda.is_available()):
            raise IELError("--fp16: training in half precision needs a GPU; leave it out, or take --bf16")
        others_read_by = self.enhancement.extractor_sha256
        self._start_enhanced_training(extractor)
        if self._reads_itself and not training:
            return  # each validation has a first pass of its own
        extraction, stores = self._extraction(self.datasets[split], split, extractor), self.cfg.attn_store or folder
        self.datasets[split] = enhanced = self._enhanced(extraction, stores)
        if another_round and self._bootstrapping is not None:
            if others_read_by != extractor.sha256:
                for other in [name for name in self.datasets if name != split]:
                    self.load_dataset(other, combine=self._combined[other])
            before = self._positions_before(extraction, stores, earlier)
            if before is not None:
                self._bootstrapping.note_changed(share_of_new(enhanced.attention_positions, before))

    def _load_plain(self, split: str, epoch: int, combine: bool, **kwargs: Any) -> str:
        """Load a split with plain sources, every sentence in some batch; the data folder that it is from."""
        folders = utils.split_paths(self.cfg.data)
        folder = folders[(epoch - 1) % len(folders)] if split == self.cfg.train_subset else folders[0]
        self.dataset_to_epoch_iter.pop(self.datasets.get(split), None)
        super().load_dataset(split, epoch=epoch, combine=combine, **kwargs)
        self.datasets[split] = CompleteLanguagePairDataset(self.datasets[split])
        self._combined[split] = combine
        return folder

    def _enhanced(self, extraction: DatasetExtraction, stores: str) -> AttnEnhancedDataset:
        """The data set of *extraction* with its attention words, from the folder *stores* or extracted into it."""
        positions = extraction.store(stores).fill(extraction.positions)
        extraction.extractor.model.cpu()  # leave the GPU to the training
        training = extraction.name == self.cfg.train_subset
        # fairseq leaves out what has more tokens than a batch may have: rather a few attention words than a sentence.
        limit = min(self.limit, (self.cfg.max_tokens if training else self.cfg.max_tokens_valid) or self.limit)
        enhanced = AttnEnhancedDataset(
            extraction.dataset,
            positions,
            attn_positions=self.cfg.attn_positions,
            limit=limit,
            noise=self.enhancement.noise,
            dropout=AttnDropout(self.cfg.attn_dropout if training else 0.0, self.cfg.seed),
        )
        path, sha256 = extraction.extractor.path, extraction.extractor.sha256
        level = logging.WARNING if enhanced.cut.any() and get_global_rank() == 0 else logging.INFO
        logger.log(level, f"{extraction.name}: {path} (SHA-256 {sha256[:12]}) gave {enhanced.summary}")
        return enhanced

    def _positions_before(self, extraction: DatasetExtraction, stores: str, earlier: Any) -> AttentionPositions | None:
        """Those of the last round, whose data set *earlier* was, in this process; None: there are none to compare."""
        if len(utils.split_paths(self.cfg.data)) > 1:
            return None
        if isinstance(earlier, AttnEnhancedDataset):
            return earlier.attention_positions
        sha256 = self._extractor_before
        return None if sha256 is None else extraction.store(stores, sha256).open()

    def has_sharded_data(self, split):
        """Whether fairseq shall ask for the data of each epoch anew: with bootstrapping, another round may begin."""
        return self._bootstrapping is not None or super().has_sharded_data(split)

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """As fairseq has it; nothing more when the last round of bootstrapping has ended."""
        training = dataset is self.datasets.get(self.cfg.train_subset)
        if training and self._bootstrapping is not None and self._bootstrapping.over:
            return NoMoreEpochs(kwargs.get("epoch", 1))
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        if training and self.has_sharded_data(self.cfg.train_subset):
            # Each epoch has another: workers that wait for more of this one's would be there for nothing.
            iterator.reuse_dataloader = iterator.persistent_workers = False
        return iterator

    def begin_round(self, trainer):
        """Called at the beginning of each epoch, see :mod:`iel_fairseq.compat`."""
        self._has_begun = True
        if self._bootstrapping is not None:
            self._bootstrapping.load_best(trainer)

    def begin_valid_epoch(self, epoch, model):
        """Called by fairseq when a validation begins."""
        super().begin_valid_epoch(epoch, model)
        self._validated = epoch

    def post_validate(self, model, stats, agg):
        """Called by fairseq with the results on each validation set; the first set's choose the best checkpoint."""
        self.cut_words.tell_of_all_ranks()
        if self._bootstrapping is not None and self._validated is not None:
            self._bootstrapping.note_validation(self._validated, stats)
        self._validated = None

    def reduce_metrics(self, logging_outputs, criterion):
        """Called by fairseq for each update, and each batch of a validation, to log what it logs.

        Beside its own metrics: ``bootstrap_round``, ``attn_changed`` (share of the training set's attention words that
        are new in this round, once that is known) and ``attn_noise`` (share that is random, where any is).
        """
        super().reduce_metrics(logging_outputs, criterion)
        if self._bootstrapping is not None:
            metrics.log_scalar("bootstrap_round", self._bootstrapping.number, weight=0, priority=600, round=0)
            if self._bootstrapping.changed is not None:
                metrics.log_scalar("attn_changed", self._bootstrapping.changed, weight=0, priority=610, round=3)
        if self.enhancement.attn_noise:
            metrics.log_scalar("attn_noise", self.enhancement.attn_noise, weight=0, priority=620, round=3)

    def _extraction(self, plain: CompleteLanguagePairDataset, split: str, extractor: Extractor) -> DatasetExtraction:
        return DatasetExtraction(
            plain,
            split,
            extractor,
            chosen_device(self.cfg.cpu),
            chosen_dtype(self.cfg.fp16, self.cfg.bf16),
            max_tokens=self.cfg.attn_max_tokens,
            **self.attention_choice(),
            log_format=self.cfg.log_format,
            log_interval=self.cfg.log_interval,
        )

    # --- the model ---------------------------------------------------------------------------------------------

    def build_model(self, cfg, from_checkpoint=False):
        """Build a plain fairseq model; with attention positions on, one that takes ``src_positions`` as well.

        Raises:
            IELError: the model cannot take attention words or their positions; options that no training may have
        """
        if not from_checkpoint:  # a training begins
            check_start(self.cfg)
            Bootstrapping.check_options(self.cfg)
        model = super().build_model(cfg, from_checkpoint)
        positions_on = self.enhancement.attn_positions if self._decoding else self.cfg.attn_positions
        if self._extractor_path() is None and not (self._decoding and self._reads_itself):
            asked_for = {
                "--attn-positions": positions_on,
                "--attn-model self": self._reads_itself,
                "--attn-noise": self.cfg.attn_noise,
                "--attn-dropout": self.cfg.attn_dropout,
                "--bootstrap-rounds": self._bootstrapping,
            }
            if option := next((option for option, value in asked_for.items() if value), None):
                if self._decoding:
                    raise IELError(f"{option}: the checkpoint remembers no extractor; give --attn-model FILE")
                raise IELError(f"{option}: no extractor to train with; give --finetune-from-model or --attn-model FILE")
            return model
        check_model(model, self._reads_itself)
        if positions_on:
            accept_source_positions(model)
        self.limit = min(self.limit, model.encoder.max_positions())
        return model

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """Build fairseq's generator, and load the extractor now: better to fail before the first sentence.

        Raises:
            IELError: a way of decoding that two passes do not support, or any problem of the extractor
        """
        if self._extractor_path() is not None or self._reads_itself:
            check_generation(models, args, self._reads_itself)
            if self._decoding and self._reads_itself and len(models) > 1:
                raise IELError("--path: the models of the ensemble read other words each; give --attn-model FILE")
        if self._decoding and not self._reads_itself and self.extractor() is None:
            logger.info("neither the checkpoint nor --attn-model names an extractor: decoding in one pass")
        return super().build_generator(
            models, args, seq_gen_cls, extra_gen_cls_kwargs, prefix_allowed_tokens_fn=prefix_allowed_tokens_fn
        )
