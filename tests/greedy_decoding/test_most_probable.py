"""The word with the largest logit: whatever way it is found, it is the first of the largest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from iel_fairseq.greedy_decoding import most_probable
from iel_fairseq.greedy_decoding.most_probable import MostProbable, RoundedWords, argmax, has_8_bit_products

PADDING = 1


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
def test_argmax_is_the_first_of_the_largest(columns):
    generator = torch.Generator().manual_seed(columns)
    scores = torch.randint(-5, 5, (300, columns), generator=generator).float()  # full of ties
    scores[0] = -torch.inf
    found, largest = argmax(scores)
    assert torch.equal(found, scores.argmax(dim=1))
    assert torch.equal(largest, scores.amax(dim=1))


def trained(words: int, dimensions: int = 32, rows: int = 300) -> tuple[Tensor, Tensor]:
    """Weights, and outputs that are near one of them, or between two."""
    generator = torch.Generator().manual_seed(words)
    weight = torch.randn(words, dimensions, generator=generator)
    first, second = (weight[torch.randint(2, words, (rows,), generator=generator)] for _ in range(2))
    return weight, torch.where(torch.arange(rows).unsqueeze(1) % 2 == 0, first, first + 0.99 * second)


def by_rounding(weight: Tensor, x: Tensor, monkeypatch) -> tuple[Tensor, Tensor, int]:
    """The words, their logits, and how many rows had no need of all logits."""
    among: list[int] = []
    real = MostProbable._among
    monkeypatch.setattr(
        MostProbable, "_among", lambda self, x, *found: [real(self, x, *found), among.append(len(x))][0]
    )
    monkeypatch.setattr(most_probable, "has_8_bit_products", lambda weight: True)
    return (*MostProbable(weight, PADDING)(x), sum(among))


def exactly(weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    logits = x.double() @ weight.double().t()
    logits[:, PADDING] = -torch.inf
    return logits.argmax(dim=1), logits.amax(dim=1)


@pytest.mark.parametrize("words", [50, 64, 65, 1000])
def test_rounded_numbers_find_the_same_word(words, monkeypatch):
    weight, x = trained(words)
    found, logits, among = by_rounding(weight, x, monkeypatch)
    expected, largest = exactly(weight, x)
    assert torch.equal(found, expected)
    assert torch.allclose(logits, largest.float(), rtol=1e-5)
    assert among == len(x)
    alone = MostProbable(weight, PADDING)
    assert torch.equal(found, torch.cat([alone(row.unsqueeze(0))[0] for row in x]))  # too few to round


def outlier(weight: Tensor, x: Tensor) -> None:
    """One number so large that nearly all others are rounded to nothing."""
    weight[7, 3] = 100


def tiny_differences(weight: Tensor, x: Tensor) -> None:
    weight[40:60] = weight[40] * (1 + 1e-4 * torch.arange(20).unsqueeze(1))
    x[:] = weight[40] + 0.001 * x


def ties(weight: Tensor, x: Tensor) -> None:
    weight[60:] = weight[: len(weight) - 60].clone()


def nothing(weight: Tensor, x: Tensor) -> None:
    x[::3] = 0
    weight[10:20] = 0


def padding_is_largest(weight: Tensor, x: Tensor) -> None:
    weight[PADDING] = 3 * weight[5]
    x[::2] = weight[5]


def alike(weight: Tensor, x: Tensor) -> None:
    weight *= 1e-3
    weight += 1
    x[:] = x.abs()


def tiny(weight: Tensor, x: Tensor) -> None:
    """Squares of these numbers are 0."""
    generator = torch.Generator().manual_seed(1)
    weight[40:46] = weight[40] + 0.02 * torch.randn(6, weight.size(1), generator=generator)
    x[:] = weight[40] + 0.1 * torch.randn(x.shape, generator=generator)
    weight *= 1e-24


@pytest.mark.parametrize("change", [tiny, outlier, tiny_differences, ties, nothing, padding_is_largest, alike])
def test_rounded_numbers_are_never_trusted_too_far(change: Callable[[Tensor, Tensor], None], monkeypatch):
    weight, x = trained(500)
    change(weight, x)
    found, logits, _ = by_rounding(weight, x, monkeypatch)
    expected, largest = exactly(weight, x)
    assert torch.allclose(logits, largest.float(), rtol=1e-5, atol=0)
    different = found != expected
    assert (
        not different.any() if change in (ties, nothing, tiny) else different.float().mean() < 0.01
    )  # not told by float32
    assert not (found == PADDING).any()


def test_the_true_word_is_always_among_the_candidates():
    """The bound holds, and it is not far too wide."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(640, 16, generator=generator) * torch.rand(640, 1, generator=generator)
        x = torch.randn(64, 16, generator=generator) ** 3
        row, word = RoundedWords.of(weight, PADDING, 64).candidates(x)
        expected, _ = exactly(weight, x)
        assert all(((row == i) & (word == best)).any() for i, best in enumerate(expected))
        assert len(row) < 3 * len(x)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["x", "weight"])
def test_what_is_not_finite_is_not_hidden(value, where, monkeypatch):
    weight, x = trained(1000)
    (x if where == "x" else weight)[5, 2] = value
    _, logits, _ = by_rounding(weight, x, monkeypatch)
    hidden = logits[5:6] if where == "x" else logits[x[:, 2] * value != -torch.inf]
    assert not hidden.isfinite().any()
    if where == "x":
        assert logits.isfinite().sum() == len(x) - 1


def test_an_untrained_models_numbers_are_not_rounded_twice(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.ones(5000, 8) + 1e-4 * torch.randn(5000, 8, generator=generator), torch.ones(200, 8)
    tried: list[int] = []
    real = RoundedWords.candidates
    monkeypatch.setattr(RoundedWords, "candidates", lambda self, x: [real(self, x), tried.append(len(x))][0])
    monkeypatch.setattr(most_probable, "has_8_bit_products", lambda weight: True)
    find = MostProbable(weight, PADDING)
    for _ in range(3):
        found, _ = find(x)
        assert torch.equal(found, (x @ weight.t()).index_fill(1, torch.tensor([PADDING]), -torch.inf).argmax(dim=1))
    assert len(tried) == 1


def test_where_numbers_are_rounded():
    assert not has_8_bit_products(torch.ones(2, 2, dtype=torch.float16))
    assert not has_8_bit_products(torch.ones(2, 2, device="meta"))
    assert has_8_bit_products(torch.ones(2, 2)) in (True, False)


def test_errors_of_rounding_that_add_up_are_allowed_for():
    weight = torch.zeros(64, 2)
    weight[5], weight[6], weight[7] = (
        torch.tensor([10.49, 10.49]),
        torch.tensor([10.51, 10.46]),
        torch.tensor([127, -127.0]),
    )
    rows, words = RoundedWords.of(weight, PADDING, 32).candidates(torch.full((32, 2), 127.0))
    assert {(row, 5) for row in range(32)} <= set(zip(rows.tolist(), words.tolist(), strict=True))
