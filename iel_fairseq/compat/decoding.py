"""The decoding of checkpoints."""

from __future__ import annotations

import functools
import logging

logger = logging.getLogger(__name__)


def let_diverse_beams_decode_any_batch() -> None:
    """Let ``--diverse-beam-groups`` find the sentences of a batch by their rows.

    fairseq looks up what a sentence's groups have in common in a tensor with a row for each sentence of the batch, by
    the number that the sentence has in the data set: an ``IndexError``, or the row of another sentence.
    """
    from fairseq.search import DiverseBeamSearch

    search = DiverseBeamSearch.step

    @functools.wraps(search)
    def step_by_rows(self, step, lprobs, scores, prev_output_tokens=None, original_batch_idxs=None):
        if original_batch_idxs is None:
            return search(self, step, lprobs, scores, prev_output_tokens)
        if step == 0:
            self.sentences = original_batch_idxs  # all of the batch; later without those that have ended
        rows = original_batch_idxs.unsqueeze(1).eq(self.sentences).int().argmax(dim=1)
        return search(self, step, lprobs, scores, prev_output_tokens, rows)

    DiverseBeamSearch.step = step_by_rows


def warn_of_one_pass() -> None:
    """Say so when a model that was trained on attention words is to decode without them.

    Without ``--task`` fairseq's commands take the task ``translation``, whatever the checkpoint was trained with.
    """
    from fairseq.tasks import FairseqTask

    from iel_fairseq.enhancement import Enhancement

    load = FairseqTask.load_state_dict

    @functools.wraps(load)
    def load_state_dict(task, state_dict):
        load(task, state_dict)
        trained = Enhancement.from_task_state(state_dict)
        two_passes = trained.extractor is not None or trained.reads_itself
        if two_passes and not hasattr(task, "enhancement"):
            logger.warning(
                "the model was trained on attention words, and this task appends none: "
                "give --task attn_enhanced_translation, which decodes in two passes, unless the text has them already"
            )

    FairseqTask.load_state_dict = load_state_dict
