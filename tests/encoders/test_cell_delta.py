"""DeltaNet and DeltaProduct against a loop in numpy over their own weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tamis.encoders.recurrent.cells.deltanet import DeltaBranch, DeltaNet
from tamis.encoders.recurrent.cells.deltaproduct import DeltaProduct
from tamis.kernels.packing import pack_lengths

LENGTHS = [7, 0, 1, 12]
CELLS: list[type[DeltaNet]] = [DeltaNet, DeltaProduct]


def tokens(width: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(sum(LENGTHS), width, generator=draw, dtype=torch.float64)


def made(cell: type[DeltaNet], width: int, *, bidirectional: bool = True) -> DeltaNet:
    torch.manual_seed(0)
    return cell(width, bidirectional=bidirectional).double()


def sigmoid(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = 1 / (1 + np.exp(-x))
    return out


def by_hand(x: np.ndarray, p: dict[str, np.ndarray], steps: int, most: float) -> np.ndarray:
    """One passage, one direction: convolution, SiLU, unit keys, delta rule, norm by head."""
    width = x.shape[1]
    head = len(p["norm.weight"])
    heads = width // head
    projected = np.concatenate([np.zeros((3, (1 + 2 * steps) * width)), x @ p["into.weight"].T])
    mixed = sum(projected[i : i + len(x)] * p["convolution.weight"][i] for i in range(4))
    parts = (mixed * sigmoid(mixed)).reshape(len(x), 1 + 2 * steps, heads, head)
    beta = most * sigmoid(x @ p["beta.weight"].T).reshape(len(x), steps, heads)
    out = np.zeros((len(x), heads, head))
    for h in range(heads):
        state = np.zeros((head, head))
        for t in range(len(x)):
            if "log_rate" in p:
                step = np.log1p(np.exp(p["gate.weight"][h] @ x[t] + p["gate.bias"][h]))
                state = state * np.exp(-np.exp(p["log_rate"][h]) * step)
            for i in range(steps):
                k, v = parts[t, 1 + i, h], parts[t, 1 + steps + i, h]
                k = k / np.sqrt(k @ k + 1e-6)
                state = state + beta[t, i, h] * np.outer(k, v - k @ state)
            q = parts[t, 0, h]
            o = (q / np.sqrt(q @ q + 1e-6)) @ state
            out[t, h] = o / np.sqrt(np.mean(o * o) + 1e-5) * p["norm.weight"]
    return out.reshape(len(x), width)


@pytest.mark.parametrize("width", [8, 48])
@pytest.mark.parametrize(("cell", "steps", "most"), [(DeltaNet, 1, 1.0), (DeltaProduct, 2, 2.0)])
def test_a_loop_over_each_passage_in_each_direction(
    cell: type[DeltaNet], steps: int, most: float, width: int
) -> None:
    mixer = made(cell, width)
    nn.init.uniform_(mixer.branches[0].get_parameter("norm.weight"), 0.5, 2)
    x = tokens(width)
    found = mixer(x, pack_lengths(LENGTHS)).detach().numpy()
    ways = []
    for reverse, branch in zip((False, True), mixer.branches, strict=True):
        p = {name: value.detach().numpy() for name, value in branch.named_parameters()}
        turn = -1 if reverse else 1
        parts = [part.numpy()[::turn] for part in x.split(LENGTHS)]
        ways.append(np.concatenate([by_hand(part, p, steps, most)[::turn] for part in parts]))
    expected = np.concatenate(ways, axis=1) @ mixer.out.weight.detach().numpy().T
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_heads_are_as_wide_as_32_allows() -> None:
    sizes = {width: DeltaBranch(width, reverse=False).head for width in (8, 24, 32, 40, 384)}
    assert sizes == {8: 8, 24: 24, 32: 32, 40: 20, 384: 32}


def test_deltaproduct_of_one_ungated_step_is_deltanet() -> None:
    torch.manual_seed(0)
    net = DeltaBranch(16, reverse=False).double()
    product = DeltaBranch(16, reverse=False, steps=2, most=2.0, gated=True).double()
    source = net.state_dict()
    q, k, v = source["into.weight"].split(16)
    taps = source["convolution.weight"].split(16, dim=1)
    weights = {
        "into.weight": torch.cat([q, k, torch.randn_like(k), v, torch.zeros_like(v)]),
        "convolution.weight": torch.cat([taps[i] for i in (0, 1, 1, 2, 2)], dim=1),
        "beta.weight": torch.cat([source["beta.weight"], torch.zeros_like(source["beta.weight"])]),
        "norm.weight": source["norm.weight"],
    }
    product.load_state_dict(product.state_dict() | weights)
    product.most = 1.0
    nn.init.constant_(product.log_rate, -torch.inf)  # no decay
    hooked: list[Tensor] = []
    # and no second step: its share is closed
    product.beta.register_forward_hook(lambda _, __, out: out + torch.tensor([0.0, -1e9]).double())
    net.norm.register_forward_hook(lambda _, inputs, __: hooked.append(inputs[0]))
    x, packed = tokens(16), pack_lengths(LENGTHS)
    torch.testing.assert_close(product(x, packed), net(x, packed))
    assert hooked[0].shape == (20, 1, 16)


def test_deltaproduct_starts_with_memories_of_many_lengths() -> None:
    torch.manual_seed(0)
    branch = DeltaProduct(512, bidirectional=False).branches[0]
    assert isinstance(branch, DeltaBranch)
    decay = branch._log_decay(torch.zeros(1, 512))
    assert decay is not None
    assert -1.6 <= decay.min() < -0.2
    assert -0.05 < decay.max() <= -1e-3


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_word_order_matters_and_only_the_past_if_asked(
    cell: type[DeltaNet], bidirectional: bool
) -> None:
    mixer = made(cell, 8, bidirectional=bidirectional)
    x = tokens(8)
    swapped = x.clone()
    swapped[[2, 4]] = x[[4, 2]]
    packed = pack_lengths(LENGTHS)
    changed = (mixer(x, packed) - mixer(swapped, packed)).abs().amax(1) > 1e-9
    assert changed[2:7].all()
    assert changed[:2].all() == bidirectional
    assert not changed[7:].any()


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_finite_where_a_key_is_zero(cell: type[DeltaNet]) -> None:
    mixer = made(cell, 8)
    x = tokens(8)
    x[3] = 0
    x[9:] = 0
    x.requires_grad_()
    mixer(x, pack_lengths(LENGTHS)).square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in mixer.parameters() if p.grad is not None)
