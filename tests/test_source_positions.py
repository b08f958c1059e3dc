"""The override of encoder positions (DESIGN lines 6 and 7), on real models."""

from __future__ import annotations

import pytest
import torch
from fairseq import utils
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import EOS, PAD, batch, make_fconv, make_lstm, make_transformer

from iel_fairseq.errors import IELError
from iel_fairseq.source_positions import accept_source_positions

MODELS = {
    "transformer-sinusoidal": lambda: make_transformer(),
    "transformer-learned": lambda: make_transformer(encoder_learned_pos=True),
    "fconv": lambda: make_fconv(),
}
SOURCE = batch([4, 5, 6], [7], left_pad=True)
PREVIOUS = torch.tensor([[EOS, 4, 5], [EOS, 6, PAD]])


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


@pytest.fixture
def plain(make):
    return make()


@pytest.fixture
def model(make):
    """The same model, with the override."""
    made = make()
    accept_source_positions(made)
    return made


def output(model, **net_input):
    with torch.no_grad():
        return model(SOURCE, torch.tensor([4, 2]), PREVIOUS, **net_input)[0]


def test_without_positions_the_model_is_what_it_was(plain, model):
    assert torch.equal(output(model), output(plain))


def test_fairseqs_own_positions_given_explicitly_change_nothing(plain, model):
    own = utils.make_positions(SOURCE, PAD)
    assert torch.equal(output(model, src_positions=own), output(plain))


def test_given_positions_are_those_that_are_embedded(plain, model):
    """By hand: the positional part of the encoder's input is row p of the embedding table."""
    seen = []
    model.encoder.embed_positions.register_forward_hook(lambda _, __, out: seen.append(out))
    positions = torch.tensor([[2, 4, 4, 5], [PAD, PAD, 3, 2]])
    moved = output(model, src_positions=positions)
    learned = hasattr(plain.encoder.embed_positions, "weight")
    table = plain.encoder.embed_positions.weight if learned else plain.encoder.embed_positions.weights
    assert torch.equal(seen[0], table[positions])
    assert not torch.equal(moved, output(plain))


def test_positions_last_for_one_call(plain, model):
    output(model, src_positions=torch.full_like(SOURCE, 3))
    assert torch.equal(output(model), output(plain))
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever a wrong shape raises)
        output(model, src_positions=torch.zeros(2, 9, dtype=torch.long))
    assert torch.equal(output(model), output(plain))


def test_same_state_dict_and_parameters(plain, model):
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(model.state_dict())
    model.load_state_dict(plain.state_dict())
    accept_source_positions(model)  # twice is once
    assert torch.equal(output(model), output(plain))


def test_decoder_positions_are_untouched(plain, model):
    assert type(model.decoder.embed_positions) is type(plain.decoder.embed_positions)


def test_learned_positions_are_trained():
    model = make_fconv()
    accept_source_positions(model)
    model.train()
    model(SOURCE, torch.tensor([4, 2]), PREVIOUS, src_positions=torch.full_like(SOURCE, 9))[0].sum().backward()
    gradient = model.encoder.embed_positions.weight.grad
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [9]


def test_beam_search_takes_positions(plain, model):
    """SequenceGenerator calls encoder.forward with what is in net_input."""
    generator = SequenceGenerator([model], model.decoder.dictionary, beam_size=3, max_len_b=5)

    def decode(**extra):
        sample = {"net_input": {"src_tokens": SOURCE, "src_lengths": torch.tensor([4, 2]), **extra}}
        return [hypotheses[0]["positional_scores"].tolist() for hypotheses in generator.generate([model], sample)]

    ordinary = decode()
    assert decode(src_positions=utils.make_positions(SOURCE, PAD)) == ordinary
    assert decode(src_positions=torch.where(SOURCE.eq(PAD), PAD, 3)) != ordinary


@pytest.mark.parametrize("length", [8, 9, 21])  # the table is made for eight
def test_sinusoidal_table_grows_as_fairseqs_does(length):
    model = make_transformer(max_positions=8)
    accept_source_positions(model)
    source = batch((list(range(4, 14)) * 2)[: length - 1])
    positions = torch.arange(2, length + 2).unsqueeze(0)
    with torch.no_grad():
        given = model.encoder(source, torch.tensor([length]), src_positions=positions)["encoder_out"][0]
        ordinary = make_transformer(max_positions=8).encoder(source, torch.tensor([length]))["encoder_out"][0]
    assert torch.equal(given, ordinary)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_lstm, "LSTMEncoder has no positional embeddings"),
        (lambda: make_transformer(no_token_positional_embeddings=True), "has no positional embeddings"),
    ],
)
def test_encoder_without_positions_is_a_clear_error(make, message):
    with pytest.raises(IELError, match=message):
        accept_source_positions(make())
