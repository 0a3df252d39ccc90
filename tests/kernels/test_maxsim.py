"""Late interaction: numbers set by hand, numpy, and twins over the float64 reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.dispatch import forced
from tamis.kernels.maxsim import chunked, maxsim
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]

MIXED = [0, 1, 33, 2, 0, 31, 1, 32]
SHAPES = [(1, 1), (5, 41), (33, 70)]  # query tokens, channels


def draw(lengths: list[int], asked: int, channels: int, *, ties: bool = False) -> list[Tensor]:
    torch.manual_seed(asked + channels)
    values = [torch.randn(rows, channels) for rows in (asked, sum(lengths))]
    return [value.round() for value in values] if ties else values


def run(backend: str, values: list[Tensor], lengths: list[int]) -> list[Tensor]:
    """The scores and the gradients of query and passages."""
    query, passages = (value.clone().requires_grad_() for value in values)
    with forced(backend):  # type: ignore[arg-type]
        scores = maxsim(query, passages, pack_lengths(lengths, query.device))
    grad = torch.randn(scores.shape, generator=torch.Generator().manual_seed(3))
    scores.backward(grad.to(scores))
    assert query.grad is not None
    assert passages.grad is not None
    return [scores.detach(), query.grad, passages.grad]


@pytest.fixture(params=["reference", "torch", "triton"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def test_numbers_set_by_hand(backend: str) -> None:
    query = torch.tensor([[1.0, 0], [0, 1]])
    passages = torch.tensor([[3.0, 1], [2, 5], [-1, -4]])
    with forced(backend):  # type: ignore[arg-type]
        scores = maxsim(query, passages, pack_lengths([2, 0, 1]))
    assert scores.tolist() == [8, 0, -5]
    assert scores.dtype == torch.float32


def test_the_first_of_equals_has_the_gradient(backend: str) -> None:
    query = torch.tensor([[1.0, 0], [0, 1]])
    passages = torch.tensor([[0.0, 2], [3, 2], [3, 2], [3, 1]], requires_grad=True)
    with forced(backend):  # type: ignore[arg-type]
        maxsim(query, passages, pack_lengths([3, 1])).sum().backward()
    assert passages.grad is not None
    assert passages.grad.tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), max_size=6),
    asked=st.integers(0, 4),
    channels=st.integers(1, 4),
)
def test_the_reference_against_numpy(lengths: list[int], asked: int, channels: int) -> None:
    query, passages = (value.double() for value in draw(lengths, asked, channels))
    products = (query @ passages.T).numpy()
    ends = np.cumsum(lengths)
    expected = [
        products[:, end - length : end].max(1).sum() if length else 0.0
        for length, end in zip(lengths, ends, strict=True)
    ]
    with forced("reference"):
        scores = maxsim(query, passages, pack_lengths(lengths))
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores.numpy(), np.array(expected), atol=1e-12)


@pytest.mark.parametrize(("asked", "channels"), SHAPES)
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_twins_in_float32(
    backend: str, asked: int, channels: int, ties: bool, close: Compare
) -> None:
    lengths = MIXED if backend == "triton" else [*MIXED, 300]
    values = draw(lengths, asked, channels, ties=ties)
    expected = run("reference", [value.double() for value in values], lengths)
    found = run(backend, values, lengths)
    for a, b, bound in zip(found, expected, (1e-5, 5e-5, 5e-5), strict=True):
        close(a, b, bound)


def test_twins_in_bfloat16(backend: str, close: Compare, close_rms: Compare) -> None:
    values = [value.bfloat16() for value in draw(MIXED, 7, 70)]
    found = run(backend, values, MIXED)
    expected = run("reference", [value.double() for value in values], MIXED)
    close(found[0], expected[0], 1e-5)
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert a.dtype == torch.bfloat16
        close_rms(a, b, 6e-3)


@pytest.mark.gpu
@pytest.mark.parametrize(("asked", "channels"), [*SHAPES, (32, 128), (70, 384)])
def test_triton_on_a_gpu(
    asked: int, channels: int, gpu: torch.device, close: Compare, close_rms: Compare
) -> None:
    lengths = [*MIXED, 300] * 20
    values = [value.to(gpu) for value in draw(lengths, asked, channels)]
    for dtype, compare, bound in ((torch.float32, close, 5e-5), (torch.bfloat16, close_rms, 6e-3)):
        narrow = [value.to(dtype) for value in values]
        found = run("triton", narrow, lengths)
        expected = run("reference", [value.double() for value in narrow], lengths)
        close(found[0], expected[0], 1e-5)
        for a, b in zip(found[1:], expected[1:], strict=True):
            compare(a, b, bound)
        assert all(
            torch.equal(a, b) for a, b in zip(found, run("triton", narrow, lengths), strict=True)
        )


@pytest.mark.parametrize("size", [1, 5, 36, 10_000])
def test_chunks_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch, close: Compare) -> None:
    monkeypatch.setattr(chunked, "CHUNK", size)
    values = draw(MIXED, 5, 8)
    found = run("torch", values, MIXED)
    expected = run("reference", [value.double() for value in values], MIXED)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-5)


@pytest.mark.usefixtures("interpreted")
def test_the_querys_gradient_adds_up_over_several_programs(close: Compare) -> None:
    lengths = [1, 0, 2] * 50  # more than two groups of passages
    values = draw(lengths, 2, 3)
    expected = run("reference", [value.double() for value in values], lengths)
    close(run("triton", values, lengths)[1], expected[1], 5e-5)


def test_no_passage_sees_another(backend: str) -> None:
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, 5, 8)
    before = run(backend, values, lengths)
    values[1][3:12] = 50 - 3 * values[1][3:12]
    after = run(backend, values, lengths)
    places, rows = [0, 1, 3, 4], [0, 1, 2, 12, 13, 14, 15, 16]
    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(before[0][places], after[0][places], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(before[2][rows], after[2][rows], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=str)
def test_a_pack_without_tokens(backend: str, lengths: list[int]) -> None:
    scores, dquery, dpassages = run(backend, draw(lengths, 3, 4), lengths)
    assert scores.tolist() == [0.0] * len(lengths)
    assert not dquery.any()
    assert dpassages.shape == (0, 4)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    with pytest.raises(BadArguments, match=r"\[2, 3\] and \[3, 4\]"):
        maxsim(torch.ones(2, 3), torch.ones(3, 4), packed)
    with pytest.raises(BadArguments, match="4 tokens, the pack 3"):
        maxsim(torch.ones(2, 4), torch.ones(4, 4), packed)
    with pytest.raises(BadArguments, match="bfloat16"):
        maxsim(torch.ones(2, 4).bfloat16(), torch.ones(3, 4), packed)
