"""GRU, LSTM and sLSTM cells against torch.nn and against a numpy loop, on copied weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from tamis.encoders.recurrent.cells.gru import GRU
from tamis.encoders.recurrent.cells.lstm import LSTM
from tamis.encoders.recurrent.cells.slstm import SLSTM
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from tamis.encoders.recurrent.mixer import Mixer

LENGTHS = [5, 1, 8, 3]
WIDTH = 16


def shaken(cell: Mixer) -> Mixer:
    """Weights away from a start in which many are zero or one."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return cell


@pytest.fixture
def words() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(sum(LENGTHS), WIDTH)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("cell", "kind"), [(GRU, nn.GRU), (LSTM, nn.LSTM)])
def test_is_torchs_own_and_a_projection(
    cell: type[Mixer], kind: type[nn.RNNBase], bidirectional: bool, words: Tensor
) -> None:
    ours = shaken(cell(WIDTH, bidirectional=bidirectional))
    layer = ours.recurrence
    dirs = 1 + bidirectional
    theirs = kind(WIDTH, WIDTH // dirs, bidirectional=bidirectional)
    with torch.no_grad():
        for side, name in enumerate(("", "_reverse")[:dirs]):
            rows = layer.from_tokens.weight.unflatten(0, (dirs, -1))[side]
            getattr(theirs, f"weight_ih_l0{name}").copy_(rows)
            getattr(theirs, f"weight_hh_l0{name}").copy_(layer.R[side].flatten(0, 2))
            getattr(theirs, f"bias_hh_l0{name}").copy_(layer.bias[side].flatten())
            first = getattr(theirs, f"bias_ih_l0{name}")
            first.zero_()
            if cell is GRU:  # which needs two: the reset gate weighs one of them
                first.copy_(layer.from_tokens.bias.unflatten(0, (dirs, -1))[side])
    texts = pack_sequence(words.split(LENGTHS), enforce_sorted=False)
    padded, _ = pad_packed_sequence(theirs(texts)[0], batch_first=True)
    states = torch.cat([padded[i, :n] for i, n in enumerate(LENGTHS)])
    torch.testing.assert_close(ours(words, pack_lengths(LENGTHS)), ours.out(states))


def slstm_by_hand(
    words: np.ndarray, weights: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> list[np.ndarray]:
    """One passage, one direction: weights [4, heads, DH, width]; no stabiliser in float64."""
    heads, dim = bias.shape[1:]
    h, c, n = (np.zeros((heads, dim)) for _ in range(3))
    outputs = []
    for x in words:
        i, f, z, o = weights @ x + np.einsum("ghij,hj->ghi", recurrent, h) + bias
        keep = 1 / (1 + np.exp(-f))
        c = keep * c + np.exp(i) * np.tanh(z)
        n = keep * n + np.exp(i)
        h = c / n / (1 + np.exp(-o))
        outputs.append(h)
    return outputs


def test_slstm_is_the_loop_of_its_paper(words: Tensor) -> None:
    torch.manual_seed(3)
    width = 24
    ours = shaken(SLSTM(width)).double()
    words = torch.randn(sum(LENGTHS), width, dtype=torch.float64)
    layer = ours.recurrence
    assert layer.shape == (2, 4, 1, 12)  # one head of 12: the widest divisor up to 32
    weights = layer.from_tokens.weight.detach().unflatten(0, layer.shape).numpy()
    matrix, bias = layer.R.detach().numpy(), layer.bias.detach().numpy()
    expected = []
    for part in np.split(words.numpy(), np.cumsum(LENGTHS)[:-1]):
        forward = slstm_by_hand(part, weights[0], matrix[0], bias[0])
        back = slstm_by_hand(part[::-1], weights[1], matrix[1], bias[1])[::-1]
        expected += [np.concatenate(both) for both in zip(forward, back, strict=True)]
    states = torch.from_numpy(np.array(expected))  # [tokens, heads of both sides, DH]
    spread = states.var(-1, keepdim=True, unbiased=False).add(1e-5).sqrt()
    normed = ((states - states.mean(-1, keepdim=True)) / spread).flatten(1)
    normed = normed * ours.norm.weight + ours.norm.bias
    torch.testing.assert_close(ours(words, pack_lengths(LENGTHS)), ours.out(normed))


def test_heads_and_starts() -> None:
    assert SLSTM(128).recurrence.shape == (2, 4, 2, 32)
    assert SLSTM(80, bidirectional=False).recurrence.shape == (1, 4, 4, 20)
    forget = LSTM(16).recurrence.bias[:, 1]
    assert torch.equal(forget, torch.ones_like(forget))
    shallow, deep = (SLSTM(64, layer=layer, layers=3).recurrence.bias[0, 1, 0] for layer in (0, 2))
    for bias in (shallow, deep):
        assert bias[[0, -1]].tolist() == [5, -7]
        assert (bias.diff() < 0).all()
    assert (deep[1:-1] > shallow[1:-1]).all()
    square = GRU(16).recurrence.R[0, 0, 0]
    torch.testing.assert_close(square @ square.T, torch.eye(8))


@pytest.mark.parametrize("cell", [GRU, LSTM, SLSTM])
def test_the_order_of_the_words_matters(cell: type[Mixer], words: Tensor) -> None:
    ours = cell(WIDTH)
    packed = pack_lengths([len(words)])
    there = ours(words, packed).sum(0)
    swapped = ours(words.roll(1, 0), packed).sum(0)
    assert (there - swapped).abs().max() > 1e-3


@pytest.mark.parametrize("cell", [GRU, LSTM, SLSTM])
def test_one_direction_sees_no_later_word(cell: type[Mixer], words: Tensor) -> None:
    ours = shaken(cell(WIDTH, bidirectional=False))
    packed = pack_lengths([len(words)])
    before = ours(words, packed)
    words[9:] += 1.0
    after = ours(words, packed)
    torch.testing.assert_close(before[:9], after[:9], rtol=0, atol=1e-6)
    assert not torch.allclose(before[9:], after[9:], atol=1e-3)
