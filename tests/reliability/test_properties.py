"""What holds for any batch, against the same computed sentence by sentence with lists."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from fairseq.data import FairseqDataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import EOS, PAD, make_fconv, make_transformer

from iel_fairseq.alignment_error import alignment_scores, read_alignments, read_gold
from iel_fairseq.attention_words import MAX_LEN_A, MAX_LEN_B, extract_attention_words
from iel_fairseq.attn_dropout import AttnDropout
from iel_fairseq.complete_batches import CompleteBatches
from iel_fairseq.enhanced_source import enhance_source, enhanced_length
from iel_fairseq.noise import Noise
from iel_fairseq.padding import right_padded
from iel_fairseq.readings import Reading, joined_readings

Sentence = list[int]


@st.composite
def batches(
    draw, max_sentences: int = 5, max_words: int = 12, holes: bool = True
) -> tuple[list[Sentence], torch.Tensor]:
    """Sentences, without ``</s>``; and with it as a batch, int64, with padding on a side, or anywhere."""
    sentences = draw(st.lists(st.lists(st.integers(4, 13), max_size=max_words), min_size=1, max_size=max_sentences))
    width = max(len(sentence) + 1 for sentence in sentences) + draw(st.integers(0, 3))
    where = draw(st.sampled_from(["left", "right", "anywhere"]))
    rows = []
    for sentence in sentences:
        tokens = [*sentence, EOS]
        padding = [PAD] * (width - len(tokens))
        if where == "anywhere":
            places = sorted(draw(st.permutations(range(width)))[: len(tokens)])
            rows.append([tokens[places.index(column)] if column in places else PAD for column in range(width)])
        else:
            rows.append([*padding, *tokens] if where == "left" else [*tokens, *padding])
    return sentences, torch.tensor(rows)


@st.composite
def batches_with_positions(draw) -> tuple[list[Sentence], torch.Tensor, list[list[int]], torch.Tensor]:
    """The same, with attention positions of each sentence; these also as int64 ``(B, J)``, 0 behind their end."""
    sentences, src_tokens = draw(batches())
    positions = [
        draw(st.lists(st.integers(1, len(sentence)), max_size=15)) if sentence else [] for sentence in sentences
    ]
    columns = max(map(len, positions)) + draw(st.integers(0, 2))
    return (
        sentences,
        src_tokens,
        positions,
        torch.tensor([row + [0] * (columns - len(row)) for row in positions]).long(),
    )


@given(batches())
def test_padding_anywhere_is_moved_to_the_end(batch):
    sentences, src_tokens = batch
    front, lengths = right_padded(src_tokens, PAD)
    longest = max(map(len, sentences)) + 1
    assert lengths.tolist() == [len(sentence) + 1 for sentence in sentences]
    assert front.tolist() == [[*row, EOS] + [PAD] * (longest - len(row) - 1) for row in sentences]


@given(batches_with_positions(), st.booleans(), st.integers(1, 40), st.integers(1, 5))
def test_enhanced_source(batch, left_pad, limit, multiple):
    """Algorithm 3: x1..xI α1..αJ </s>, of which so many α are cut that it fits, and no x."""
    sentences, src_tokens, positions, padded = batch
    found = enhance_source(src_tokens, padded, pad=PAD, left_pad=left_pad, limit=limit, pad_to_multiple=multiple)
    tokens, origins, cut = [], [], []
    for sentence, places in zip(sentences, positions, strict=True):
        kept = places[: max(0, limit - len(sentence) - 1)]
        cut.append(len(places) - len(kept))
        tokens.append([*sentence, *(sentence[place - 1] for place in kept), EOS])
        origins.append([*range(1, len(sentence) + 1), *kept, len(sentence) + 1])
    width = max(map(len, tokens))
    while width % multiple:
        width += 1

    def pad(rows: list[list[int]], value: int) -> list[list[int]]:
        return [[value] * (width - len(row)) + row if left_pad else row + [value] * (width - len(row)) for row in rows]

    assert found.tokens.tolist() == pad(tokens, PAD)
    assert found.origins.tolist() == pad(origins, 0)
    assert found.lengths.tolist() == [len(row) for row in tokens]
    assert found.cut.tolist() == cut
    lengths, words = (np.array([len(row) for row in rows]) for rows in (sentences, positions))
    assert enhanced_length(lengths + 1, words, limit).tolist() == found.lengths.tolist()


@given(batches_with_positions(), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_noise(batch, share, seed):
    """As many words as the share says, at most, are others; words of the same sentence; whatever the batch."""
    sentences, src_tokens, positions, padded = batch
    noise = Noise(share, seed)
    before = padded.clone()
    noisy = noise.on(src_tokens, padded, pad=PAD, eos=EOS)
    assert padded.equal(before)
    for sentence, places, row in zip(sentences, positions, noisy.tolist(), strict=True):
        assert row[len(places) :] == [0] * (len(row) - len(places))
        changed = sum(now != then for now, then in zip(row, places, strict=False))
        assert changed <= int(share * len(places) + 0.5)
        assert all(1 <= place <= len(sentence) for place in row[: len(places)])
        alone = noise.on(torch.tensor([[*sentence, EOS]]), torch.tensor([places]).long(), pad=PAD, eos=EOS)
        assert alone.tolist() == [row[: len(places)]]


@given(st.floats(0, 1), st.integers(0, 2**31 - 1), st.integers(1, 100))
def test_attn_dropout(share, seed, epoch):
    """By Hoeffding's inequality the bound is missed once in a hundred million."""
    dropped = AttnDropout(share, seed).dropped(epoch, 1000)
    assert abs(dropped.sum() - 1000 * share) <= 98
    again = AttnDropout(share, seed).dropped(epoch + 1, 1000), AttnDropout(share, seed).dropped(epoch, 1000)
    assert (again[1] == dropped).all()


class Sizes(FairseqDataset):
    """A data set of which nothing but the sizes is known."""

    def __init__(self, sizes: list[int]):
        self.sizes = np.array(sizes)

    def num_tokens(self, index: int) -> int:
        return self.sizes[index]

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return self.sizes[indices]


class Complete(CompleteBatches, Sizes):
    pass


@given(
    st.lists(st.integers(1, 20), max_size=40),
    st.none() | st.integers(20, 60),
    st.none() | st.integers(1, 9),
    st.integers(1, 9),
)
def test_complete_batches(sizes, max_tokens, max_sentences, multiple):
    """Each sentence is in one batch, in the order that was asked for, and no batch is too large."""
    indices = np.argsort(sizes, kind="stable")
    found = Complete(sizes).batch_by_size(indices, max_tokens, max_sentences, multiple)
    assert [index for batch in found for index in batch] == indices.tolist()
    for batch in found:
        assert max_sentences is None or len(batch) <= max_sentences
        assert max_tokens is None or len(batch) * max(sizes[index] for index in batch) <= max_tokens


LINKS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(st.lists(st.tuples(LINKS, LINKS, LINKS), min_size=1, max_size=4), st.booleans(), st.data())
def test_alignment_error(tmp_path_factory, pairs, naacl, data):
    """Of files in Pharaoh's and NAACL's format, by the definitions of Och and Ney, in fractions."""
    folder = tmp_path_factory.mktemp("links")
    pairs = [(sure, possible | sure, found) for sure, possible, found in pairs]
    lines = []
    for number, (sure, possible, _) in enumerate(pairs, start=1):
        links = data.draw(st.permutations(sorted(possible)))
        if naacl:
            lines += [f"{number} {i + 1} {j + 1} {'S' if (i, j) in sure else 'P'}" for i, j in links]
        else:
            lines.append(" ".join(f"{i}{'-' if (i, j) in sure else 'p'}{j}" for i, j in links))
    (folder / "gold").write_text("".join(f"{line}\n" for line in lines))
    (folder / "found").write_text("".join(" ".join(f"{i}-{j}" for i, j in sorted(found)) + "\n" for *_, found in pairs))
    found = read_alignments(str(folder / "found"))
    assert [set(links) for links in found] == [links for *_, links in pairs]
    if naacl and not lines:
        return  # an empty file does not tell its format
    gold = read_gold(str(folder / "gold"), "found", len(pairs))
    assert [(set(each.sure), set(each.possible)) for each in gold] == [(sure, possible) for sure, possible, _ in pairs]
    sure, links = (sum(len(pair[place]) for pair in pairs) for place in (0, 2))
    if not sure or not links:
        with pytest.raises(ValueError, match=r"no sure link|no link"):
            alignment_scores(gold, found)
        return
    scores = alignment_scores(gold, found)
    both = sum(len(pair[2] & pair[0]) for pair in pairs), sum(len(pair[2] & pair[1]) for pair in pairs)
    assert scores.error_rate == pytest.approx(float(1 - Fraction(sum(both), sure + links)))
    assert scores.precision == pytest.approx(float(Fraction(both[1], links)))
    assert scores.recall == pytest.approx(float(Fraction(both[0], sure)))


PIECES = st.lists(st.sampled_from(["a", "b@@", "ç", "@@", "@-@", "<x>", '"', "&amp;@@"]), max_size=7)


@given(PIECES.filter(len), PIECES, st.data())
def test_readings(source, hypothesis, data):
    """What is written is what is read; in whole words, links are those of their pieces."""
    positions = [data.draw(st.integers(1, len(source))) for _ in hypothesis]
    weights = [[data.draw(st.integers(0, 100)) / 100 for _ in range(len(source) + 1)] for _ in hypothesis]
    reading = Reading(source, hypothesis, [[at] for at in positions], np.array(weights).reshape(-1, len(source) + 1))
    line = json.dumps(reading.values)
    assert json.loads(line)["attention_words"] == [source[at - 1] for at in positions]
    assert json.dumps(Reading.of(line).values) == line

    def word_of(pieces: list[str]) -> list[int]:
        """For each piece the number of its word."""
        numbers, number = [], 0
        for piece in pieces:
            numbers.append(number)
            number += not piece.endswith("@@")
        return numbers

    of_source, of_hypothesis = word_of(source), word_of(hypothesis)
    [joined] = joined_readings([reading])
    links = {(of_source[at - 1], of_hypothesis[j]) for j, at in enumerate(positions)}
    assert {(at - 1, j) for j, places in enumerate(joined.positions) for at in places} == links
    assert "".join(joined.source) == "".join(piece.removesuffix("@@") for piece in source)
    assert joined.attention.sum() == pytest.approx(
        sum(sum(row) / of_hypothesis.count(word) for row, word in zip(weights, of_hypothesis, strict=True))
    )


LONGEST = 9
"""Tokens that the models read and write."""


@pytest.fixture(scope="module", params=[make_transformer, make_fconv])
def model(request):
    return request.param(max_positions=LONGEST)


@given(
    batches(max_sentences=4, max_words=LONGEST + 1), st.sampled_from([(MAX_LEN_A, MAX_LEN_B), (0.5, 2), (0, 1), (1, 0)])
)
def test_attention_words_of_a_batch_are_those_of_its_sentences(model, batch, bound):
    """Algorithm 1; J is at most A x I + B, and what the model can write; nothing for what it cannot read."""
    sentences, src_tokens = batch
    options = dict(zip(("max_len_a", "max_len_b"), bound, strict=True))
    found = extract_attention_words(model, src_tokens, **options)
    for row, sentence in enumerate(sentences):
        length = int(found.lengths[row])
        positions = found.positions[row].tolist()
        assert positions[length:] == [0] * (len(positions) - length)
        assert found.hypotheses[row].tolist()[length:] == [PAD] * (len(positions) - length)
        if not sentence or len(sentence) + 1 > LONGEST:
            assert length == 0
            continue
        assert length <= min(int(bound[0] * len(sentence) + bound[1]), LONGEST - 1)
        assert all(1 <= at <= len(sentence) for at in positions[:length])
        alone = extract_attention_words(model, torch.tensor([[*sentence, EOS]]), **options)
        assert alone.positions[0].tolist() == positions[:length]
        assert alone.hypotheses[0].tolist() == found.hypotheses[row].tolist()[:length]
