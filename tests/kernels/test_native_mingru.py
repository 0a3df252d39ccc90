"""minGRU in C, for each instruction set, against the float64 reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.dispatch import forced
from tamis.kernels.native import calls
from tamis.kernels.native.loading import library
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

LENGTHS = [0, 1, 2, 300, 0, 15, 16, 17, 64]


def both_passes(u: Tensor, weights: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    """States of both directions and the gradient of u."""
    u = u.clone().requires_grad_()
    with forced(backend):  # type: ignore[arg-type]
        states = bi_gated_scan(u, "mingru", pack_lengths(LENGTHS))
    states.backward(weights.to(states))
    assert u.grad is not None
    return states.detach(), u.grad


def values(channels: int, directions: int, scale: float) -> tuple[Tensor, Tensor]:
    torch.manual_seed(channels)
    tokens = sum(LENGTHS)
    return (
        scale * torch.randn(tokens, directions, 2, channels),
        torch.randn(tokens, directions * channels),
    )


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize(("channels", "directions"), [(1, 2), (16, 1), (33, 2), (192, 2)])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_equals_the_reference(
    channels: int, directions: int, scale: float, close: Callable[[Tensor, Tensor, float], None]
) -> None:
    u, weights = values(channels, directions, scale)
    states, gradient = both_passes(u, weights, "native")
    expected, expected_gradient = both_passes(u.double(), weights, "reference")
    close(states, expected, 1e-5)
    close(gradient, expected_gradient, 5e-5)


@pytest.mark.usefixtures("instruction_set")
def test_as_many_channels_as_fill_a_stack() -> None:
    """2.2 million floats are more than the 8 MB that a thread may have."""
    u = torch.zeros(1, 1, 2, 2_200_000, requires_grad=True)
    with forced("native"):
        bi_gated_scan(u, "mingru", pack_lengths([1])).sum().backward()
    assert u.grad is not None
    assert (u.grad[0, 0, 0] == 0).all()
    assert (u.grad[0, 0, 1] == 0.5).all()  # the open share of a gate of 0


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    if library() is None:
        pytest.skip("the C library was not built")
    u, weights = values(33, 2, 1.0)
    one = both_passes(u, weights, "native")
    monkeypatch.setattr(calls, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(calls, "threads", lambda: 4)
    assert len(calls.segment_runs(pack_lengths(LENGTHS), 33)) > 1
    many = both_passes(u, weights, "native")
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))
