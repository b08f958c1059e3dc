"""The translation data set whose source is enhanced, and which loses no sentence."""

from __future__ import annotations

import numpy as np
import torch
from fairseq.data import LanguagePairDataset, data_utils

from iel_fairseq.attention_store import AttentionPositions, source_lengths
from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.complete_batches import CompleteBatches
from iel_fairseq.enhanced_source import enhance_batch, enhanced_length
from iel_fairseq.noise import Noise


class CompleteLanguagePairDataset(CompleteBatches, LanguagePairDataset):
    """fairseq's ``LanguagePairDataset``, with every sentence in some batch."""

    def __init__(self, plain: LanguagePairDataset, src_sizes: np.ndarray | None = None):
        """
        Args:
            plain: the data set to hold
            src_sizes: int ``(sentences,)``, source lengths to batch by, instead of those of *plain*
        """
        super().__init__(
            plain.src,
            plain.src_sizes if src_sizes is None else src_sizes,
            plain.src_dict,
            plain.tgt,
            plain.tgt_sizes,
            plain.tgt_dict,
            left_pad_source=plain.left_pad_source,
            left_pad_target=plain.left_pad_target,
            shuffle=plain.shuffle,
            input_feeding=plain.input_feeding,
            constraints=plain.constraints,
            eos=plain.eos,
            pad_to_multiple=plain.pad_to_multiple,
        )
        if self.supports_prefetch:  # extraction reads in its own order, and fairseq's cached data have what was fetched
            self.prefetch(range(len(self)))


class AttnEnhancedDataset(CompleteLanguagePairDataset):
    """A translation data set with the attention words appended to each source.

    Target, loss and decoder input are those of *plain*. Every size is that of the enhanced source.

    A batch has, beside what fairseq's has: ``net_input.src_positions`` (int64 ``(B, S')``) when *attn_positions* is
    on, and ``plain_src_len`` (int), the number of columns of the plain source.
    """

    def __init__(
        self,
        plain: LanguagePairDataset,
        attention_positions: AttentionPositions,
        *,
        attn_positions: bool,
        limit: int,
        noise: Noise,
        dropout: AttnDropout,
    ):
        """
        Args:
            plain: the data set to enhance
            attention_positions: those of each sentence of *plain*
            attn_positions: give attention words the positions they were read from
            limit: longest enhanced source, with ``</s>``, that the encoder can read
            noise: replaces some of the attention words
            dropout: leaves some sentences without any; their size is still that with them
        """
        words = np.asarray(attention_positions.sizes, dtype=np.int64)
        super().__init__(plain, enhanced_length(np.asarray(plain.src_sizes, dtype=np.int64), words, limit))
        self.attention_positions = attention_positions
        self.attn_positions = attn_positions
        self.limit = limit
        self.noise = noise
        self.dropout = dropout
        # Shared: processes that load batches live as long as the training, and must learn that an epoch begins.
        self._epoch = torch.ones((), dtype=torch.int64).share_memory_()
        lengths = source_lengths(plain)
        self.cut = words - (enhanced_length(lengths, words, limit) - lengths)
        """Attention words that do not fit, int64 ``(sentences,)``."""

    @property
    def summary(self) -> str:
        """One phrase for the log: how many attention words there are, and how many are cut."""
        words = np.asarray(self.attention_positions.sizes, dtype=np.int64)
        return (
            f"{words.sum():,} attention words for {len(self):,} sentences; {(words == 0).sum():,} sentences have none, "
            f"{self.cut.sum():,} words of {(self.cut > 0).sum():,} sentences are cut to fit {self.limit} tokens"
        )

    def set_epoch(self, epoch):
        """Called by fairseq before the sentences of each epoch are asked for."""
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)

    def __getitem__(self, index):
        item = super().__getitem__(index)
        positions = self.attention_positions[index]
        drops = self.dropout.share > 0 and self.dropout.dropped(int(self._epoch), len(self))[index]
        item["attention_positions"] = positions[:0] if drops else positions
        return item

    def collater(self, samples, pad_to_length=None):
        batch = super().collater(samples, pad_to_length)
        if not batch:
            return batch
        positions_of = {sample["id"]: sample["attention_positions"] for sample in samples}
        positions = data_utils.collate_tokens([positions_of[i] for i in batch["id"].tolist()], pad_idx=0)
        pad, eos = self.src_dict.pad(), self.src_dict.eos()
        enhanced, _ = enhance_batch(
            batch,
            self.noise.on(batch["net_input"]["src_tokens"], positions, pad=pad, eos=eos),
            pad=pad,
            left_pad=self.left_pad_source,
            attn_positions=self.attn_positions,
            limit=self.limit,
            pad_to_multiple=self.pad_to_multiple,
        )
        return enhanced
