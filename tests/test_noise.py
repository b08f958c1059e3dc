"""The ablation (DESIGN line 15)."""

from __future__ import annotations

import pytest
import torch
from tiny_models import EOS, PAD, batch

from iel_fairseq.errors import IELError
from iel_fairseq.noise import Noise


def noisy(noise: Noise, source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return noise.on(source, positions, pad=PAD, eos=EOS)


@pytest.mark.parametrize(
    ("share", "words", "replaced"),
    [(0, 7, 0), (0.1, 4, 0), (0.1, 5, 1), (0.5, 3, 2), (0.5, 8, 4), (1, 7, 7), (1, 0, 0)],
)
def test_the_nearest_number_of_words_is_replaced(share, words, replaced):
    """Of a source of 500 words, all drawn at position 1 before: a draw that changes nothing is a matter of 1 in 500."""
    source = batch([4] * 500)
    positions = torch.tensor([[1] * words + [0] * (9 - words)])
    changed = noisy(Noise(share, seed=3), source, positions)
    assert int(changed.ne(positions).sum()) == replaced
    assert changed[0, words:].tolist() == [0] * (9 - words)
    assert changed.dtype == torch.int64


def test_words_are_drawn_uniformly_from_the_source_and_never_the_end_of_the_sentence():
    source = batch([4, 5, EOS, 6], left_pad=True, columns=7)
    drawn = [
        position
        for seed in range(500)
        for position in noisy(Noise(1.0, seed), source, torch.tensor([[1, 1, 2, 2]]))[0].tolist()
    ]
    assert sorted(set(drawn)) == [1, 2, 4]
    assert all(600 < drawn.count(position) < 740 for position in (1, 2, 4))  # of 2,000, a third each


def test_which_words_are_replaced_is_drawn_as_well():
    source, positions = batch([4] * 100), torch.tensor([[1, 1, 1, 1]])
    replaced = torch.stack([noisy(Noise(0.25, seed), source, positions)[0].ne(1) for seed in range(400)])
    assert all(70 < count < 130 for count in replaced.sum(dim=0).tolist())


def test_a_sentence_has_the_same_noise_in_every_batch():
    noise = Noise(0.5, seed=7)
    texts, positions = [[4, 5, 6, 7, 8], [9, 10, 11], [12]], [[1, 2, 3, 4, 5, 5], [3, 2, 1, 0, 0, 0], [0] * 6]
    alone = [
        noisy(noise, batch(text), torch.tensor([row]))[0].tolist() for text, row in zip(texts, positions, strict=True)
    ]
    for left_pad in (True, False):
        for order in ([0, 1, 2], [2, 1, 0]):
            source = batch(*(texts[i] for i in order), left_pad=left_pad, columns=9)
            together = noisy(noise, source, torch.tensor([positions[i] for i in order])).tolist()
            assert together == [alone[i] for i in order]
    assert noisy(Noise(0.5, seed=8), batch(texts[0]), torch.tensor([positions[0]]))[0].tolist() != alone[0]


def test_noise_stays_what_trained_models_have_read():
    """Drawn once, and written down."""
    source, positions = batch([5, 6, 7, 8, 9]), torch.tensor([[1, 2, 3, 4, 5, 5]])
    assert noisy(Noise(0.5, seed=1), source, positions).tolist() == [[2, 2, 1, 4, 2, 5]]


def test_no_sentences_and_no_words():
    assert noisy(Noise(1.0), torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 0, dtype=torch.long)).shape == (0, 0)
    assert noisy(Noise(1.0), batch([], [4]), torch.tensor([[0], [1]])).tolist() == [[0], [1]]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(IELError, match=r"--attn-noise .*: it is a share of the attention words, 0 to 1"):
        Noise(share)
