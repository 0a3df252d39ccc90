"""The gated cells against other people's code and formulas, on the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tamis.encoders.recurrent.cells.hgrn import HGRN
from tamis.encoders.recurrent.cells.mingru import MinGRU, PositiveMinGRU
from tamis.encoders.recurrent.cells.minlstm import MinLSTM
from tamis.encoders.recurrent.cells.paragru import ParaGRU
from tamis.encoders.recurrent.cells.paralstm import ParaLSTM
from tamis.encoders.recurrent.cells.rglru import RGLRU
from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from tamis.encoders.recurrent.mixer import Mixer

LENGTHS = [5, 0, 1, 60]
WIDTH = 16
EVERY = [MinGRU, PositiveMinGRU, MinLSTM, RGLRU, HGRN, ParaGRU, ParaLSTM]
CELLS = pytest.mark.parametrize("cell", EVERY)
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


def made(cell: type[Mixer], bidirectional: bool = True, width: int = WIDTH, **depth: int) -> Any:
    """The cell with every weight moved away from where it starts."""
    torch.manual_seed(3)
    mixer = cell(width, bidirectional=bidirectional, **depth)
    for weight in mixer.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return mixer


def words(tokens: int, width: int = WIDTH) -> Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(5))


def check(mixer: Any, by_hand: Any) -> None:
    """by_hand(mixer, x [T, width], d): states [T, channels] of direction d in the walk's order.

    Both in float64; the states of the passage are then put through the cell's own ``out``.
    """
    x, packed = words(sum(LENGTHS)), pack_lengths(LENGTHS)
    found = mixer(x, packed).detach()
    mixer.double()
    states = []
    for part in x.double().split(LENGTHS):
        walks = [by_hand(mixer, part.flip(0) if d else part, d) for d in range(mixer.shape[0])]
        states.append(torch.cat([h.flip(0) if d else h for d, h in enumerate(walks)], 1))
    expected = finish(mixer, torch.cat(states), x.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def finish(mixer: Any, states: Tensor, x: Tensor) -> Tensor:
    if isinstance(mixer, HGRN):
        normed = states / (states.square().mean(1, keepdim=True) + 1e-6).sqrt()
        states = normed * mixer.norm.weight * nn.functional.silu(x @ mixer.gate.weight.T)
    out: Tensor = mixer.out(states).detach()
    return out


def gates(mixer: Any, x: Tensor, d: int) -> tuple[Tensor, ...]:
    return mixer.from_tokens(x).detach().view(len(x), *mixer.shape)[:, d].unbind(1)


def heinsen(log_a: Tensor, log_b: Tensor) -> Tensor:
    """h = a h + b, h from 0, in log space, as the authors of minGRU compute it."""
    total = log_a.cumsum(0)
    return (total + torch.logcumsumexp(log_b - total, 0)).exp()


def mingru_in_log_space(mixer: Any, x: Tensor, d: int) -> Tensor:
    k, v = gates(mixer, x, d)
    if isinstance(mixer, PositiveMinGRU):
        g = torch.where(v >= 0, (torch.relu(v) + 0.5).log(), -softplus(-v))
        return heinsen(-softplus(k), -softplus(-k) + g)
    # logarithms need positive values; the recurrence is linear in them
    up, down = (
        heinsen(-softplus(k), -softplus(-k) + part.log()) for part in (v.relu(), (-v).relu())
    )
    return up - down


def minlstm_in_log_space(mixer: Any, x: Tensor, d: int) -> Tensor:
    forget, enter, v = gates(mixer, x, d)
    difference = softplus(-forget) - softplus(-enter)
    log_f, log_i = -softplus(difference), -softplus(-difference)
    up, down = (heinsen(log_f, log_i + part.log()) for part in (v.relu(), (-v).relu()))
    return up - down


@DIRECTIONS
@pytest.mark.parametrize("cell", [MinGRU, PositiveMinGRU])
def test_mingru_is_its_authors_scan_in_log_space(cell: Any, bidirectional: bool) -> None:
    check(made(cell, bidirectional), mingru_in_log_space)


@DIRECTIONS
def test_minlstm_is_its_authors_scan_in_log_space(bidirectional: bool) -> None:
    check(made(MinLSTM, bidirectional), minlstm_in_log_space)


def s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def looped(mixer: Any, x: Tensor, d: int) -> Tensor:
    """The papers' equations in numpy, a token at a time."""
    channels = mixer.shape[2]
    h = c = np.zeros(channels)
    if isinstance(mixer, HGRN):
        p = mixer.bound()[d].detach().numpy()
    else:
        p = mixer.recurrent[d].detach().numpy()
    states = [np.zeros((0, channels))]
    for u in zip(*(gate.numpy() for gate in gates(mixer, x, d)), strict=True):
        if isinstance(mixer, HGRN):
            f = p + (1 - p) * s(u[0])
            h = f * h + (1 - f) * (u[1] * s(u[1]))
        elif isinstance(mixer, ParaGRU):
            z, r = s(p[0] * h + u[0]), s(p[1] * h + u[1])
            h = (1 - z) * h + z * np.tanh(p[2] * h * r + u[2])
        else:
            f = s(p[0] * h + p[1] * c + u[0])
            c = f * c + (1 - f) * np.tanh(p[2] * h + u[1])
            h = s(p[3] * h + p[4] * c + u[2]) * np.tanh(c)
        states.append(h[None])
    return torch.from_numpy(np.concatenate(states))


@DIRECTIONS
@pytest.mark.parametrize("cell", [HGRN, ParaGRU, ParaLSTM])
def test_a_cell_is_its_equations(cell: Any, bidirectional: bool) -> None:
    check(made(cell, bidirectional, layer=1, layers=3), looped)


def recurrent_gemma(width: int, hidden: int, heads: int) -> Any:
    pytest.importorskip("transformers")
    from transformers import RecurrentGemmaConfig
    from transformers.models.recurrent_gemma import modeling_recurrent_gemma as theirs

    config = RecurrentGemmaConfig(
        hidden_size=width, lru_width=hidden, num_attention_heads=heads, conv1d_width=4
    )
    return theirs.RecurrentGemmaRecurrentBlock(config, 0)


def give(block: Any, mixer: RGLRU, d: int) -> None:
    """Our weights of direction d, as if it were a block of its own."""
    channels = mixer.taps.shape[2]
    mine = slice(d * channels, (d + 1) * channels)
    with torch.no_grad():
        block.conv_1d.weight.copy_(mixer.taps[d].T[:, None])
        block.conv_1d.bias.copy_(mixer.tap_bias[mine])
        lru, heads = block.rg_lru, mixer.gates.shape[2]
        lru.recurrent_param.copy_(mixer.log_decay[d])
        lru.recurrent_gate_weight.copy_(mixer.gates[d, 0])
        lru.input_gate_weight.copy_(mixer.gates[d, 1])
        lru.recurrent_gate_bias.copy_(mixer.gate_bias[d, 0].view(heads, -1))
        lru.input_gate_bias.copy_(mixer.gate_bias[d, 1].view(heads, -1))
        for ours, theirs in ((mixer.branch, block.linear_y), (mixer.into, block.linear_x)):
            theirs.weight.copy_(ours.weight[mine])
            theirs.bias.copy_(ours.bias[mine])
        block.linear_out.weight.copy_(mixer.out.weight[:, mine])
        block.linear_out.bias.copy_(mixer.out.bias / mixer.directions)


@DIRECTIONS
def test_rglru_is_the_recurrent_block_of_recurrent_gemma(bidirectional: bool) -> None:
    # two blocks of gates in each direction, so that their order shows
    mixer = made(RGLRU, bidirectional, width=128 if bidirectional else 64)
    width, directions = mixer.out.in_features, mixer.directions
    assert mixer.gates.shape[2:] == (2, 32, 32)
    x = words(sum(LENGTHS), width)
    found = mixer(x, pack_lengths(LENGTHS)).detach()
    expected = torch.zeros_like(found, dtype=torch.float64)
    for d in range(directions):
        block = recurrent_gemma(width, width // directions, 2)
        give(block.double(), mixer, d)  # in float32 its 1 - a^2 loses digits
        parts = []
        for part in x.double().split([n for n in LENGTHS if n]):
            walk = (part.flip(0) if d else part)[None]
            with torch.no_grad():
                y = block(walk, torch.arange(len(part))[None], None, use_cache=False)[0][0]
            parts.append(y.flip(0) if d else y)
        # the last projection is linear, so a direction each may go through its half of it
        expected += torch.cat(parts)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=2e-5)


def test_newtons_method_finds_the_states_of_paragru() -> None:
    """All 128 steps at once, as ParaRNN computes them: equal in ten iterations at most."""
    mixer = made(ParaGRU, bidirectional=False)
    x = words(128)
    u = mixer.from_tokens(x).detach().double().view(128, 1, 3, WIDTH)
    weights = mixer.recurrent.detach().double()
    sequential = bi_gated_scan(u, "paragru", pack_lengths([128]), params=weights)

    def step(before: Tensor) -> Tensor:
        z = torch.sigmoid(weights[0, 0] * before + u[:, 0, 0])
        r = torch.sigmoid(weights[0, 1] * before + u[:, 0, 1])
        n = torch.tanh(weights[0, 2] * before * r + u[:, 0, 2])
        return (1 - z) * before + z * n

    h = torch.zeros(128, WIDTH, dtype=torch.float64)
    errors = []
    for _ in range(10):
        before = torch.cat([torch.zeros_like(h[:1]), h[:-1]]).requires_grad_()
        after = step(before)
        (slope,) = torch.autograd.grad(after.sum(), before)
        a, b = slope, (after - slope * before).detach()
        rows: list[Tensor] = []
        for t in range(128):
            rows.append(a[t] * rows[-1] + b[t] if rows else b[t])
        h = torch.stack(rows)
        errors.append((h - sequential).abs().max().item())
    assert errors[0] > 1e-2
    assert errors[-1] < 1e-4


@DIRECTIONS
@CELLS
def test_word_order_matters(cell: Any, bidirectional: bool) -> None:
    mixer, packed, x = made(cell, bidirectional), pack_lengths([6]), words(6)
    order = torch.tensor([0, 3, 2, 1, 4, 5])
    assert not torch.allclose(mixer(x, packed)[5], mixer(x[order], packed)[5], atol=1e-4)


@CELLS
def test_a_causal_cell_reads_no_later_word(cell: Any) -> None:
    mixer, packed, x = made(cell, bidirectional=False), pack_lengths([4, 2]), words(6)
    changed = x.clone()
    changed[2] += 1
    before, after = mixer(x, packed), mixer(changed, packed)
    assert torch.equal(before[[0, 1, 4, 5]], after[[0, 1, 4, 5]])
    assert not torch.equal(before[3], after[3])


@CELLS
def test_every_weight_learns_from_a_long_passage(cell: Any) -> None:
    mixer = cell(WIDTH, layer=1, layers=2)
    x = words(2048).requires_grad_()
    mixer(x, pack_lengths([2048])).square().mean().backward()
    for name, weight in [("x", x), *mixer.named_parameters()]:
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any(), name


@DIRECTIONS
@CELLS
def test_any_multiple_of_eight_is_a_width(cell: Any, bidirectional: bool) -> None:
    for width in (8, 40, 88):
        mixer = made(cell, bidirectional, width)
        assert mixer(words(3, width), pack_lengths([1, 2])).shape == (3, width)
        assert mixer(words(0, width), pack_lengths([0, 0])).shape == (0, width)


def test_mingru_starts_with_memories_from_one_word_to_a_passage() -> None:
    torch.manual_seed(0)
    z = MinGRU(512).biases[:, 0].sigmoid()
    assert z.min() >= 1 / 128.01
    assert z.max() <= 1 / 1.499
    assert z.reciprocal().log().mean().item() == pytest.approx(np.log(1.5 * 128) / 2, rel=0.1)


def test_gates_that_forget_start_open() -> None:
    assert MinLSTM(16).biases[0, 0].tolist()[::7] == [1, 5]
    assert ParaLSTM(16).biases[1, 0].tolist()[::7] == [3, 6]
    assert ParaGRU(16).biases[1, 0].tolist()[::7] == [0, -1]


def test_rglru_starts_on_its_ring() -> None:
    torch.manual_seed(0)
    radius = torch.exp(-softplus(RGLRU(512).log_decay))
    assert radius.min() >= 0.9 - 1e-5
    assert radius.max() <= 0.999 + 1e-5
    assert radius.square().mean().item() == pytest.approx((0.81 + 0.998) / 2, rel=0.01)


def test_the_bounds_of_hgrn_rise_with_depth() -> None:
    bounds = [HGRN(16, layer=layer, layers=4).bound() for layer in range(4)]
    for layer, bound in enumerate(bounds):
        torch.testing.assert_close(bound, torch.full_like(bound, layer / 4))
