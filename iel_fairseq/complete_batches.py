"""Data sets that lose no sentence."""

from __future__ import annotations


class CompleteBatches:
    """For fairseq's data sets, before them in the order of inheritance: every sentence is in some batch.

    Since 0.12.3 fairseq drops the whole last batch when its size is not a multiple of
    ``--required-batch-size-multiple`` (8 by default).
    """

    def batch_by_size(self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1):
        """Batches of *indices*, in their order, as fairseq makes them, with the last one where it belongs."""
        if len(indices) == 0:
            return []
        batches = super().batch_by_size(indices, max_tokens, max_sentences, required_batch_size_multiple)  # type: ignore[misc]
        dropped = indices[sum(len(batch) for batch in batches) :]
        return [*batches, dropped] if len(dropped) else batches
