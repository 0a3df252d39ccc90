"""Pooling each segment: numbers set by hand, a reference in float64, and its twins."""

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
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths
from tamis.kernels.segment_pool import segment_pool

Compare = Callable[[Tensor, Tensor, float], None]

MIXED = [0, 1, 17, 2, 0, 15, 16, 40]
OPS: list[Any] = ["mean", "max", "last", "first", ("mean", "max"), ("last", "max", "first")]


def run(backend: str, x: Tensor, lengths: list[int], op: Any) -> list[Tensor]:
    """The pooled and the gradient of x."""
    leaf = x.clone().requires_grad_()
    with forced(backend):  # type: ignore[arg-type]
        pooled = segment_pool(leaf, pack_lengths(lengths, x.device), op)
    draw = torch.Generator().manual_seed(3)
    grad = torch.randn(pooled.shape, generator=draw).to(pooled)
    pooled.backward(grad)
    assert leaf.grad is not None
    return [pooled.detach(), leaf.grad]


@pytest.fixture(params=["reference", "torch", "triton"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def test_numbers_set_by_hand(backend: str) -> None:
    packed = pack_lengths([3, 0, 1])
    x = torch.tensor([[1.0, 5], [6, -1], [2, -1], [-4, -7]])
    with forced(backend):  # type: ignore[arg-type]
        found = {
            op: segment_pool(x, packed, op).tolist() for op in ("mean", "max", "last", "first")
        }
        assert found == {
            "mean": [[3, 1], [0, 0], [-4, -7]],
            "max": [[6, 5], [0, 0], [-4, -7]],
            "last": [[2, -1], [0, 0], [-4, -7]],
            "first": [[1, 5], [0, 0], [-4, -7]],
        }
        both = segment_pool(x, packed, ("max", "mean"))
    assert both.tolist() == [[6, 5, 3, 1], [0, 0, 0, 0], [-4, -7, -4, -7]]


def test_the_first_of_equals_has_the_gradient(backend: str) -> None:
    x = torch.tensor([[7.0], [7], [1], [3], [3], [3], [-2], [5], [5]], requires_grad=True)
    with forced(backend):  # type: ignore[arg-type]
        segment_pool(x, pack_lengths([3, 3, 0, 3]), "max").sum().backward()
    assert x.grad is not None
    assert x.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0, 0, 1, 0]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), max_size=6),
    channels=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_the_reference_against_numpy(lengths: list[int], channels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-3, 4, (sum(lengths), channels)).astype(float)
    parts = np.split(values, np.cumsum(lengths)[:-1]) if lengths else []
    empty = np.zeros(channels)
    pooled, dx = run(
        "reference", torch.from_numpy(values), lengths, ("max", "last", "mean", "first")
    )
    expected = [
        np.concatenate([part.max(0), part[-1], part.mean(0), part[0]])
        if len(part)
        else [*empty] * 4
        for part in parts
    ]
    assert pooled.dtype == torch.float64
    wanted = np.reshape(expected, (len(lengths), 4 * channels))
    np.testing.assert_allclose(pooled.numpy(), wanted, atol=1e-12)
    assert dx.shape == (sum(lengths), channels)


@pytest.mark.parametrize("op", OPS, ids=str)
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_twins_in_float32(backend: str, op: Any, ties: bool, close: Compare) -> None:
    torch.manual_seed(1)
    lengths = MIXED if backend == "triton" else [*MIXED, 300]
    x = torch.randn(sum(lengths), 70)
    x = (2 * x).round() if ties else x
    expected = run("reference", x.double(), lengths, op)
    for found, wanted, bound in zip(
        run(backend, x, lengths, op), expected, (1e-5, 5e-5), strict=True
    ):
        assert found.dtype == torch.float32
        close(found, wanted, bound)


@pytest.mark.parametrize("op", ["mean", ("mean", "max")], ids=str)
def test_twins_in_bfloat16(backend: str, op: Any, close: Compare, close_rms: Compare) -> None:
    torch.manual_seed(1)
    x = torch.randn(sum(MIXED), 70).bfloat16()
    pooled, dx = run(backend, x, MIXED, op)
    expected = run("reference", x.double(), MIXED, op)
    assert (pooled.dtype, dx.dtype) == (torch.float32, torch.bfloat16)
    close(pooled, expected[0], 1e-5)
    close_rms(dx, expected[1], 6e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("op", OPS, ids=str)
def test_triton_on_a_gpu(op: Any, gpu: torch.device, close: Compare, close_rms: Compare) -> None:
    torch.manual_seed(1)
    lengths = [*MIXED, 300] * 20
    x = torch.randn(sum(lengths), 200, device=gpu)
    for dtype, compare, bound in ((torch.float32, close, 5e-5), (torch.bfloat16, close_rms, 6e-3)):
        values = x.to(dtype)
        found = run("triton", values, lengths, op)
        expected = run("reference", values.double(), lengths, op)
        close(found[0], expected[0], 1e-5)
        compare(found[1], expected[1], bound)
        assert torch.equal(found[1], run("triton", values, lengths, op)[1])


@pytest.mark.parametrize("op", [("mean", "max"), ("first", "last")], ids=str)
def test_no_passage_sees_another(backend: str, op: Any) -> None:
    lengths = [3, 0, 9, 1, 4]
    x = torch.linspace(-1, 1, 17 * 3).sin().reshape(17, 3)
    before = run(backend, x, lengths, op)
    x[3:12] = 50 * x[3:12].flip(0)
    after = run(backend, x, lengths, op)
    assert torch.equal(before[0][[0, 1, 3, 4]], after[0][[0, 1, 3, 4]])
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    assert torch.equal(before[1][others], after[1][others])


@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=str)
def test_a_pack_without_tokens(backend: str, lengths: list[int]) -> None:
    pooled, dx = run(backend, torch.ones(0, 3), lengths, ("mean", "max", "last"))
    assert pooled.tolist() == [[0.0] * 9] * len(lengths)
    assert dx.shape == (0, 3)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    with pytest.raises(BadArguments, match=r"x is \[4, 2\], not \[3 tokens"):
        segment_pool(torch.ones(4, 2), packed, "mean")
    for op in ("median", (), ("mean", "mean")):
        with pytest.raises(BadArguments, match="mean, max, last, first"):
            segment_pool(torch.ones(3, 2), packed, op)
