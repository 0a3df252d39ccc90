"""Running and whole softmax averages: sums over every prefix, and twins over the reference."""

from __future__ import annotations

import math
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
from tamis.kernels.softmax_scan import attention_pool, softmax_scan

Compare = Callable[[Tensor, Tensor, float], None]

MIXED = [0, 1, 17, 2, 0, 16, 1]
# one score a channel as in RWKV-4, one a head as in Aaren; with and without decay and bonus
CASES: list[dict[str, Any]] = [
    {"heads": 70, "width": 1, "decay": True, "bonus": True},
    {"heads": 3, "width": 5, "decay": True, "bonus": False, "reverse": True},
    {"heads": 3, "width": 40, "decay": False, "bonus": False},
    {"heads": 5, "width": 2, "decay": False, "bonus": True, "reverse": True},
]


def draw(lengths: list[int], heads: int, width: int) -> list[Tensor]:
    """s, v, decay, bonus and a gradient for the result, float32."""
    torch.manual_seed(sum(lengths) + heads + width)
    tokens = sum(lengths)
    s, v, dy = (torch.randn(tokens, heads, *rest) for rest in ((), (width,), (width,)))
    return [s, v, 0.5 * torch.rand(heads), torch.randn(heads), dy]


def run(
    backend: str, values: list[Tensor], lengths: list[int], case: dict[str, Any]
) -> list[Tensor]:
    """The result and the gradients of s, v and, where they are given, of decay and bonus."""
    s, v, decay, bonus = (value.clone().requires_grad_() for value in values[:4])
    with forced(backend):  # type: ignore[arg-type]
        y = softmax_scan(
            s,
            v,
            pack_lengths(lengths, v.device),
            decay=decay if case["decay"] else None,
            bonus=bonus if case["bonus"] else None,
            reverse=case.get("reverse", False),
        )
    assert y.dtype == v.dtype
    y.backward(values[4])
    return [y.detach(), *(leaf.grad for leaf in (s, v, decay, bonus) if leaf.grad is not None)]


def run_pool(backend: str, values: list[Tensor], lengths: list[int]) -> list[Tensor]:
    s, v = (value.clone().requires_grad_() for value in values[:2])
    with forced(backend):  # type: ignore[arg-type]
        y = attention_pool(s, v, pack_lengths(lengths, v.device))
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    y.backward(grad.to(y))
    assert s.grad is not None
    assert v.grad is not None
    return [y.detach(), s.grad, v.grad]


@pytest.fixture(params=["reference", "triton"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def test_numbers_set_by_hand(backend: str) -> None:
    packed = pack_lengths([2, 0, 1])
    s = torch.tensor([[0.0], [math.log(3)], [5.0]])
    v = torch.tensor([4.0, 8, 1]).reshape(3, 1, 1)
    two = torch.tensor([math.log(2)])
    with forced(backend):  # type: ignore[arg-type]
        found = {
            "forward": softmax_scan(s, v, packed),
            "reverse": softmax_scan(s, v, packed, reverse=True),
            "decay": softmax_scan(s, v, packed, decay=two),  # (4 / 2 + 3 x 8) / (1 / 2 + 3)
            "bonus": softmax_scan(s, v, packed, decay=two, bonus=two),  # (4 + 2 x 3 x 8) / 7
            "pool": attention_pool(s, v, packed),
        }
    expected = {
        "forward": [4, 7, 1],
        "reverse": [7, 8, 1],
        "decay": [4, 52 / 7, 1],
        "bonus": [4, 52 / 7, 1],
        "pool": [7, 0, 1],
    }
    for name, values in expected.items():
        assert found[name].flatten().tolist() == pytest.approx(values, rel=1e-6), name


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    heads=st.integers(1, 3),
    width=st.integers(1, 3),
    decay=st.booleans(),
    bonus=st.booleans(),
    reverse=st.booleans(),
)
def test_the_reference_against_sums_over_every_prefix(
    lengths: list[int], heads: int, width: int, decay: bool, bonus: bool, reverse: bool
) -> None:
    values = [value.double() for value in draw(lengths, heads, width)]
    case = {"decay": decay, "bonus": bonus, "reverse": reverse}
    s, v, fall, own = (value.numpy() for value in values[:4])
    expected = []
    for scores, texts in zip(*(np.split(x, np.cumsum(lengths)[:-1]) for x in (s, v)), strict=True):
        part = prefix_averages(
            scores[::-1] if reverse else scores,
            texts[::-1] if reverse else texts,
            fall * decay,
            own if bonus else None,
        )
        expected.append(part[::-1] if reverse else part)
    found = run("reference", values, lengths, case)[0]
    np.testing.assert_allclose(found.numpy(), np.concatenate(expected), atol=1e-12)


def prefix_averages(
    s: np.ndarray, v: np.ndarray, decay: np.ndarray, bonus: np.ndarray | None
) -> np.ndarray:
    out = np.zeros_like(v)
    for t in range(len(s)):
        age = np.arange(t, -1, -1)[:, None]
        weights = np.exp(s[: t + 1] - age * decay)
        if bonus is not None:
            weights = np.exp(s[: t + 1] - (age - 1) * decay)
            weights[t] = np.exp(s[t] + bonus)
        out[t] = np.einsum("th,thd->hd", weights / weights.sum(0), v[: t + 1])
    return out


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_the_reference(case: dict[str, Any]) -> None:
    """Its largest exponents are cut out of the graph: finite differences do not know that."""
    lengths = [3, 0, 1, 4]
    leaves = [value.double().requires_grad_() for value in draw(lengths, 2, 2)[:4]]

    def scan(s: Tensor, v: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
        return softmax_scan(
            s,
            v,
            pack_lengths(lengths),
            decay=decay if case["decay"] else None,
            bonus=bonus if case["bonus"] else None,
            reverse=case.get("reverse", False),
        )

    assert torch.autograd.gradcheck(scan, leaves)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_twins_in_float32(backend: str, case: dict[str, Any], close: Compare) -> None:
    lengths = MIXED if backend == "triton" else [*MIXED, 300]
    values = draw(lengths, case["heads"], case["width"])
    check(backend, values, lengths, case, close, (1e-5, 5e-5))


@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_twins_in_bfloat16(backend: str, case: dict[str, Any], close_rms: Compare) -> None:
    values = [value.bfloat16() for value in draw(MIXED, case["heads"], case["width"])]
    # the interpreter cuts bfloat16 off where a GPU rounds; sums in bfloat16 are autograd's own
    check(backend, values, MIXED, case, close_rms, (5e-3, 1e-2))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_triton_on_a_gpu(
    case: dict[str, Any], gpu: torch.device, close: Compare, close_rms: Compare
) -> None:
    lengths = [*MIXED, 300] * 20
    values = [value.to(gpu) for value in draw(lengths, case["heads"], case["width"])]
    check("triton", values, lengths, case, close, (1e-5, 5e-5))
    narrow = [value.bfloat16() for value in values]
    check("triton", narrow, lengths, case, close_rms, (3e-3, 6e-3))
    again = [run("triton", values, lengths, case) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))


def check(
    backend: str,
    values: list[Tensor],
    lengths: list[int],
    case: dict[str, Any],
    compare: Compare,
    bounds: tuple[float, float],
) -> None:
    """A twin against the float64 reference on the same values, result and gradients."""
    found = run(backend, values, lengths, case)
    expected = run("reference", [value.double() for value in values], lengths, case)
    assert len(found) == len(expected)
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        compare(a, b, bounds[place > 0])


@pytest.mark.parametrize("case", CASES[:2], ids=str)
@pytest.mark.parametrize("scale", [80, 3000])
def test_extreme_scores(backend: str, case: dict[str, Any], scale: int, close: Compare) -> None:
    """exp(+-3000) has no float32; gradients stand beside values of 1, for their own may vanish."""
    values = draw(MIXED, case["heads"], case["width"])
    values[0] = scale * values[0].sign() + values[0]
    found = run(backend, values, MIXED, case)
    expected = run("reference", [value.double() for value in values], MIXED, case)
    close(found[0], expected[0], 1e-5)
    bound = 5e-5 if scale == 80 else 3e-3  # a log-sum of 3000 has a last bit of 2e-4
    for a, b in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=bound, atol=bound)


def test_a_small_decay_counts_beside_a_large_score(backend: str, close: Compare) -> None:
    """8000 - 0.0001 is 8000 in float32, and yet forty of them are felt."""
    v = torch.linspace(-1, 1, 40).reshape(40, 1, 1)
    values = [torch.full((40, 1), 8000.0), v, torch.tensor([1e-4]), torch.zeros(1), v]
    case = {"decay": True, "bonus": False}
    found = run(backend, values, [40], case)
    expected = run("reference", [value.double() for value in values], [40], case)
    close(found[0], expected[0], 1e-5)


@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_no_passage_sees_another(backend: str, case: dict[str, Any]) -> None:
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, case["heads"], case["width"])
    before = run(backend, values, lengths, case)
    for value in (values[0], values[1], values[4]):
        value[3:12] = 50 - 3 * value[3:12]
    after = run(backend, values, lengths, case)
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    for a, b in zip(before[:3], after[:3], strict=True):
        assert torch.equal(a[others], b[others])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_stop_where_a_passage_starts(backend: str, case: dict[str, Any]) -> None:
    lengths = [3, 4]
    values = draw(lengths, case["heads"], case["width"])
    first = 6 if case.get("reverse") else 3  # of the second passage, in the scan's direction
    values[4] = torch.zeros_like(values[4])
    values[4][first] = 2
    _, ds, dv, *rest = run(backend, values, lengths, case)
    # a passage's first average is its first value, whatever the scores
    assert torch.equal(dv[first], torch.full_like(dv[first], 2))
    dv[first] = 0
    assert not dv.any()
    assert ds.abs().max() < 1e-6
    assert all(grad.abs().max() < 1e-6 for grad in rest)


@pytest.mark.parametrize("case", CASES[:3], ids=str)
@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=str)
def test_a_pack_without_tokens(backend: str, lengths: list[int], case: dict[str, Any]) -> None:
    values = draw(lengths, 3, 2)
    y, _, dv, *rest = run(backend, values, lengths, case)
    assert y.shape == dv.shape == (0, 3, 2)
    assert not any(grad.any() for grad in rest)
    assert run_pool(backend, values, lengths)[0].tolist() == [[[0.0] * 2] * 3] * len(lengths)


@pytest.fixture(params=["reference", "torch", "triton"])
def pool_backend(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5), heads=st.integers(1, 3))
def test_the_pool_is_the_last_of_the_scan(lengths: list[int], heads: int) -> None:
    values = [value.double() for value in draw(lengths, heads, 2)]
    packed = pack_lengths(lengths)
    found = attention_pool(values[0], values[1], packed)
    scanned = softmax_scan(values[0], values[1], packed)
    for pooled, part in zip(found, scanned.split(lengths), strict=True):
        last = part[-1] if len(part) else torch.zeros_like(pooled)
        torch.testing.assert_close(pooled, last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 80])
def test_pools_in_float32(pool_backend: str, scale: int, close: Compare) -> None:
    lengths = [*MIXED, 70]  # 70: more than a tile
    values = draw(lengths, 3, 5)
    values[0] *= scale
    found = run_pool(pool_backend, values, lengths)
    expected = run_pool("reference", [value.double() for value in values], lengths)
    close(found[0], expected[0], 1e-5)
    for a, b in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=5e-5, atol=5e-5)


def test_pools_in_bfloat16(pool_backend: str, close: Compare, close_rms: Compare) -> None:
    values = [value.bfloat16() for value in draw(MIXED, 3, 5)]
    found = run_pool(pool_backend, values, MIXED)
    expected = run_pool("reference", [value.double() for value in values], MIXED)
    assert found[0].dtype == torch.float32
    close(found[0], expected[0], 1e-5)
    for a, b in zip(found[1:], expected[1:], strict=True):
        close_rms(a, b, 6e-3)


@pytest.mark.gpu
def test_the_triton_pool_on_a_gpu(gpu: torch.device, close: Compare) -> None:
    lengths = [*MIXED, 300] * 20
    for heads, width in ((3, 5), (12, 32), (1, 300)):
        values = [value.to(gpu) for value in draw(lengths, heads, width)]
        found = run_pool("triton", values, lengths)
        expected = run_pool("reference", [value.double() for value in values], lengths)
        for a, b, bound in zip(found, expected, (1e-5, 5e-5, 5e-5), strict=True):
            close(a, b, bound)


def test_no_passage_sees_another_in_the_pool(pool_backend: str) -> None:
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, 3, 2)
    before = run_pool(pool_backend, values, lengths)
    for value in values[:2]:
        value[3:12] = 50 - 3 * value[3:12]
    after = run_pool(pool_backend, values, lengths)
    assert torch.equal(before[0][[0, 1, 3, 4]], after[0][[0, 1, 3, 4]])
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    for a, b in zip(before[1:], after[1:], strict=True):
        assert torch.equal(a[others], b[others])


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    s, v = torch.ones(3, 2), torch.ones(3, 2, 4)
    for op in (softmax_scan, attention_pool):
        with pytest.raises(BadArguments, match=r"v is \[3, 2\], not \[3 tokens"):
            op(s, s, packed)
        with pytest.raises(BadArguments, match=r"v is \[4, 2, 4\]"):
            op(s, torch.ones(4, 2, 4), packed)
        with pytest.raises(BadArguments, match=r"s is \[3, 3\], not \[3, 2\]"):
            op(torch.ones(3, 3), v, packed)
    with pytest.raises(BadArguments, match=r"decay is \[1\], not \[2 heads\]"):
        softmax_scan(s, v, packed, decay=torch.ones(1))
    with pytest.raises(BadArguments, match=r"bonus is \[3\], not \[2 heads\]"):
        softmax_scan(s, v, packed, bonus=torch.ones(3))
