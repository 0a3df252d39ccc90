"""The gated scan in plain torch and C: against loops from the papers, and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.dispatch import forced
from tamis.kernels.native.loading import library
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]

GATES = {"mingru": 2, "mingru_pos": 2, "minlstm": 3, "rglru": 3, "hgrn": 2, "paragru": 3}
GATES["paralstm"] = 3
LINEAR = ["mingru", "mingru_pos", "minlstm", "rglru", "hgrn"]
# the gates proper, which may saturate; the others are values
SATURATED = {"minlstm": 2, "rglru": 2, "paragru": 3, "paralstm": 3}
POOLS: list[Any] = [None, "mean", "max", "last", ("mean", "max")]


def case(
    cell: str, tokens: int, channels: int = 5, directions: int = 2, *, saturate: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Pre-activations and parameters, float32; the last channel's gates at +-80 if asked."""
    u = torch.randn(tokens, directions, GATES[cell], channels)
    if saturate:
        gates = u[:, :, : SATURATED.get(cell, 1), -1]
        gates.copy_(80 * torch.sign(gates))
    params = {
        "rglru": torch.randn(directions, channels) - 4,
        "hgrn": 0.9 * torch.rand(directions, channels),
        "paragru": torch.randn(directions, 3, channels),
        "paralstm": torch.randn(directions, 5, channels),
    }
    return u, params.get(cell)


def evaluate(backend: Any, cell: Any, u: Tensor, lengths: Any, params: Any, pool: Any) -> list:
    """The result and its gradients under a fixed random weight."""
    u = u.clone().requires_grad_()
    params = None if params is None else params.clone().requires_grad_()
    with forced(backend):
        y = bi_gated_scan(u, cell, pack_lengths(lengths), params=params, pool=pool)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y * weight.to(y)).sum().backward()
    return [y.detach(), u.grad] + ([] if params is None else [params.grad])


def s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def walk_by_hand(cell: str, u: np.ndarray, p: np.ndarray | None) -> np.ndarray:
    """One segment in one direction, u [T, G, C] in the order of the walk: the papers' formulas."""
    h = c = np.zeros(u.shape[-1])
    states = []
    for t, x in enumerate(u):
        if cell == "mingru":
            h = (1 - s(x[0])) * h + s(x[0]) * x[1]
        elif cell == "mingru_pos":
            h = (1 - s(x[0])) * h + s(x[0]) * np.where(x[1] >= 0, x[1] + 0.5, s(x[1]))
        elif cell == "minlstm":
            f, i = s(x[0]), s(x[1])
            h = f / (f + i) * h + i / (f + i) * x[2]
        elif cell == "rglru":
            a = np.exp(-8 * s(x[0]) * np.log(1 + np.exp(p))) if t else 0 * p
            h = a * h + np.sqrt(1 - a**2) * (s(x[1]) * x[2])
        elif cell == "hgrn":
            f = p + (1 - p) * s(x[0])
            h = f * h + (1 - f) * x[1] * s(x[1])
        elif cell == "paragru":
            z, r = s(p[0] * h + x[0]), s(p[1] * h + x[1])
            h = (1 - z) * h + z * np.tanh(p[2] * h * r + x[2])
        else:
            f = s(p[0] * h + p[1] * c + x[0])
            c = f * c + (1 - f) * np.tanh(p[2] * h + x[1])
            h = s(p[3] * h + p[4] * c + x[2]) * np.tanh(c)
        states.append(h)
    return np.array(states).reshape(len(u), u.shape[-1])


def by_hand(cell: str, u: Tensor, lengths: list[int], params: Tensor | None, pool: Any) -> Tensor:
    rows = []
    for segment in np.split(u.double().numpy(), np.cumsum(lengths)[:-1]):
        both = []
        for d in range(u.shape[1]):
            p = None if params is None else params[d].double().numpy()
            turn = slice(None, None, -1) if d else slice(None)
            both.append(walk_by_hand(cell, segment[turn, d], p)[turn])
        states = np.concatenate(both, 1)
        ends = [walk[-1 if d == 0 else 0] for d, walk in enumerate(both)] if len(segment) else []
        by_name = {
            "mean": lambda x: x.mean(0),
            "max": lambda x: x.max(0),
            "last": lambda _, ends=ends: np.concatenate(ends),
        }
        if pool is None:
            rows.append(states)
        else:
            pools = pool if isinstance(pool, tuple) else (pool,)
            empty = np.zeros(u.shape[1] * u.shape[3])
            rows.append([by_name[p](states) if len(segment) else empty for p in pools])
    if pool is None:
        return torch.from_numpy(np.concatenate(rows))
    return torch.from_numpy(np.array(rows).reshape(len(lengths), -1))


def test_a_state_goes_halfway_to_one_at_every_token() -> None:
    u = torch.tensor([0.0, 1.0])[None, None, :, None].expand(5, 2, 2, 1).contiguous()
    packed = pack_lengths([3, 0, 2])
    states = bi_gated_scan(u, "mingru", packed)
    assert states.tolist() == [
        [0.5, 0.875], [0.75, 0.75], [0.875, 0.5],
        [0.5, 0.75], [0.75, 0.5],
    ]  # fmt: skip
    assert bi_gated_scan(u, "mingru", packed, pool="last").tolist() == [
        [0.875, 0.875],
        [0, 0],
        [0.75, 0.75],
    ]
    mean_max = bi_gated_scan(u, "mingru", packed, pool=("mean", "max"))
    torch.testing.assert_close(
        mean_max[[0, 2]],
        torch.tensor([[2.125 / 3, 2.125 / 3, 0.875, 0.875], [0.625, 0.625, 0.75, 0.75]]),
    )
    assert not mean_max[1].any()


@pytest.mark.parametrize("cell", GATES)
def test_the_reference_agrees_with_a_loop_by_hand(cell: Any, close: Compare) -> None:
    torch.manual_seed(3)
    lengths = [3, 0, 1, 6, 2]
    u, params = case(cell, 12)
    u, params = u.double(), None if params is None else params.double()
    for pool in POOLS:
        with forced("reference"):
            found = bi_gated_scan(u, cell, pack_lengths(lengths), params=params, pool=pool)
        close(found, by_hand(cell, u, lengths, params, pool), 1e-12)


@pytest.mark.parametrize("cell", GATES)
def test_the_plain_twins_agree_with_the_reference(cell: Any, close: Compare) -> None:
    torch.manual_seed(4)
    lengths = [0, 1, 7, 8, 9, 300, 0, 2]
    u, params = case(cell, sum(lengths), saturate=True)
    wide = u.double(), None if params is None else params.double()
    backends = ["torch"] + (["native"] if library() and cell in LINEAR else [])
    for pool in POOLS:
        truth = evaluate("reference", cell, wide[0], lengths, wide[1], pool)
        for backend in backends:
            y, *grads = evaluate(backend, cell, u, lengths, params, pool)
            close(y, truth[0], 1e-5)
            for grad, expected in zip(grads, truth[1:], strict=True):
                close(grad, expected, 5e-5)
        same = evaluate("torch", cell, wide[0], lengths, wide[1], pool)
        for found, expected in zip(same, truth, strict=True):
            close(found, expected, 1e-11)


@pytest.mark.parametrize("cell", GATES)
def test_bfloat16_is_computed_in_float32(cell: Any, close_rms: Compare) -> None:
    torch.manual_seed(5)
    lengths = [5, 40, 1]
    u, params = case(cell, sum(lengths))
    u = u.bfloat16()
    wide = None if params is None else params.double()
    for pool, bound in ((None, 3e-3), ("mean", 1e-6)):
        truth = evaluate("reference", cell, u.double(), lengths, wide, pool)
        y, *grads = evaluate("torch", cell, u, lengths, params, pool)
        assert y.dtype == (torch.float32 if pool else torch.bfloat16)
        close_rms(y, truth[0], bound)
        for grad, expected in zip(grads, truth[1:], strict=True):
            close_rms(grad, expected, 6e-3)


def test_the_result_has_the_dtype_asked_for() -> None:
    u, packed = torch.randn(3, 2, 2, 4), pack_lengths([3])
    assert bi_gated_scan(u, "mingru", packed, out_dtype=torch.bfloat16).dtype == torch.bfloat16
    assert bi_gated_scan(u.half(), "mingru", packed).dtype == torch.float16
    assert bi_gated_scan(u.double(), "mingru", packed, pool="max").dtype == torch.float64


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    cell=st.sampled_from(sorted(GATES)),
    pool=st.sampled_from(POOLS),
)
def test_a_segment_in_a_pack_is_the_segment_alone(lengths: Any, cell: Any, pool: Any) -> None:
    u, params = case(cell, sum(lengths))
    packed = bi_gated_scan(u, cell, pack_lengths(lengths), params=params, pool=pool)
    alone = [
        bi_gated_scan(part, cell, pack_lengths([n]), params=params, pool=pool)
        for part, n in zip(u.split(lengths), lengths, strict=True)
    ]
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", GATES)
def test_no_bit_of_a_neighbour_arrives(cell: Any) -> None:
    torch.manual_seed(6)
    u, params = case(cell, 9)
    other = u.clone()
    other[3:7] += 5 * torch.randn_like(other[3:7])
    for pool in (None, ("mean", "max")):
        first = evaluate("torch", cell, u, [3, 4, 2], params, pool)
        second = evaluate("torch", cell, other, [3, 4, 2], params, pool)
        for one, two in zip(first[:2], second[:2], strict=True):
            kept = [0, 2] if len(one) == 3 else [0, 1, 2, 7, 8]
            assert torch.equal(one[kept], two[kept])
            assert not torch.equal(one, two)


def test_one_direction_is_the_forward_half_of_two() -> None:
    torch.manual_seed(7)
    for cell in GATES:
        u, params = case(cell, 9)
        packed = pack_lengths([4, 5])
        alone = None if params is None else params[:1]
        both = bi_gated_scan(u, cell, packed, params=params, pool="last")
        one = bi_gated_scan(u[:, :1], cell, packed, params=alone, pool="last")
        assert torch.equal(one, both[:, :5])


def test_hgrn_takes_one_lower_bound_for_both_directions() -> None:
    torch.manual_seed(8)
    u, packed = torch.randn(6, 2, 2, 4), pack_lengths([6])
    gamma = torch.rand(4, requires_grad=True)
    twice = gamma.detach().repeat(2, 1).requires_grad_()
    for params in (gamma, twice):
        bi_gated_scan(u, "hgrn", packed, params=params).square().sum().backward()
    torch.testing.assert_close(gamma.grad, twice.grad.sum(0))


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_of_equal_maxima_the_first_in_the_pack_has_the_gradient(backend: Any) -> None:
    # z = 1 everywhere, so a state is its own value: equal values, equal states
    u = torch.zeros(7, 2, 2, 1)
    u[:, :, 0] = 200
    u[:, :, 1, 0] = torch.tensor([1, 3, 3, 2, 5, 5, 5.0])[:, None]
    u.requires_grad_()
    with forced(backend):
        y = bi_gated_scan(u, "mingru", pack_lengths([4, 3]), pool="max")
    assert y.tolist() == [[3, 3], [5, 5]]
    y.sum().backward()
    assert u.grad[:, 0, 1, 0].tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert u.grad[:, 1, 1, 0].tolist() == [0, 1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("backend", ["reference", "torch", "native"])
def test_a_walk_begins_without_its_neighbours_state(backend: Any) -> None:
    if backend == "native" and library() is None:
        pytest.skip("the C kernels were not built")
    torch.manual_seed(9)
    u = torch.randn(5, 2, 2, 3)
    u[:, :, 1] += 1000  # a neighbour's state would show in the gradient of k
    u.requires_grad_()
    with forced(backend):
        y = bi_gated_scan(u, "mingru", pack_lengths([3, 2]))
    # the first steps of the walks: forward of segment 1, backward of segment 0
    (y[3, :3].sum() + y[2, 3:].sum()).backward()
    k, v = u.detach().unbind(2)
    z = torch.sigmoid(k)
    expected = torch.zeros_like(u)
    for token, d in ((3, 0), (2, 1)):
        expected[token, d, 0] = (z * (1 - z) * v)[token, d]
        expected[token, d, 1] = z[token, d]
    torch.testing.assert_close(u.grad, expected, rtol=1e-5, atol=0)
    assert not u.grad[expected == 0].any()


def test_the_root_of_rglru_has_a_bounded_gradient() -> None:
    # log a = -4e-8, where 1 / (2 sqrt(1 - a^2)) would be 1,700
    u = torch.tensor([[0.0, 40.0, 1.0], [-11.51, 40.0, 1.0]], dtype=torch.float64)
    u = u[:, None, :, None].requires_grad_()
    lam = torch.full((1, 1), -7.6, dtype=torch.float64)
    y = bi_gated_scan(u, "rglru", pack_lengths([2]), params=lam)
    y[1].sum().backward()
    p, r = np.log1p(np.exp(-7.6)), s(np.float64(-11.51))
    log_a = -8 * p * r
    assert 1 / (2 * np.sqrt(-np.expm1(2 * log_a))) > 1500
    slope = 1 * np.exp(log_a) - 1000 * 2 * np.exp(2 * log_a)  # h_1 = 1: through a, and the root
    expected = slope * -8 * p * r * (1 - r)
    assert u.grad[1, 0, 0, 0].item() == pytest.approx(expected, rel=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    u, packed = torch.randn(4, 2, 3, 5), pack_lengths([4])
    wrong: list[tuple[str, dict]] = [
        ("no cell is called 'gru'", {"cell": "gru"}),
        ("'mingru' takes .*2, channels", {"cell": "mingru"}),
        ("4 tokens, the pack 3", {"packed": pack_lengths([3])}),
        ("no pool is called 'sum'", {"pool": "sum"}),
        (r"no pool is called \('max', 'mean'\)", {"pool": ("max", "mean")}),
        ("pooled results are float32", {"pool": "max", "out_dtype": torch.float16}),
        ("takes no params", {"params": torch.ones(2, 5)}),
        (r"needs params: \[2, 5\]", {"cell": "rglru"}),
        (r"takes \[2, 3, 5\]", {"cell": "paragru", "params": torch.ones(2, 5)}),
        ("u is torch.int64", {"u": u.long()}),
        (r"u is \[4, 3, 3, 5\]", {"u": torch.randn(4, 3, 3, 5)}),
    ]
    for message, change in wrong:
        arguments: dict[str, Any] = {"u": u, "cell": "minlstm", "packed": packed} | change
        with pytest.raises(BadArguments, match=message):
            bi_gated_scan(**arguments)


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_a_pack_without_tokens(lengths: list[int]) -> None:
    for cell in GATES:
        u, params = case(cell, 0)
        u.requires_grad_()
        packed = pack_lengths(lengths)
        assert bi_gated_scan(u, cell, packed, params=params).shape == (0, 10)
        pooled = bi_gated_scan(u, cell, packed, params=params, pool=("mean", "max"))
        assert pooled.shape == (len(lengths), 20)
        assert not pooled.any()
        pooled.sum().backward()
