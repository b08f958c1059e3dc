"""The enhanced data set (DESIGN lines 6 to 9, 13a), on real data sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fairseq.data import (
    AppendTokenDataset,
    LanguagePairDataset,
    ListDataset,
    StripTokenDataset,
    TruncateDataset,
    data_utils,
)
from tiny_models import EOS, PAD, make_task

from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.dataset import AttnEnhancedDataset, CompleteLanguagePairDataset
from iel_fairseq.errors import IELError
from iel_fairseq.noise import Noise

NO_NOISE = Noise()
NO_DROPOUT = AttnDropout()
SOURCES = [[4, 5, 6], [7], [8, 9], [4, 4, 4, 4], []]
TARGETS = [[10, 11], [12], [13, 10, 11, 12, 13, 10, 11], [10], [11]]
POSITIONS = [[3, 1], [1], [2, 1, 1, 1, 2, 2], [], []]


def sentences(rows: list[list[int]]) -> tuple[list[torch.Tensor], list[int]]:
    return [torch.tensor([*row, EOS]) for row in rows], [len(row) + 1 for row in rows]


def plain_dataset(sources=SOURCES, targets=TARGETS, **options) -> LanguagePairDataset:
    dictionary = make_task().source_dictionary
    src, src_sizes = sentences(sources)
    tgt, tgt_sizes = sentences(targets)
    return LanguagePairDataset(src, src_sizes, dictionary, tgt, tgt_sizes, dictionary, **options)


def attention_positions(rows: list[list[int]]) -> ListDataset:
    return ListDataset([torch.tensor(row, dtype=torch.int64) for row in rows], np.array([len(row) for row in rows]))


def enhanced_dataset(
    attn_positions: bool = True,
    limit: int = 100,
    noise: Noise = NO_NOISE,
    dropout: AttnDropout = NO_DROPOUT,
    **options,
) -> AttnEnhancedDataset:
    positions = attention_positions(POSITIONS)
    plain = plain_dataset(**options)
    return AttnEnhancedDataset(
        plain, positions, attn_positions=attn_positions, limit=limit, noise=noise, dropout=dropout
    )


def test_sizes_are_those_of_the_enhanced_source():
    dataset = enhanced_dataset()
    source_sizes, target_sizes = [6, 3, 9, 5, 1], [3, 2, 8, 2, 2]
    assert dataset.sizes.tolist() == [list(pair) for pair in zip(source_sizes, target_sizes, strict=True)]
    for index in range(5):
        assert dataset.size(index) == (source_sizes[index], target_sizes[index])
        assert dataset.num_tokens(index) == max(source_sizes[index], target_sizes[index])
    assert dataset.num_tokens_vec(np.array([2, 0])).tolist() == [9, 6]
    assert len(dataset) == 5


def test_order_is_by_enhanced_length():
    dataset = enhanced_dataset(shuffle=False)
    assert dataset.ordered_indices().tolist() == [4, 1, 3, 0, 2]
    assert plain_dataset(shuffle=False).ordered_indices().tolist() == [4, 1, 2, 0, 3]


def test_filter_is_by_enhanced_length():
    kept, ignored = enhanced_dataset().filter_indices_by_size(np.arange(5), (6, 6))
    assert kept.tolist() == [0, 1, 3, 4]
    assert list(ignored) == [2]


def test_attention_words_are_cut_to_the_limit_and_counted():
    dataset = enhanced_dataset(limit=6)
    assert dataset.cut.tolist() == [0, 0, 3, 0, 0]
    assert dataset.sizes[:, 0].tolist() == [6, 3, 6, 5, 1]
    assert dataset.collater([dataset[2]])["net_input"]["src_tokens"].tolist() == [[8, 9, 9, 8, 8, EOS]]


@pytest.mark.parametrize("left_pad_source", [True, False])
def test_batch_holds_the_enhanced_source_beside_plain_translations_target(left_pad_source):
    plain = plain_dataset(left_pad_source=left_pad_source)
    dataset = enhanced_dataset(left_pad_source=left_pad_source)
    batch = dataset.collater([dataset[i] for i in (1, 0, 2)])
    expected = plain.collater([plain[i] for i in (1, 0, 2)])
    rows = {
        1: ([7, 7, EOS], [1, 1, 2]),
        0: ([4, 5, 6, 6, 4, EOS], [1, 2, 3, 3, 1, 4]),
        2: ([8, 9, 9, 8, 8, 8, 9, 9, EOS], [1, 2, 2, 1, 1, 1, 2, 2, 3]),
    }
    for row, index in enumerate(batch["id"].tolist()):
        tokens, positions = rows[index]
        padding = [PAD] * (9 - len(tokens))
        ids = [PAD + position for position in positions]
        assert batch["net_input"]["src_tokens"][row].tolist() == (
            padding + tokens if left_pad_source else tokens + padding
        )
        assert batch["net_input"]["src_positions"][row].tolist() == (
            padding + ids if left_pad_source else ids + padding
        )
        assert batch["net_input"]["src_lengths"][row] == len(tokens)
    assert batch["plain_src_len"] == 4
    for key in ("id", "target", "ntokens", "nsentences"):
        assert torch.equal(torch.as_tensor(batch[key]), torch.as_tensor(expected[key]))
    assert torch.equal(batch["net_input"]["prev_output_tokens"], expected["net_input"]["prev_output_tokens"])


def test_positions_off_gives_the_model_none():
    dataset = enhanced_dataset(attn_positions=False)
    assert set(dataset.collater([dataset[0]])["net_input"]) == {"src_tokens", "src_lengths", "prev_output_tokens"}


def test_workers_and_prefetch():
    dataset = enhanced_dataset()
    assert dataset.collater([]) == {}
    assert dataset.supports_prefetch is False
    loader = torch.utils.data.DataLoader(
        dataset, batch_sampler=[[0, 1], [2, 3]], collate_fn=dataset.collater, num_workers=2
    )
    assert [batch["id"].tolist() for batch in loader] == [[0, 1], [3, 2]]
    dataset.set_epoch(2)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 1014])
@pytest.mark.parametrize("make", ["complete", "enhanced"])
def test_no_sentence_is_lost_to_batching(size, make):
    """Line 13a. fairseq drops the last batch when its size is not a multiple of 8."""
    rng = np.random.default_rng(0)
    rows = [[4] * length for length in rng.integers(1, 30, size)]
    plain = plain_dataset(rows, rows)
    dataset = CompleteLanguagePairDataset(plain)
    if make == "enhanced":
        dataset = AttnEnhancedDataset(
            plain, attention_positions([[1]] * size), attn_positions=False, limit=99, noise=NO_NOISE, dropout=NO_DROPOUT
        )
    indices = dataset.ordered_indices()
    batches = dataset.batch_by_size(indices, max_tokens=500, required_batch_size_multiple=8)
    assert np.concatenate(batches).tolist() == indices.tolist()
    assert all(len(batch) * max(dataset.num_tokens(i) for i in batch) <= 500 for batch in batches)
    assert len(dataset.batch_by_size(indices[:0], max_tokens=500, required_batch_size_multiple=8)) == 0
    # as fairseq batches, but for what it drops
    same = data_utils.batch_by_size(
        indices, dataset.num_tokens, dataset.num_tokens_vec(indices), max_tokens=500, required_batch_size_multiple=8
    )
    assert [batch.tolist() for batch in batches[: len(same)]] == [batch.tolist() for batch in same]


def test_what_is_cut_is_counted_by_what_the_sources_are():
    """Line 8: with ``--truncate-source`` fairseq counts one token more of sources that it does not cut."""
    plain = plain_dataset([[4, 5], [6], [7, 8, 9]], [[10]] * 3)
    truncated = StripTokenDataset(ListDataset(plain.src, plain.src_sizes), EOS)
    source = AppendTokenDataset(TruncateDataset(truncated, 20), EOS)
    plain = LanguagePairDataset(source, source.sizes, plain.src_dict, plain.tgt, plain.tgt_sizes, plain.tgt_dict)
    assert plain.src_sizes.tolist() == [4, 3, 5]
    dataset = AttnEnhancedDataset(
        plain, attention_positions([[1] * 5] * 3), attn_positions=False, limit=8, noise=NO_NOISE, dropout=NO_DROPOUT
    )
    assert dataset.cut.tolist() == [0, 0, 1]
    for index, cut in enumerate([0, 0, 1]):
        tokens = dataset.collater([dataset[index]])["net_input"]["src_tokens"]
        assert tokens.size(1) == len(source[index]) + 5 - cut


def test_noise_replaces_words_and_their_positions_alike_and_no_size():
    clean, noisy = enhanced_dataset(), enhanced_dataset(noise=Noise(1.0, seed=5))
    assert noisy.sizes.tolist() == clean.sizes.tolist()
    batch = noisy.collater([noisy[i] for i in range(5)])
    assert (
        batch["net_input"]["src_tokens"]
        .ne(clean.collater([clean[i] for i in range(5)])["net_input"]["src_tokens"])
        .any()
    )
    for tokens, positions in zip(batch["net_input"]["src_tokens"], batch["net_input"]["src_positions"], strict=True):
        words = [(int(token), int(position)) for token, position in zip(tokens, positions, strict=True) if token != PAD]
        first = {position: token for token, position in reversed(words)}  # in the plain source
        assert all(first[position] == token for token, position in words)
    again = noisy.collater([noisy[i] for i in range(5)])
    assert torch.equal(again["net_input"]["src_tokens"], batch["net_input"]["src_tokens"])


def test_dropped_sentences_are_those_of_the_plain_data_set():
    """x' = x and p' = 1..I+1; sizes stay, so that batches hold in every epoch."""
    dataset = enhanced_dataset(dropout=AttnDropout(1.0))
    assert dataset.sizes.tolist() == enhanced_dataset().sizes.tolist()
    plain = plain_dataset()
    found, expected = (each.collater([each[i] for i in range(5)]) for each in (dataset, plain))
    assert torch.equal(found["net_input"]["src_tokens"], expected["net_input"]["src_tokens"])
    assert torch.equal(found["net_input"]["src_lengths"], expected["net_input"]["src_lengths"])
    tokens, positions = found["net_input"]["src_tokens"], found["net_input"]["src_positions"]
    counted = tokens.ne(PAD).cumsum(dim=1) + PAD
    assert torch.equal(positions, counted.masked_fill(tokens.eq(PAD), PAD))


def seen_by_training(dataset: AttnEnhancedDataset, num_workers: int, epoch: int, epochs: int = 1, offset: int = 0):
    """What fairseq-train gets: for each epoch, the source lengths by sentence; it begins in *epoch* at *offset*."""
    iterator = make_task().get_batch_iterator(
        dataset, max_sentences=1, num_workers=num_workers, epoch=epoch, data_buffer_size=2
    )
    iterator.load_state_dict({"version": 2, "epoch": epoch, "iterations_in_epoch": offset, "shuffle": True})
    for _ in range(epochs):
        batches = list(iterator.next_epoch_itr(shuffle=True))
        yield {int(batch["id"]): int(batch["net_input"]["src_lengths"]) for batch in batches}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_dropout_is_another_in_each_epoch_and_the_same_in_each_process(num_workers):
    """Those that load batches live on from epoch to epoch."""
    dataset = enhanced_dataset(dropout=AttnDropout(0.5, seed=0))
    plain, enhanced = [4, 2, 3, 5, 1], [6, 3, 9, 5, 1]
    drops = [dataset.dropout.dropped(epoch, 5).tolist() for epoch in (1, 2, 3, 4)]
    assert len({tuple(row) for row in drops}) == 4
    expected = [{index: (plain if dropped else enhanced)[index] for index, dropped in enumerate(row)} for row in drops]
    assert list(seen_by_training(dataset, num_workers, 1, epochs=4)) == expected
    assert list(seen_by_training(enhanced_dataset(dropout=dataset.dropout), num_workers, 3, epochs=2)) == expected[2:]
    [rest] = seen_by_training(enhanced_dataset(dropout=dataset.dropout), num_workers, 3, offset=2)
    assert len(rest) == 3
    assert rest.items() <= expected[2].items()


def test_the_share_that_is_dropped():
    dropped = [AttnDropout(0.3, seed=1).dropped(epoch, 100) for epoch in range(20)]
    assert 540 < sum(each.sum() for each in dropped) < 660
    assert not AttnDropout(0.0).dropped(1, 50).any()
    assert AttnDropout(1.0).dropped(1, 50).all()
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(IELError, match=r"--attn-dropout .*: it is a share of the training sentences, 0 to 1"):
            AttnDropout(share)
