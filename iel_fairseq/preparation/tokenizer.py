"""``--tokenizer prepared``: fairseq's own commands read and write raw text, as a prepared folder does.

    fairseq-generate DATA-BIN --user-dir iel_fairseq --tokenizer prepared --prepared-data DATA-BIN --remove-bpe ...
    fairseq-interactive DATA-BIN --user-dir iel_fairseq --tokenizer prepared --prepared-data DATA-BIN \\
        --bpe subword_nmt --bpe-codes DATA-BIN/codes ...
"""

from dataclasses import dataclass, field
from functools import cached_property

from fairseq.data.encoders import register_tokenizer
from fairseq.dataclass import FairseqDataclass
from omegaconf import MISSING

from iel_fairseq.errors import IELError
from iel_fairseq.preparation.moses_text import MosesText
from iel_fairseq.preparation.prepared_folder import PreparedFolder


@dataclass
class PreparedTokenizerConfig(FairseqDataclass):
    # fairseq reads the type itself: its name alone, as "from __future__ import annotations" leaves it, will not do.
    prepared_data: str = field(default=MISSING, metadata={"help": "data folder that iel prepare made"})


@register_tokenizer("prepared", dataclass=PreparedTokenizerConfig)
class PreparedTokenizer:
    """Tokenises and truecases the source language; detruecases and detokenises the target language."""

    def __init__(self, cfg: PreparedTokenizerConfig):
        if cfg.prepared_data == MISSING:
            raise IELError(
                "prepared: of which data folder? give --prepared-data DATA-BIN, or in training "
                """--eval-bleu-detok-args '{"prepared_data": "DATA-BIN"}'"""
            )
        # Read when it is needed: a checkpoint trained with it can be loaded where the folder is not.
        self._folder = cfg.prepared_data

    @cached_property
    def _prepared(self) -> PreparedFolder:
        return PreparedFolder.read(self._folder)

    @cached_property
    def _source(self) -> MosesText:
        return self._prepared.text(self._prepared.source_lang)

    @cached_property
    def _target(self) -> MosesText:
        return self._prepared.text(self._prepared.target_lang)

    def encode(self, x: str) -> str:
        return self._source.encode(x)

    def decode(self, x: str) -> str:
        return self._target.decode(x)
