"""Algorithm 1 (DESIGN lines 1 to 5), on real models with random weights."""

from __future__ import annotations

import itertools
import pickle
import random

import pytest
import torch
from tiny_models import EOS, PAD, UNK, batch, make_fconv, make_lstm, make_nonautoregressive, make_transformer

from iel_fairseq.attention_words import (
    NotFiniteError,
    _Generation,
    check_extractor,
    extract_attention_words,
    extract_from_batches,
    read_attention_words,
)
from iel_fairseq.errors import IELError
from iel_fairseq.greedy_decoding.transformer_steps import TransformerSteps

MODELS = {
    "transformer": lambda: make_transformer(),
    "transformer-pre-norm-learned": lambda: make_transformer(
        encoder_normalize_before=True, decoder_normalize_before=True, encoder_learned_pos=True, decoder_learned_pos=True
    ),
    "transformer-one-layer": lambda: make_transformer(layers=1),
    "fconv": lambda: make_fconv(),
    "fconv-some-layers-attend": lambda: make_fconv(attention="[True, False, True]"),
    "lstm": lambda: make_lstm(),
}


@pytest.fixture(params=MODELS, scope="module")
def model(request):
    return MODELS[request.param]()


def sentences(count: int, seed: int = 0, longest: int = 9) -> list[list[int]]:
    """Random sentences, unknown words among them, longest first as fairseq's batches are."""
    rng = random.Random(seed)
    made = [[rng.choice([UNK, *range(4, 14)]) for _ in range(rng.randint(1, longest))] for _ in range(count)]
    return sorted(made, key=len, reverse=True)


def naive_algorithm_1(model, sentence: list[int], limit: int = 20) -> tuple[list[int], list[int], list[float]]:
    """One sentence, one full prefix a step, and the attention that fairseq's decoder itself returns."""
    source = torch.tensor([[*sentence, EOS]])
    prefix, hypothesis, positions, scores = [EOS], [], [], []
    with torch.no_grad():
        encoder_out = model.encoder(source, src_lengths=torch.tensor([len(sentence) + 1]))
        for _ in range(limit):
            logits, extra = model.decoder(torch.tensor([prefix]), encoder_out=encoder_out)
            attention = (extra["attn"][0] if isinstance(extra, dict) else extra)[0, -1]
            probabilities = logits[0, -1].softmax(0)
            probabilities[PAD] = 0
            token = int(probabilities.argmax())
            if token == EOS:
                break
            words = attention[: len(sentence)].tolist()
            best = max(range(len(sentence)), key=lambda i: words[i])
            hypothesis.append(token)
            positions.append(best + 1)
            scores.append(words[best])
            prefix.append(token)
    return hypothesis, positions, scores


def unpack(words, row: int) -> tuple[list[int], list[int]]:
    length = int(words.lengths[row])
    assert words.positions[row, length:].eq(0).all()
    assert words.hypotheses[row, length:].eq(PAD).all()
    return words.hypotheses[row, :length].tolist(), words.positions[row, :length].tolist()


def test_batch_equals_naive_algorithm_1(model):
    """Greedy, free-running; highest attention over source words; `</s>` adds nothing (lines 1 to 5)."""
    texts = sentences(24)
    words = extract_attention_words(model, batch(*texts, left_pad=True), max_len_a=0, max_len_b=20)
    seen = set()
    for row, text in enumerate(texts):
        hypothesis, positions, scores = naive_algorithm_1(model, text)
        assert unpack(words, row) == (hypothesis, positions)
        if "FConv" in type(model).__name__:  # fairseq divides by all layers, we by those that attend
            attending = sum(module is not None for module in model.decoder.attention)
            scores = [score * len(model.decoder.attention) / attending for score in scores]
        assert words.scores[row, : len(scores)].tolist() == pytest.approx(scores, abs=1e-5)
        seen.add(tuple(positions))
    assert len(seen) > 12  # the model does look at its input


def test_some_sentences_end_early_and_some_at_the_limit():
    model = make_transformer(seed=8)
    words = extract_attention_words(model, batch(*sentences(60)), max_len_a=0, max_len_b=20)
    lengths = words.lengths.tolist()
    assert min(lengths) < 20
    assert words.hypotheses.ne(EOS).all()


@pytest.mark.parametrize("left_pad", [True, False])
@pytest.mark.parametrize("columns", [10, 14])
def test_padding_changes_nothing(model, left_pad, columns):
    """Line 5: padding side and width."""
    texts = sentences(12, seed=1)
    alone = [unpack(extract_attention_words(model, batch(text), max_len_a=0, max_len_b=12), 0) for text in texts]
    words = extract_attention_words(model, batch(*texts, left_pad=left_pad, columns=columns), max_len_a=0, max_len_b=12)
    assert [unpack(words, row) for row in range(len(texts))] == alone


def test_order_and_batch_size_change_nothing():
    model = make_transformer()
    texts = sentences(12, seed=2)
    together = extract_attention_words(model, batch(*texts), max_len_a=0, max_len_b=12)
    shuffled = list(enumerate(texts))
    random.Random(0).shuffle(shuffled)
    for chunk in (shuffled[:5], shuffled[5:]):
        words = extract_attention_words(model, batch(*(text for _, text in chunk)), max_len_a=0, max_len_b=12)
        for row, (index, _) in enumerate(chunk):
            assert unpack(words, row) == unpack(together, index)


@pytest.mark.parametrize("at_once", [1, 30, 10_000])
def test_batches_that_begin_while_others_end_change_nothing(model, at_once):
    texts = [sentences(count, seed=count) for count in (7, 1, 5, 9, 2)]
    texts.insert(2, [[]])  # generates nothing
    sources = [batch(*some, left_pad=True) for some in texts]
    options = {"max_len_a": 1, "max_len_b": 4}
    found = dict(extract_from_batches(model, enumerate(sources), at_once=at_once, **options))
    assert sorted(found) == list(range(6))
    for number, source in enumerate(sources):
        expected = extract_attention_words(model, source, **options)
        assert torch.equal(found[number].positions, expected.positions)
        assert torch.equal(found[number].hypotheses, expected.hypotheses)
        assert torch.allclose(found[number].scores, expected.scores, atol=1e-5)


def test_no_batches_give_nothing():
    assert list(extract_from_batches(make_transformer(), [])) == []


def planted_attention(monkeypatch, rows: list[list[float]]):
    """Make a Transformer's attention *rows*, one a step, for a batch of one, without padding."""
    planted, step = itertools.cycle(rows), TransformerSteps.step

    def planted_step(self, cohorts, tokens):
        logits, [attention] = step(self, cohorts, tokens)
        return logits, [torch.tensor(next(planted)).expand_as(attention)]

    monkeypatch.setattr(TransformerSteps, "step", planted_step)


def test_end_of_sentence_is_never_an_attention_word_and_ties_go_to_the_lowest(monkeypatch):
    """Line 3, with attention planted over: word word word </s>."""
    model = make_transformer(layers=1)
    planted_attention(monkeypatch, [[0.3, 0.1, 0.1, 0.5], [0.1, 0.2, 0.2, 0.5]])
    words = extract_attention_words(model, batch([5, 6, 7]), max_len_a=0, max_len_b=2)
    assert words.positions.tolist() == [[1, 2]]
    assert words.scores[0].tolist() == pytest.approx([0.3, 0.2])


def test_a_literal_end_of_sentence_in_the_text_is_no_attention_word(monkeypatch):
    model = make_transformer(layers=1)
    planted_attention(monkeypatch, [[0.6, 0.1, 0.2, 0.1]])
    words = extract_attention_words(model, batch([EOS, 6, 7]), max_len_a=0, max_len_b=1)
    assert words.positions.tolist() == [[3]]


def test_padding_hole():
    """A pad symbol inside the sentence is no position: positions count tokens."""
    model = make_transformer()
    expected = extract_attention_words(model, batch([5, 6, 7]), max_len_a=0, max_len_b=8)
    words = extract_attention_words(model, torch.tensor([[PAD, 5, PAD, 6, 7, PAD, EOS, PAD]]), max_len_a=0, max_len_b=8)
    assert torch.equal(words.positions, expected.positions)
    assert torch.equal(words.hypotheses, expected.hypotheses)


def test_sentence_without_words_generates_nothing():
    model = make_transformer()
    words = extract_attention_words(model, batch([5, 6, 7], []), max_len_a=0, max_len_b=6)
    assert words.lengths[1] == 0
    assert words.lengths[0] > 0
    only = extract_attention_words(model, batch([], []))
    assert only.positions.shape == only.hypotheses.shape == only.scores.shape == (2, 0)
    none = extract_attention_words(model, torch.zeros(0, 3, dtype=torch.long))
    assert none.positions.shape == (0, 0)


@pytest.mark.parametrize("make", [make_fconv, lambda **options: make_transformer(encoder_learned_pos=True, **options)])
def test_sentence_beyond_the_models_limit_generates_nothing(make):
    model = make(max_positions=8)
    if make is make_fconv:
        model.decoder.fc3.bias.data[7] = 10  # untrained it ends everything at once
    limit = model.encoder.max_positions()  # with </s>; a ConvS2S counts positions from 2
    longest = [6] * (limit - 1)
    words = extract_attention_words(model, batch([4] * 9, [5] * limit, longest), max_len_a=0, max_len_b=3)
    assert words.lengths[:2].tolist() == [0, 0]
    assert words.lengths[2] > 0
    alone = extract_attention_words(model, batch(longest), max_len_a=0, max_len_b=3)
    assert unpack(words, 2) == unpack(alone, 0)


def test_the_longest_may_be_left_out_of_a_batch():
    """fairseq's LSTM takes no columns that are empty for all."""
    model = make_lstm()
    source = batch([4] * 70, [5] * 4, [6, 7])
    words = extract_attention_words(model, source)
    assert words.lengths[0] == 0
    alone = extract_attention_words(model, batch([5] * 4, [6, 7]))
    assert [unpack(words, row) for row in (1, 2)] == [unpack(alone, row) for row in (0, 1)]
    read = read_attention_words(model, source, words.hypotheses)
    assert torch.equal(read.positions, words.positions)
    assert read.attention.shape[2] == 71


def test_longest_hypothesis_is_computed_for_each_sentence_from_its_own_length():
    model = make_transformer(seed=3)  # which never ends
    texts = [[4] * 10, [5] * 4, [6]]
    words = extract_attention_words(model, batch(*texts))
    assert words.lengths.tolist() == [22, 14, 11]  # 1.2 x I + 10
    words = extract_attention_words(model, batch(*texts), max_len_a=2, max_len_b=0)
    assert words.lengths.tolist() == [20, 8, 2]
    words = extract_attention_words(make_transformer(seed=3, max_positions=16), batch(*texts))
    assert words.lengths.tolist() == [15, 14, 11]  # the decoder's own limit, less one for </s>


def test_default_is_the_last_layer_summed_over_heads():
    """Line 2: choosing the last layer and all heads is the default; other choices read other attention."""
    model = make_transformer(layers=3)
    source = batch(*sentences(20))

    def positions(**options):
        return extract_attention_words(model, source, max_len_a=0, max_len_b=12, **options).positions

    default = positions()
    assert torch.equal(default, positions(layer=2))
    assert torch.equal(default, positions(layer=-1, heads=[0, 1, 2, 3]))
    assert not torch.equal(default, positions(layer=0))
    assert not torch.equal(default, positions(heads=[1]))


def test_single_head_is_read_from_its_own_weights():
    model = make_transformer(layers=1)
    source = batch([4, 5, 6, 7])
    with torch.no_grad():
        encoder_out = model.encoder(source, src_lengths=torch.tensor([5]))
        per_head: list[torch.Tensor] = []
        model.decoder.layers[0].encoder_attn.register_forward_hook(lambda _, __, out: per_head.append(out[1]))
        model.decoder(torch.tensor([[EOS]]), encoder_out=encoder_out)
    for head in range(4):
        words = extract_attention_words(model, source, heads=[head], max_len_a=0, max_len_b=1)
        assert words.positions[0, 0] == int(per_head[0][head, 0, 0, :4].argmax()) + 1


def test_convs2s_layer_can_be_chosen():
    model = make_fconv(attention="[True, False, True]")
    source = batch(*sentences(20))
    first = extract_attention_words(model, source, layer=0, max_len_a=0, max_len_b=12).positions
    last = extract_attention_words(model, source, layer=-1, max_len_a=0, max_len_b=12).positions
    assert not torch.equal(first, last)


def test_convs2s_is_read_even_when_made_fast_for_generation():
    """make_generation_fast_ turns the decoder's own attention output off."""
    model, fast = make_fconv(), make_fconv()
    fast.make_generation_fast_()
    source = batch(*sentences(10))
    expected = extract_attention_words(model, source, max_len_a=0, max_len_b=8)
    assert torch.equal(expected.positions, extract_attention_words(fast, source, max_len_a=0, max_len_b=8).positions)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_transformer, {"layer": 2}, "--attn-layer 2: the extractor has 2 decoder layers, 0 to 1"),
        (make_transformer, {"heads": [0, 4]}, "--attn-heads 4: the extractor has 4 attention heads, 0 to 3"),
        (make_fconv, {"heads": [0]}, "--attn-heads 0: a ConvS2S decoder has no attention heads"),
        (make_fconv, {"layer": -4}, "--attn-layer -4: the extractor has 3 decoder layers"),
        (lambda: make_fconv(attention="[True, False, True]"), {"layer": 1}, "gives no attention in layer 1"),
        (lambda: make_fconv(attention="False"), {}, "FConvDecoder gives no attention"),
        (make_lstm, {"layer": 0}, "not within LSTMDecoder"),
        (lambda: torch.nn.Linear(2, 2), {}, "Linear is not an encoder-decoder"),
        (make_nonautoregressive, {}, "NATransformerModel is not an encoder-decoder"),
    ],
)
def test_attention_that_cannot_be_read_is_a_clear_error(make, options, message):
    with pytest.raises(IELError, match=message) as caught:
        check_extractor(make(), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left_pad", [True, False])
def test_given_hypotheses_are_read_as_generated_ones_are(model, left_pad):
    texts = [*sentences(12), []]
    source = batch(*texts, left_pad=left_pad)
    words = extract_attention_words(model, source, max_len_a=0, max_len_b=12)
    given = [words.hypotheses[row, : words.lengths[row]].tolist() for row in range(len(texts))]
    hypotheses = batch(*given, left_pad=left_pad, columns=14)
    hypotheses[hypotheses.eq(EOS)] = PAD
    again = read_attention_words(model, source, hypotheses)
    assert torch.equal(again.hypotheses, words.hypotheses)
    assert torch.equal(again.positions, words.positions)
    assert torch.allclose(again.scores, words.scores, atol=1e-5)


def test_hypotheses_that_cannot_be_read_have_nothing():
    model = make_transformer(max_positions=8)
    source = batch([4] * 5, [5] * 8, [6])
    hypotheses = torch.tensor([[7] * 3 + [PAD] * 6, [7] * 3 + [PAD] * 6, [7] * 9])
    words = read_attention_words(model, source, hypotheses)
    assert words.lengths.tolist() == [3, 0, 0]
    assert words.hypotheses.tolist() == [[7] * 3, [PAD] * 3, [PAD] * 3]
    assert read_attention_words(model, source, hypotheses[:, :0]).lengths.tolist() == [0, 0, 0]


@pytest.mark.parametrize("function", [extract_attention_words, lambda *args: read_attention_words(*args, batch([4]))])
def test_training_mode_is_refused(function):
    with pytest.raises(ValueError, match="eval mode"):
        function(make_transformer().train(), batch([4]))


@pytest.mark.gpu
def test_gpu_equals_cpu(model):
    texts = sentences(24)
    source = batch(*texts, left_pad=True)
    expected = extract_attention_words(model, source, max_len_a=0, max_len_b=12)
    words = extract_attention_words(model.cuda(), source.cuda(), max_len_a=0, max_len_b=12)
    model.cpu()
    assert torch.equal(expected.positions, words.positions.cpu())
    assert torch.equal(expected.hypotheses, words.hypotheses.cpu())


def test_each_of_many_ends_at_its_own_limit():
    """Also when too few have ended for the batch to be closed up."""
    texts = [[4] * length for length in range(40, 0, -1)]
    words = extract_attention_words(make_transformer(seed=3), batch(*texts), max_len_a=1, max_len_b=0)
    assert words.lengths.tolist() == list(range(40, 0, -1))


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
def test_a_longer_batch_may_follow_a_shorter_one(make):
    model = make(seed=3)
    sources = [batch([4]), batch([5] * 9)]
    found = dict(extract_from_batches(model, enumerate(sources), max_len_a=1, max_len_b=4))
    for number, source in enumerate(sources):
        alone = extract_attention_words(model, source, max_len_a=1, max_len_b=4)
        assert torch.equal(found[number].positions, alone.positions)


@pytest.mark.parametrize("look_every", [2, 8, 100])
@pytest.mark.parametrize(("make", "seed"), [(make_transformer, 8), (make_transformer, 1), (make_fconv, 1)])
def test_who_has_ended_may_be_asked_seldom(make, seed, look_every, monkeypatch):
    """As on a GPU, where asking makes the host wait."""
    model, source = make(seed=seed), batch(*sentences(40))
    expected = extract_attention_words(model, source, max_len_a=1, max_len_b=5)
    begin = _Generation.__init__

    def asked_seldom(generation, *args):
        begin(generation, *args)
        generation._look_every = look_every

    monkeypatch.setattr(_Generation, "__init__", asked_seldom)
    several = [source, batch(*sentences(7, seed=7)), source]
    found = dict(extract_from_batches(model, enumerate(several), at_once=10**6, max_len_a=1, max_len_b=5))
    for words in (extract_attention_words(model, source, max_len_a=1, max_len_b=5), found[0], found[2]):
        assert torch.equal(words.hypotheses, expected.hypotheses)
        assert torch.equal(words.positions, expected.positions)
        assert torch.allclose(words.scores, expected.scores, atol=1e-5)


def test_a_given_hypothesis_may_be_as_long_as_the_decoder_can_read():
    model = make_transformer(max_positions=8)
    for length, found in ((8, 8), (9, 0)):
        hypotheses = torch.full((1, length), 7)
        assert read_attention_words(model, batch([4, 5]), hypotheses).lengths.tolist() == [found]


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
def test_nothing_stays_with_a_model_that_was_read(make):
    model = make().eval()
    extract_attention_words(model, batch(*sentences(5)), max_len_a=1, max_len_b=2)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
def test_a_model_may_be_used_while_it_is_read(make):
    """By the same thread, between two batches: by its owner, or to read others."""
    model = make().eval()
    sources = [batch(*sentences(2, seed=seed)) for seed in range(4)]
    options = {"max_len_a": 1, "max_len_b": 2}
    found = []
    together = [extract_from_batches(model, enumerate(sources[half : half + 2]), **options) for half in (0, 2)]
    for pair in zip(*together, strict=True):
        found.append([words for _, words in pair])
        model(sources[0], (sources[0] != PAD).sum(1), sources[0])
    for number, source in enumerate(sources):
        expected = extract_attention_words(model, source, **options)
        assert torch.equal(found[number % 2][number // 2].positions, expected.positions)


@pytest.mark.parametrize("make", [make_transformer, make_fconv])
def test_scores_are_float32_whatever_the_programs_own_numbers_are(make):
    model, source = make().eval(), batch([4, 5])
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        words = extract_attention_words(model, source)
        assert words.scores.dtype == read_attention_words(model, source, words.hypotheses).scores.dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_no_heads_are_refused_and_those_of_an_iterator_read():
    model, source = make_transformer().eval(), batch([4, 5])
    with pytest.raises(IELError, match="--attn-heads: none are given; leave it out for all"):
        extract_attention_words(model, source, heads=[])
    some = extract_attention_words(model, source, heads=iter([1, 2]))
    assert torch.equal(some.scores, extract_attention_words(model, source, heads=[1, 2]).scores)


def test_errors_go_from_process_to_process():
    error = pickle.loads(pickle.dumps(NotFiniteError([3, 4], 1, "sentence 5", "extractor.pt")))
    assert str(error).startswith("extractor.pt, sentence 5: attention or probabilities are not finite")
    assert (error.batch, error.row, error.model) == ([3, 4], 1, "extractor.pt")


def test_given_hypotheses_are_read_without_probabilities(monkeypatch):
    """Which for many long sentences take more memory than all else."""
    model, source = make_transformer(), batch([4, 5])
    expected = read_attention_words(model, source, batch([6, 7]))
    monkeypatch.delattr(type(model.decoder), "output_layer")
    assert torch.equal(read_attention_words(model, source, batch([6, 7])).attention, expected.attention)
