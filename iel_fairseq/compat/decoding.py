"""The search for translations."""

from __future__ import annotations

import functools


def let_diverse_beams_decode_any_batch() -> None:
    """Let ``--diverse-beam-groups`` find the sentences of a batch by their rows.

    fairseq looks up what a sentence's groups have in common in a tensor with a row for each sentence of the batch, by
    the number that the sentence has in the data set: an ``IndexError``, or the row of another sentence.
    """
    from fairseq.search import DiverseBeamSearch

    search = DiverseBeamSearch.step

    @functools.wraps(search)
    def step(self, time, lprobs, scores, prev_output_tokens=None, original_batch_idxs=None):
        if time == 0:
            self.sentences = original_batch_idxs  # all of the batch; later without those that have ended
        rows = original_batch_idxs.unsqueeze(1).eq(self.sentences).int().argmax(dim=1)
        return search(self, time, lprobs, scores, prev_output_tokens, rows)

    DiverseBeamSearch.step = step
