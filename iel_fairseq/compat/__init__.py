"""fairseq 0.12 on today's torch: every patch with its reason.

Nothing here changes what fairseq computes, but where it computes wrongly: ``--diverse-beam-groups``, the batches and
the patience of a training that was started again, its further updates when it was finished, and ``--curriculum``.
"""

from __future__ import annotations

from iel_fairseq.compat import checkpoints, decoding, errors, libraries, ranks, training


def apply() -> None:
    libraries.hide_broken_torchaudio()
    checkpoints.let_safe_loader_read_fairseq()
    checkpoints.explain_unreadable_checkpoints()
    checkpoints.let_options_of_a_training_ask_for_no_extractor()
    checkpoints.explain_unusable_checkpoints()
    checkpoints.run_no_settings()
    checkpoints.write_checkpoints_whole()
    checkpoints.remember_the_data_of_plain_trainings()
    ranks.let_ranks_share_a_checkpoint()
    ranks.let_ranks_connect_when_they_begin()
    ranks.let_ranks_without_gpu_gather()
    libraries.attend_without_cudnn()
    training.tell_tasks_that_a_round_begins()
    training.keep_trainings_apart()
    training.let_a_restart_make_the_same_batches()
    training.let_curricula_end()
    training.remember_patience()
    training.end_where_a_training_has_ended()
    training.join_sets_as_they_are()
    training.look_at_sets_before_they_are_read()
    decoding.let_diverse_beams_decode_any_batch()
    decoding.warn_of_one_pass()
    training.let_bf16_do_without_a_tpu()
    training.look_for_more_validation_sets_in_folders_only()
    errors.print_our_errors_as_one_line()
