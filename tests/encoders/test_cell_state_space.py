"""Mamba against transformers' on copied weights, S4D against a loop in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tamis.encoders.recurrent.cells.mamba import Mamba
from tamis.encoders.recurrent.cells.s4d import S4D
from tamis.kernels.packing import pack_lengths

LENGTHS = [7, 0, 1, 12]
WIDTH = 16


def tokens(width: int = WIDTH) -> Tensor:
    return torch.randn(sum(LENGTHS), width, generator=torch.Generator().manual_seed(1))


def flipped(x: Tensor) -> Tensor:
    """Each passage from its last token to its first."""
    return torch.cat([part.flip(0) for part in x.split(LENGTHS)])


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """MambaMixer as its authors start it: 16 states, expansion 2, four taps."""
    mamba = pytest.importorskip("transformers.models.mamba")
    torch.manual_seed(3)
    config = mamba.MambaConfig(hidden_size=WIDTH, num_hidden_layers=1)
    mixer: nn.Module = mamba.modeling_mamba.MambaMixer(config, layer_idx=0)
    return mixer.eval()


def copy(mixer: nn.Module) -> Mamba:
    mine = Mamba(WIDTH, bidirectional=False)
    theirs = dict(mixer.named_parameters())
    names = {
        "into.weight": "in_proj.weight",
        "convolution.bias": "conv1d.bias",
        "choose.weight": "x_proj.weight",
        "step.weight": "dt_proj.weight",
        "step.bias": "dt_proj.bias",
        "log_rate": "A_log",
        "D": "D",
    }
    weights = {f"branches.0.{name}": theirs[source] for name, source in names.items()}
    weights["branches.0.convolution.weight"] = theirs["conv1d.weight"][:, 0].T
    weights["out.weight"] = theirs["out_proj.weight"]
    mine.load_state_dict(weights)
    return mine


def test_mamba_is_transformers_mamba(theirs: nn.Module) -> None:
    """Passage by passage, values and the gradient of the tokens."""
    x = tokens().requires_grad_()
    found = copy(theirs)(x, pack_lengths(LENGTHS))
    y = tokens().requires_grad_()
    expected = torch.cat([theirs(part[None])[0] for part in y.split(LENGTHS) if len(part)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    weight = torch.randn_like(found)
    found.backward(weight)
    expected.backward(weight)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-6)


def test_mamba_starts_where_transformers_does(theirs: nn.Module) -> None:
    start = dict(Mamba(WIDTH, bidirectional=False).branches[0].named_parameters())
    source = dict(theirs.named_parameters())
    torch.testing.assert_close(start["log_rate"], source["A_log"])
    torch.testing.assert_close(start["D"], source["D"])
    for steps in (start["step.bias"], source["dt_proj.bias"]):
        dt = nn.functional.softplus(steps)
        assert 1e-3 - 1e-6 <= dt.min() < 4e-3
        assert 3e-2 < dt.max() <= 0.1 + 1e-6
    assert start["step.weight"].abs().max() <= 1


@pytest.mark.parametrize("cell", [Mamba, S4D])
def test_the_second_direction_is_the_first_from_the_end(cell: type[Mamba] | type[S4D]) -> None:
    """With the backward weights set to the forward ones, turning the passages swaps the halves."""
    torch.manual_seed(0)
    mixer = cell(WIDTH).double()
    halves: list[Tensor] = []
    mixer.out.register_forward_pre_hook(lambda _, inputs: halves.append(inputs[0]))
    if isinstance(mixer, Mamba):
        mixer.branches[1].load_state_dict(mixer.branches[0].state_dict())
    else:
        for bank in (mixer.log_dt, mixer.log_decay, mixer.frequency, mixer.D):
            bank.data[1] = bank.data[0]
        mixer.C.data[:, 1] = mixer.C.data[:, 0]
    packed, x = pack_lengths(LENGTHS), tokens().double()
    mixer(x, packed)
    mixer(flipped(x), packed)
    forward, backward = halves[0].chunk(2, dim=-1)
    turned_forward, turned_backward = halves[1].chunk(2, dim=-1)
    torch.testing.assert_close(turned_forward, flipped(backward))
    torch.testing.assert_close(turned_backward, flipped(forward))
    assert not torch.allclose(forward, backward)


def test_s4d_is_the_loop_of_its_paper() -> None:
    torch.manual_seed(0)
    cell = S4D(8, bidirectional=False).double()
    found = cell(tokens(8).double(), pack_lengths(LENGTHS)).detach().numpy()
    p = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    pole = -np.exp(p["log_decay"][0]) + 1j * p["frequency"][0]
    weight = p["C"][0, 0] + 1j * p["C"][1, 0]
    abar = np.exp(np.exp(p["log_dt"][0])[:, None] * pole)
    expected = []
    for part in tokens(8).double().split(LENGTHS):
        state = np.zeros_like(pole)
        for u in part.numpy():
            state = abar * state + (abar - 1) / pole * u[:, None]
            y = 2 * (weight * state).real.sum(1) + p["D"][0] * u
            y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
            value, gate = np.split(p["out.weight"] @ y + p["out.bias"], 2)
            expected.append(value / (1 + np.exp(-gate)))
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-9, atol=1e-12)


def test_s4d_starts_as_s4d_lin() -> None:
    torch.manual_seed(0)
    cell = S4D(64)
    assert torch.equal(cell.frequency[1, 5], math.pi * torch.arange(32.0))
    torch.testing.assert_close(cell.log_decay.exp(), torch.full((2, 64, 32), 0.5))
    dt = cell.log_dt.exp()
    assert 1e-3 <= dt.min() < 2e-3
    assert 5e-2 < dt.max() <= 0.1
    assert cell.C.var().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("cell", [Mamba, S4D])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_word_order_matters_and_only_the_past_if_asked(
    cell: type[Mamba] | type[S4D], bidirectional: bool
) -> None:
    torch.manual_seed(0)
    mixer = cell(8, bidirectional=bidirectional).double()
    x = tokens(8).double()
    swapped = x.clone()
    swapped[[2, 4]] = x[[4, 2]]
    packed = pack_lengths(LENGTHS)
    changed = (mixer(x, packed) - mixer(swapped, packed)).abs().amax(1) > 1e-9
    assert changed[2:7].all()
    assert changed[:2].all() == bidirectional
    assert not changed[7:].any()
