"""The classic sentence encoders against compositions of torch.nn.LSTM and GRU on padded input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from tamis.encoders.recurrent.classics.dc_bilstm import DCBiLSTM
from tamis.encoders.recurrent.classics.hbmp import HBMP
from tamis.encoders.recurrent.classics.infersent import InferSent
from tamis.encoders.recurrent.classics.lama import LAMA
from tamis.encoders.recurrent.classics.read_again import ReadAgain
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

    from tamis.encoders.recurrent.cells.dense_layer import DenseLayer
    from tamis.encoders.recurrent.classics.body import Body

LENGTHS = [4, 1, 7, 2]
WIDTH = 16
BODIES = [InferSent, HBMP, DCBiLSTM, LAMA, ReadAgain]
State = tuple[Tensor, Tensor] | None


def theirs(layer: DenseLayer) -> nn.RNNBase:
    """torch's own bidirectional layer with these weights."""
    _, gates, heads, dim = layer.shape
    assert heads == 1
    kind = nn.GRU if gates == 3 else nn.LSTM
    inputs = layer.from_tokens.in_features
    made = kind(inputs, dim, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for side, name in enumerate(("", "_reverse")):
            rows = layer.from_tokens.weight.unflatten(0, (2, -1))[side]
            getattr(made, f"weight_ih_l0{name}").copy_(rows)
            getattr(made, f"weight_hh_l0{name}").copy_(layer.R[side].flatten(0, 2))
            getattr(made, f"bias_hh_l0{name}").copy_(layer.bias[side].flatten())
            first = getattr(made, f"bias_ih_l0{name}")
            first.zero_()
            if layer.from_tokens.bias is not None:
                first.copy_(layer.from_tokens.bias.unflatten(0, (2, -1))[side])
    return made


def read(layer: DenseLayer, padded: Tensor, first: State = None) -> tuple[Tensor, State]:
    """States [N, T, 2 hidden], zero past each end, and the final (h, c), each [2, N, hidden]."""
    packed = pack_padded_sequence(padded, LENGTHS, batch_first=True, enforce_sorted=False)
    states, last = theirs(layer)(packed, first)
    return pad_packed_sequence(states, batch_first=True)[0], last


def beyond() -> Tensor:
    """[N, T, 1]: where there is only padding."""
    return (torch.arange(max(LENGTHS)) >= torch.tensor(LENGTHS)[:, None]).unsqueeze(2)


def most(states: Tensor) -> Tensor:
    return states.masked_fill(beyond(), -torch.inf).amax(1)


def infersent(body: InferSent, padded: Tensor) -> Tensor:
    return most(read(body.reading, padded)[0])


def hbmp(body: HBMP, padded: Tensor) -> Tensor:
    state: State = None
    pools = []
    for reading in body.readings:
        states, state = read(reading, padded, state)
        pools.append(most(states))
    return torch.cat(pools, 1)


def dc_bilstm(body: DCBiLSTM, padded: Tensor) -> Tensor:
    outputs = [padded]
    for reading in body.below:
        outputs.append(read(reading, torch.cat(outputs, 2))[0])
    states, _ = read(body.top, torch.cat(outputs, 2))
    return states.sum(1) / torch.tensor(LENGTHS)[:, None]


def lama(body: LAMA, padded: Tensor) -> Tensor:
    states, _ = read(body.reading, padded)
    products = body.context * (states @ body.from_states.weight.T)
    scores = products @ body.to_heads.weight.T
    shares = scores.masked_fill(beyond(), -torch.inf).softmax(1)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(LENGTHS), shares.shape[2]))
    return torch.einsum("ntm,ntd->nmd", shares, states).flatten(1)


def read_again(body: ReadAgain, padded: Tensor) -> Tensor:
    states, last = read(body.first, padded)
    assert last is not None
    summary = torch.cat([last[0][0], last[0][1]], 1)
    every = summary.unsqueeze(1).expand(-1, padded.shape[1], -1)
    return most(read(body.second, torch.cat([padded, states, every], 2))[0])


ORACLES: list[tuple[type[Body], Callable[..., Tensor]]] = list(
    zip(BODIES, (infersent, hbmp, dc_bilstm, lama, read_again), strict=True)
)


def made(body: type[Body], **options: int) -> tuple[Body, Tensor]:
    torch.manual_seed(4)
    return body(WIDTH, **options), torch.randn(sum(LENGTHS), WIDTH) * 2


@pytest.mark.parametrize(("body", "oracle"), ORACLES)
def test_is_a_composition_of_torchs_layers(body: type[Body], oracle: Callable[..., Tensor]) -> None:
    ours, words = made(body)
    vectors = ours(words, pack_lengths(LENGTHS))
    assert vectors.shape == (len(LENGTHS), ours.out_width)
    expected = oracle(ours, pad_sequence(list(words.split(LENGTHS)), batch_first=True))
    torch.testing.assert_close(vectors, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", BODIES)
def test_a_passage_alone_is_as_in_a_batch_and_order_matters(body: type[Body]) -> None:
    ours, words = made(body)
    together = ours(words, pack_lengths(LENGTHS))
    alone = ours(words[5:12], pack_lengths([7]))
    torch.testing.assert_close(alone[0], together[2], rtol=1e-5, atol=1e-6)
    turned = ours(words[5:12].roll(1, 0), pack_lengths([7]))
    assert (turned - alone).abs().max() > 1e-3


@pytest.mark.parametrize("body", BODIES)
def test_every_weight_learns_and_an_empty_passage_is_zero(body: type[Body]) -> None:
    ours, words = made(body)
    lengths = [0, *LENGTHS]
    vectors = ours(words, pack_lengths(lengths))
    assert not vectors[0].any()
    assert vectors[1:].all(1).all()
    vectors.square().sum().backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("body", BODIES)
def test_makes_vectors_of_float32_from_bfloat16(body: type[Body]) -> None:
    ours, words = made(body)
    exact = ours(words, pack_lengths(LENGTHS))
    rounded = ours.bfloat16()(words.bfloat16(), pack_lengths(LENGTHS))
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.03 * exact.norm()


def test_one_layer_of_hbmp_is_infersent() -> None:
    one, words = made(HBMP, layers=1, hidden=8)
    other, _ = made(InferSent, hidden=8)
    other.load_state_dict(
        {name.replace("readings.0", "reading"): x for name, x in one.state_dict().items()}
    )
    packed = pack_lengths(LENGTHS)
    assert torch.equal(one(words, packed), other(words, packed))


def test_one_head_of_lama_is_attention_pooling() -> None:
    ours, words = made(LAMA, heads=1, rank=3)
    states, _ = ours.reading(words, pack_lengths(LENGTHS))
    query = ours.from_states.weight.T @ (ours.context * ours.to_heads.weight[0])
    rows = [(part @ query).softmax(0) @ part for part in states.split(LENGTHS)]
    vectors = ours(words, pack_lengths(LENGTHS))
    torch.testing.assert_close(vectors, torch.stack(rows), rtol=1e-5, atol=1e-6)
