"""The packed depthwise convolution: torch's own over each passage, and twins over the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.depthwise_conv import depthwise_conv
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]

MIXED = [0, 1, 33, 2, 0, 31, 1, 32, 5]
LONG = [300, 0, 1, 17, 64, 2]
FILTERS: list[dict[str, Any]] = [
    {"taps": 1},
    {"taps": 3, "bias": False},
    {"taps": 5, "activation": "silu"},
    {"taps": 4, "causal": True, "activation": "silu", "bias": False},
    {"taps": 4, "causal": True},
]


def draw(lengths: list[int], channels: int, taps: int) -> list[Tensor]:
    """x, w, bias and a gradient for the result, float32."""
    torch.manual_seed(sum(lengths) + channels + taps)
    tokens = sum(lengths)
    shapes = [(tokens, channels), (taps, channels), (channels,), (tokens, channels)]
    return [torch.randn(shape) for shape in shapes]


def run(
    backend: str,
    values: list[Tensor],
    lengths: list[int],
    *,
    bias: bool = True,
    **options: Any,
) -> list[Tensor]:
    """The result and the gradients of x, w and, if there is one, bias."""
    x, w, b = (value.clone().requires_grad_() for value in values[:3])
    packed = pack_lengths(lengths, x.device)
    with forced(backend):  # type: ignore[arg-type]
        y = depthwise_conv(x, w, b if bias else None, packed, **options)
    assert y.dtype == x.dtype
    y.backward(values[3])
    return [y.detach(), *(leaf.grad for leaf in (x, w, b) if leaf.grad is not None)]


def by_conv1d(
    values: list[Tensor], lengths: list[int], causal: bool, activation: str | None
) -> list[Tensor]:
    x, w, b = (value.clone().requires_grad_() for value in values[:3])
    taps = len(w)
    found = []
    for part in x.split(lengths):
        around = (taps - 1, 0) if causal else (taps // 2, taps // 2)
        padded = torch.nn.functional.pad(part.T[None], around)
        if part.numel():
            found.append(
                torch.nn.functional.conv1d(padded, w.T[:, None], b, groups=w.shape[1])[0].T
            )
    y = torch.cat(found)
    y = torch.nn.functional.silu(y) if activation else y
    y.backward(values[3])
    return [y.detach(), *(leaf.grad for leaf in (x, w, b))]


def test_numbers_set_by_hand() -> None:
    packed = pack_lengths([3, 0, 2])
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    w = torch.tensor([[1.0], [10.0], [100.0]])
    around = depthwise_conv(x, w, None, packed)
    assert around[:, 0].tolist() == [210, 321, 32, 540, 54]
    before = depthwise_conv(x, w, torch.tensor([0.5]), packed, causal=True)
    assert before[:, 0].tolist() == [100.5, 210.5, 321.5, 400.5, 540.5]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    channels=st.integers(1, 5),
    half=st.integers(0, 3),
    causal=st.booleans(),
    activation=st.sampled_from([None, "silu"]),
)
def test_the_reference_is_torchs_convolution_of_each_passage(
    lengths: list[int], channels: int, half: int, causal: bool, activation: str | None
) -> None:
    taps = half + 1 if causal else 2 * half + 1
    values = [value.double() for value in draw(lengths, channels, taps)]
    found = run("reference", values, lengths, causal=causal, activation=activation)
    expected = by_conv1d(values, lengths, causal, activation)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.parametrize("lengths", [MIXED, LONG], ids=["mixed", "long"])
@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_plain_torch_in_float32(
    backend: str, lengths: list[int], options: dict[str, Any], close: Compare
) -> None:
    values = draw(lengths, 7, options["taps"])
    check(backend, values, lengths, options, lambda a, b, grad: close(a, b, 5e-5 if grad else 1e-5))


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_plain_torch_in_bfloat16(options: dict[str, Any], close_rms: Compare) -> None:
    values = [value.bfloat16() for value in draw(MIXED, 8, options["taps"])]
    check(
        "torch", values, MIXED, options, lambda a, b, grad: close_rms(a, b, 6e-3 if grad else 3e-3)
    )


@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.usefixtures("interpreted")
def test_triton_in_float32(options: dict[str, Any], close: Compare) -> None:
    values = draw(MIXED, 70, options["taps"])
    check("triton", values, MIXED, options, lambda a, b, grad: close(a, b, 5e-5 if grad else 1e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(close_rms: Compare) -> None:
    options = FILTERS[2]
    values = [value.bfloat16() for value in draw(MIXED, 70, options["taps"])]
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check(
        "triton", values, MIXED, options, lambda a, b, grad: close_rms(a, b, 8e-3 if grad else 5e-3)
    )


@pytest.mark.gpu
@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_triton_on_a_gpu(
    options: dict[str, Any], gpu: torch.device, close: Compare, close_rms: Compare
) -> None:
    lengths = LONG + MIXED * 20
    values = [value.to(gpu) for value in draw(lengths, 200, options["taps"])]
    check(
        "triton", values, lengths, options, lambda a, b, grad: close(a, b, 5e-5 if grad else 1e-5)
    )
    narrow = [value.bfloat16() for value in values]
    check(
        "triton",
        narrow,
        lengths,
        options,
        lambda a, b, grad: close_rms(a, b, 6e-3 if grad else 3e-3),
    )
    again = [run("triton", values, lengths, **without_taps(options)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))


def check(
    backend: str,
    values: list[Tensor],
    lengths: list[int],
    options: dict[str, Any],
    compare: Callable[[Tensor, Tensor, bool], None],
) -> None:
    """A twin against the float64 reference on the same values, result and gradients."""
    found = run(backend, values, lengths, **without_taps(options))
    wide = [value.double() for value in values]
    expected = run("reference", wide, lengths, **without_taps(options))
    assert len(found) == len(expected)
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        compare(a, b, place > 0)


def without_taps(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "taps"}


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_no_passage_sees_another(backend: str, request: pytest.FixtureRequest) -> None:
    """Not even one of NaN beside it: outputs and gradients of the others keep every bit."""
    if backend == "triton":
        request.getfixturevalue("interpreted")
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, 3, 5)
    options: dict[str, Any] = {"activation": "silu"}
    before = run(backend, values, lengths, **options)
    values[0][3:12] = torch.nan
    values[3][3:12] = 7
    after = run(backend, values, lengths, **options)
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    for a, b in zip(before[:2], after[:2], strict=True):
        assert torch.equal(a[others], b[others])


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_gradients_stop_where_a_passage_starts(
    backend: str, request: pytest.FixtureRequest
) -> None:
    if backend == "triton":
        request.getfixturevalue("interpreted")
    lengths = [2, 3]
    x = torch.ones(5, 1)
    w = torch.tensor([[1.0], [10.0], [100.0]])
    dy = torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0]])  # the first token of the second
    _, dx, dw = run(backend, [x, w, torch.zeros(1), dy], lengths, bias=False)
    assert dx[:, 0].tolist() == [0, 0, 10, 100, 0]
    assert dw[:, 0].tolist() == [0, 1, 1]
    _, dx, dw = run(backend, [x, w, torch.zeros(1), dy], lengths, bias=False, causal=True)
    assert dx[:, 0].tolist() == [0, 0, 100, 0, 0]
    assert dw[:, 0].tolist() == [0, 0, 1]


@pytest.mark.usefixtures("interpreted")
def test_weight_gradients_add_up_over_several_programs(close: Compare) -> None:
    lengths = [200, 1, 150, 170]  # more than two spans of tokens
    values = draw(lengths, 2, 3)
    found = run("triton", values, lengths)
    expected = run("reference", [value.double() for value in values], lengths)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 5e-5)


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=str)
def test_a_pack_without_tokens(
    backend: str, lengths: list[int], request: pytest.FixtureRequest
) -> None:
    if backend == "triton":
        request.getfixturevalue("interpreted")
    y, dx, dw, db = run(backend, draw(lengths, 4, 3), lengths, activation="silu")
    assert y.shape == dx.shape == (0, 4)
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"x": torch.ones(4, 2)}, r"\[4, 2\]"),
        ({"w": torch.ones(3, 5)}, r"\[3, 5\]"),
        ({"w": torch.ones(0, 2)}, "taps"),
        ({"w": torch.ones(2, 2)}, "even"),
        ({"bias": torch.ones(1)}, r"bias is \[1\]"),
        ({"activation": "gelu"}, "gelu"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], word: str) -> None:
    given = {"x": torch.ones(3, 2), "w": torch.ones(3, 2), "bias": None} | change
    with pytest.raises(BadArguments, match=word):
        depthwise_conv(packed=pack_lengths([2, 1]), **given)
