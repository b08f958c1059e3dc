"""``--tokenizer prepared``: fairseq's own commands read and write raw text, as a prepared folder does.

    fairseq-generate DATA-BIN --user-dir iel_fairseq --tokenizer prepared --prepared-data DATA-BIN --remove-bpe ...
    fairseq-interactive DATA-BIN --user-dir iel_fairseq --tokenizer prepared --prepared-data DATA-BIN \\
        --bpe subword_nmt --bpe-codes DATA-BIN/codes ...
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fairseq.data.encoders import register_tokenizer
from fairseq.dataclass import FairseqDataclass
from omegaconf import MISSING

from iel_fairseq.prepared_folder import PreparedFolder


@dataclass
class PreparedTokenizerConfig(FairseqDataclass):
    prepared_data: str = field(default=MISSING, metadata={"help": "data folder that iel prepare made"})


@register_tokenizer("prepared", dataclass=PreparedTokenizerConfig)
class PreparedTokenizer:
    """Tokenises and truecases the source language; detruecases and detokenises the target language."""

    def __init__(self, cfg: PreparedTokenizerConfig):
        prepared = PreparedFolder.read(cfg.prepared_data)
        self._source = prepared.text(prepared.source_lang)
        self._target = prepared.text(prepared.target_lang)

    def encode(self, x: str) -> str:
        return self._source.encode(x)

    def decode(self, x: str) -> str:
        return self._target.decode(x)
