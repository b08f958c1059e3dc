"""Algorithm 3 (DESIGN lines 6 and 8): x' and p', by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import EOS, PAD, UNK, batch

from iel_fairseq.enhanced_source import enhance_batch, enhance_source, enhanced_length, is_enhanced

A, B, C, D, E = 4, 5, 6, 7, 8
_ = PAD


def enhance(src_tokens, positions, left_pad=False, limit=100, **options):
    return enhance_source(
        torch.as_tensor(src_tokens), torch.as_tensor(positions), pad=PAD, left_pad=left_pad, limit=limit, **options
    )


def test_one_sentence():
    enhanced = enhance([[A, B, C, EOS]], [[2, 2, 1, 3]])
    assert enhanced.tokens.tolist() == [[A, B, C, B, B, A, C, EOS]]
    assert enhanced.lengths.tolist() == [8]
    assert enhanced.origins.tolist() == [[1, 2, 3, 2, 2, 1, 3, 4]]  # </s> keeps position I + 1
    assert enhanced.position_ids(PAD).tolist() == [[2, 3, 4, 3, 3, 2, 4, 5]]  # fairseq counts from padding_idx
    assert enhanced.cut.tolist() == [0]


BATCH = [[A, B, C], [D], [B, UNK]]
POSITIONS = [[3, 1, 0], [1, 1, 1], [2, 0, 0]]
TOKENS = [[A, B, C, C, A, EOS], [D, D, D, D, EOS, _], [B, UNK, UNK, EOS, _, _]]
ORIGINS = [[1, 2, 3, 3, 1, 4], [1, 1, 1, 1, 2, 0], [1, 2, 2, 3, 0, 0]]


@pytest.mark.parametrize("padded_left", [False, True])
def test_batch_from_either_padding_side_to_either(padded_left):
    src_tokens = batch(*BATCH, left_pad=padded_left, columns=6)
    right = enhance(src_tokens, POSITIONS)
    assert right.tokens.tolist() == TOKENS
    assert right.origins.tolist() == ORIGINS
    left = enhance(src_tokens, POSITIONS, left_pad=True)
    assert left.tokens.tolist() == [TOKENS[0], [_, *TOKENS[1][:5]], [_, _, *TOKENS[2][:4]]]
    assert left.origins.tolist() == [ORIGINS[0], [0, *ORIGINS[1][:5]], [0, 0, *ORIGINS[2][:4]]]
    assert right.lengths.tolist() == left.lengths.tolist() == [6, 5, 4]


def test_padding_holes():
    enhanced = enhance([[_, A, _, B, EOS, _]], [[2, 1]])
    assert enhanced.tokens.tolist() == [[A, B, B, A, EOS]]


def test_no_attention_words_leave_the_source_as_it_is():
    for positions in ([[0, 0]], torch.zeros(1, 0, dtype=torch.long)):
        enhanced = enhance([[A, B, EOS]], positions)
        assert enhanced.tokens.tolist() == [[A, B, EOS]]
        assert enhanced.origins.tolist() == [[1, 2, 3]]
    assert enhance([[EOS]], [[0]]).tokens.tolist() == [[EOS]]


@pytest.mark.parametrize(
    ("limit", "tokens", "cut"),
    [
        (8, [A, B, C, C, B, A, A, EOS], 0),
        (7, [A, B, C, C, B, A, EOS], 1),
        (5, [A, B, C, C, EOS], 3),
        (4, [A, B, C, EOS], 4),
        (3, [A, B, C, EOS], 4),  # the plain source itself is never cut: fairseq skips or refuses it
    ],
)
def test_attention_words_are_cut_to_the_limit(limit, tokens, cut):
    enhanced = enhance([[A, B, C, EOS]], [[3, 2, 1, 1]], limit=limit)
    assert enhanced.tokens.tolist() == [tokens]
    assert enhanced.cut.tolist() == [cut]
    assert enhanced.origins[0, -1] == 4
    lengths = enhanced_length(np.array([4]), np.array([4]), limit)
    assert lengths.tolist() == enhanced.lengths.tolist() == [len(tokens)]


def test_pad_to_multiple():
    enhanced = enhance([[A, B, EOS]], [[1, 2]], pad_to_multiple=4, left_pad=True)
    assert enhanced.tokens.tolist() == [[_, _, _, A, B, A, B, EOS]]


def test_empty_batch():
    enhanced = enhance(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 2, dtype=torch.long))
    assert enhanced.tokens.shape == (0, 0)


@pytest.mark.parametrize("attn_positions", [False, True])
def test_enhanced_batch_is_a_new_one_with_the_same_target(attn_positions):
    target = torch.tensor([[D, EOS]])
    plain = {
        "id": torch.tensor([7]),
        "target": target,
        "ntokens": 2,
        "net_input": {
            "src_tokens": torch.tensor([[A, B, EOS]]),
            "src_lengths": torch.tensor([3]),
            "prev_output_tokens": torch.tensor([[EOS, D]]),
        },
    }
    made, _enhanced = enhance_batch(
        plain, torch.tensor([[2]]), pad=PAD, left_pad=True, limit=9, attn_positions=attn_positions
    )
    assert is_enhanced(made)
    assert not is_enhanced(plain)
    assert plain["net_input"]["src_tokens"].tolist() == [[A, B, EOS]]
    assert made["target"] is target
    assert made["net_input"]["prev_output_tokens"] is plain["net_input"]["prev_output_tokens"]
    assert made["net_input"]["src_tokens"].tolist() == [[A, B, B, EOS]]
    assert made["net_input"]["src_lengths"].tolist() == [4]
    assert made["plain_src_len"] == 3
    positions = made["net_input"].get("src_positions")
    assert (None if positions is None else positions.tolist()) == ([[2, 3, 3, 4]] if attn_positions else None)
