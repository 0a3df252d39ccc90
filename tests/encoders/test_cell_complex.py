"""LRU and GateLoop against loops over numpy's complex numbers, written from their equations."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from tamis.encoders.recurrent.cells.gateloop import GateLoop
from tamis.encoders.recurrent.cells.lru import LRU
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from tamis.encoders.recurrent.mixer import Mixer

LENGTHS = [5, 0, 1, 12]
WIDTH = 8
CELLS = pytest.mark.parametrize("cell", [LRU, GateLoop])
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


def made(cell: type[Mixer], bidirectional: bool = True, width: int = WIDTH) -> Mixer:
    torch.manual_seed(3)
    return cell(width, bidirectional=bidirectional)


def words(tokens: int, width: int = WIDTH) -> Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(5))


def segments(lengths: list[int], reverse: bool) -> list[list[int]]:
    """The tokens of each segment in the order in which a direction reads them."""
    starts = np.cumsum([0, *lengths])
    runs = [list(range(start, end)) for start, end in pairwise(starts)]
    return [run[::-1] for run in runs] if reverse else runs


def lru_by_hand(cell: LRU, x: np.ndarray, lengths: list[int]) -> np.ndarray:
    """h = l h + e^g (B x), y = Re(C h) + D x."""
    weights = {name: value.detach().double().numpy() for name, value in cell.named_parameters()}
    y = weights["D"] * x
    width = x.shape[1]
    for i in range(cell.directions):
        mine = slice(2 * i * width, (2 * i + 1) * width)
        imaginary = slice((2 * i + 1) * width, (2 * i + 2) * width)
        into = weights["B"][mine] + 1j * weights["B"][imaginary]
        out = weights["C"][:, mine] - 1j * weights["C"][:, imaginary]
        pole = np.exp(-np.exp(weights["nu"][i]) + 1j * np.exp(weights["theta"][i]))
        gain = np.exp(weights["log_gain"][i])
        for run in segments(lengths, reverse=i == 1):
            h = np.zeros(width, complex)
            for t in run:
                h = pole * h + gain * (into @ x[t])
                y[t] += (out @ h).real
    return y


def gateloop_by_hand(cell: GateLoop, x: np.ndarray, lengths: list[int]) -> np.ndarray:
    """a = sigmoid(alpha) e^{i beta}, h = a h + k v, y = Re(q h)."""
    width = x.shape[1]
    outputs = []
    for i, projection in enumerate(cell.ins):
        weight, bias = (p.detach().double().numpy() for p in projection.parameters())
        y = np.zeros_like(x)
        for run in segments(lengths, reverse=i == 1):
            h = np.zeros(width, complex)
            for t in run:
                q, k, v, alpha, beta = np.split(weight @ x[t] + bias, 5)
                h = 1 / (1 + np.exp(-alpha)) * np.exp(1j * beta) * h + k * v
                y[t] = (q * h).real
        outputs.append(y)
    return np.concatenate(outputs, 1) @ cell.out.weight.detach().double().numpy().T


@DIRECTIONS
@CELLS
def test_a_cell_is_its_equations(cell: type[Mixer], bidirectional: bool) -> None:
    mixer = made(cell, bidirectional)
    x = words(sum(LENGTHS))
    by_hand = lru_by_hand if cell is LRU else gateloop_by_hand
    expected = by_hand(mixer, x.double().numpy(), LENGTHS)  # type: ignore[operator]
    found = mixer(x, pack_lengths(LENGTHS)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def test_lru_of_one_channel_by_hand() -> None:
    """A pole of i/2, e^g = 2, B = 1 + i, C = 3 - i, D = 10, input 1 then 0."""
    cell = LRU(1, bidirectional=False)
    numbers = {
        "nu": np.log(np.log(2)),
        "theta": np.log(np.pi / 2),
        "log_gain": np.log(2),
        "D": 10.0,
    }
    with torch.no_grad():
        for name, value in numbers.items():
            getattr(cell, name).fill_(value)
        cell.B.copy_(torch.tensor([[1.0], [1.0]]))
        cell.C.copy_(torch.tensor([[3.0, 1.0]]))
        y = cell(torch.tensor([[1.0], [0.0]]), pack_lengths([2]))
    # h = 2 + 2i, then i/2 (2 + 2i) = -1 + i; Re((3 - i) h) = 3 Re h + Im h
    assert y[:, 0].tolist() == pytest.approx([8 + 10, -2], rel=1e-5)


def test_gateloop_of_one_channel_by_hand() -> None:
    """q = 2, k = 3, v = x, half kept with half a turn, input 1 then 1."""
    cell = GateLoop(1, bidirectional=False)
    with torch.no_grad():
        cell.ins[0].weight.copy_(torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0]]))
        cell.ins[0].bias.copy_(torch.tensor([2.0, 3.0, 0.0, 0.0, np.pi]))
        cell.out.weight.fill_(1)
        y = cell(torch.ones(2, 1), pack_lengths([2]))
    # h = 3, then -3/2 + 3
    assert y[:, 0].tolist() == pytest.approx([6, 3], rel=1e-5)


def test_lru_starts_on_its_ring() -> None:
    cell = made(LRU, width=512)
    size, angle = torch.exp(-cell.nu.exp()), cell.theta.exp()
    assert cell.nu.shape == (2, 512)
    assert (size >= 0.4 - 1e-5).all()
    assert (size <= 0.99 + 1e-5).all()
    # uniform in area: the mean of the squared radius is the middle of its range
    middle = (0.4**2 + 0.99**2) / 2
    assert size.square().mean().item() == pytest.approx(middle, rel=0.05)
    assert angle.mean().item() == pytest.approx(np.pi, rel=0.1)
    assert angle.max() <= 2 * np.pi + 1e-4
    torch.testing.assert_close(cell.log_gain.exp(), (1 - size**2).sqrt(), rtol=1e-4, atol=1e-5)


def test_lru_keeps_the_size_of_white_noise() -> None:
    """e^g is there so that what goes in at unit variance comes out at about as much."""
    x = words(2000, 32)
    y = made(LRU, width=32)(x, pack_lengths([2000]))
    assert 0.5 < y[500:].std() / x.std() < 3


def test_gateloop_starts_with_angles_over_half_a_turn() -> None:
    for projection in made(GateLoop).ins:
        beta = projection.bias[-WIDTH:]
        assert (beta[0].item(), beta[-1].item()) == pytest.approx((0, np.pi))
        assert (beta.diff() > 0).all()


@DIRECTIONS
@CELLS
def test_word_order_matters(cell: type[Mixer], bidirectional: bool) -> None:
    mixer, packed, x = made(cell, bidirectional), pack_lengths([6]), words(6)
    order = torch.tensor([0, 3, 2, 1, 4, 5])
    assert not torch.allclose(mixer(x, packed)[5], mixer(x[order], packed)[5], atol=1e-4)


@CELLS
def test_a_causal_cell_reads_no_later_word(cell: type[Mixer]) -> None:
    mixer, packed, x = made(cell, bidirectional=False), pack_lengths([4, 2]), words(6)
    changed = x.clone()
    changed[2] += 1
    before, after = mixer(x, packed), mixer(changed, packed)
    assert torch.equal(before[[0, 1, 4, 5]], after[[0, 1, 4, 5]])
    assert not torch.equal(before[3], after[3])


@CELLS
def test_every_weight_learns_from_long_passages(cell: type[Mixer]) -> None:
    mixer = made(cell)
    x = words(2048).requires_grad_()
    mixer(x, pack_lengths([2048])).square().mean().backward()
    assert x.grad is not None
    for name, weight in [("x", x), *mixer.named_parameters()]:
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any(), name
