"""S4D: numbers by hand, a loop in numpy, and each twin over the reference."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.diagonal_ssm import diagonal_ssm
from tamis.kernels.diagonal_ssm.convolution import impulse_response
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]
Values = dict[str, Tensor]

SHORT = [9, 0, 1, 17, 7, 8]  # about the eight steps that a kernel loads at a time
LONG = [300, 0, 1, 15, 16, 17, 24, 25, 33, 64]  # about the sizes to which the convolution pads


@pytest.fixture(params=["reference", "torch", "triton"])
def twin(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def draw(lengths: list[int], channels: int, states: int, seed: int = 0) -> Values:
    """S4D-Lin with steps from 0.001 to 0.1, and dy."""
    make = torch.Generator().manual_seed(seed)
    tokens, bank = sum(lengths), (channels, states)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make)

    return {
        "x": normal(tokens, channels),
        "log_dt": torch.rand(channels, generator=make) * math.log(100) + math.log(1e-3),
        "A_re": torch.full(bank, -0.5),
        "A_im": math.pi * torch.arange(float(states)).repeat(channels, 1),
        "C_re": normal(*bank),
        "C_im": normal(*bank),
        "D": normal(channels),
        "dy": normal(tokens, channels),
    }


def run(twin: str, values: Values, lengths: list[int], *, reverse: bool = False) -> Values:
    """y and the gradient of each tensor."""
    leaves = {k: v.clone().requires_grad_() for k, v in values.items() if k != "dy"}
    packed = pack_lengths(lengths, values["x"].device)
    with forced(twin):  # type: ignore[arg-type]
        y = diagonal_ssm(*leaves.values(), packed, reverse=reverse)
    y.backward(values["dy"])
    grads = {f"d{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    assert len(grads) == len(leaves)
    assert all(grad.dtype == leaves[name[1:]].dtype for name, grad in grads.items())
    assert y.dtype == values["x"].dtype
    return {"y": y.detach()} | grads


def check(
    twin: str, values: Values, lengths: list[int], compare: Compare, bounds: tuple[float, float]
) -> None:
    """A twin against the float64 reference on the same values, in both directions."""
    for reverse in (False, True):
        found = run(twin, values, lengths, reverse=reverse)
        exact = {name: value.double() for name, value in values.items()}
        expected = run("reference", exact, lengths, reverse=reverse)
        for name, value in found.items():
            compare(value, expected[name], bounds[name.startswith("d")])


def narrow(values: Values) -> Values:
    """bfloat16 tokens: training keeps the parameters wide."""
    return {k: v.bfloat16() if k in ("x", "dy") else v for k, v in values.items()}


def by_hand(values: Values, lengths: list[int], reverse: bool) -> np.ndarray:
    x, log_dt, *bank, skip, _ = (value.numpy() for value in values.values())
    pole, weight = bank[0] + 1j * bank[1], bank[2] + 1j * bank[3]
    abar = np.exp(np.exp(log_dt)[:, None] * pole)
    bbar = (abar - 1) / pole
    y = np.zeros_like(x)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        h = np.zeros_like(pole)
        tokens = range(end - length, end)
        for t in reversed(tokens) if reverse else tokens:
            h = abar * h + bbar * x[t][:, None]
            y[t] = 2 * (weight * h).sum(1).real + skip * x[t]
    return y


def test_numbers_set_by_hand(twin: str) -> None:
    """A step halves the state and turns it by a right angle: the response is 1, 0, -1/4, 0, 1/16.

    With dt = 1, A = log(1/2) + i pi/2 and C bbar = 1/2.
    """
    pole = complex(math.log(0.5), math.pi / 2)
    weight = 0.5 * pole / (0.5j - 1)
    parts = (pole.real, pole.imag, weight.real, weight.imag)
    bank = [torch.tensor([[part]]) for part in parts]
    x = torch.tensor([[1.0], [0.0], [0.0], [0.0], [0.0], [16.0], [4.0], [0.0]])
    packed = pack_lengths([5, 0, 3])
    with forced(twin):  # type: ignore[arg-type]
        y = diagonal_ssm(x, torch.zeros(1), *bank, torch.tensor([10.0]), packed)
        expected = torch.tensor([11, 0, -0.25, 0, 0.0625, 176, 44, -4])
        torch.testing.assert_close(y[:, 0], expected)
        y = diagonal_ssm(x, torch.zeros(1), *bank, torch.zeros(1), packed, reverse=True)
        torch.testing.assert_close(y[:, 0], torch.tensor([1.0, 0, 0, 0, 0, 16, 4, 0]))


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=5),
    channels=st.integers(1, 3),
    states=st.integers(1, 3),
    reverse=st.booleans(),
)
def test_the_reference_is_a_loop_over_each_segment(
    lengths: list[int], channels: int, states: int, reverse: bool
) -> None:
    values = {k: v.double() for k, v in draw(lengths, channels, states).items()}
    found = run("reference", values, lengths, reverse=reverse)["y"]
    np.testing.assert_allclose(found, by_hand(values, lengths, reverse), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 100])
def test_the_convolution_is_with_what_one_token_leaves(length: int) -> None:
    values = {k: v.double() for k, v in draw([length], 3, 4).items()}
    values["x"] = torch.zeros(length, 3, dtype=torch.float64)
    values["x"][0] = 1
    values["D"][:] = 0
    bank = [values[name] for name in ("log_dt", "A_re", "A_im", "C_re", "C_im")]
    expected = by_hand(values, [length], reverse=False)
    np.testing.assert_allclose(impulse_response(*bank, length), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_on_the_cpu_in_float32(backend: str, close: Compare) -> None:
    check(backend, draw(LONG, 20, 32), LONG, close, (1e-5, 5e-5))


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_on_the_cpu_in_bfloat16(backend: str, close_rms: Compare) -> None:
    check(backend, narrow(draw(LONG, 20, 16)), LONG, close_rms, (3e-3, 6e-3))


def test_the_convolution_in_float64(close: Compare) -> None:
    exact = {k: v.double() for k, v in draw(LONG, 5, 16).items()}
    check("torch", exact, LONG, close, (1e-11, 1e-10))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("channels", "states"), [(5, 3), (1, 1)])
def test_triton_in_float32(channels: int, states: int, close: Compare) -> None:
    check("triton", draw(SHORT, channels, states), SHORT, close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_over_more_channels_than_a_block(close: Compare) -> None:
    """Blocks of 16 channels for 32 states."""
    check("triton", draw([9, 2], 35, 32), [9, 2], close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(close_rms: Compare) -> None:
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check("triton", narrow(draw(SHORT, 5, 3)), SHORT, close_rms, (5e-3, 9e-3))


@pytest.mark.parametrize(
    ("decay", "dt"), [(-80.0, 1.0), (-1e-7, 0.1), (-0.5, 1e-6)], ids=["forgets", "keeps", "slow"]
)
def test_decays_at_their_ends(twin: str, decay: float, dt: float, close: Compare) -> None:
    lengths = [9, 1, 0]
    values = draw(lengths, 3, 2)
    values["A_re"][0] = decay
    values["log_dt"][0] = math.log(dt)
    check(twin, values, lengths, close, (1e-5, 5e-5))


@pytest.mark.parametrize("reverse", [False, True])
def test_no_segment_sees_another(twin: str, reverse: bool) -> None:
    """Not even one of NaN beside it, padded to the same size or to another."""
    for lengths in ([3, 0, 9, 1, 4], [3, 0, 20, 1, 4]):
        values = draw(lengths, 3, 2)
        before = run(twin, values, lengths, reverse=reverse)
        for name in ("x", "dy"):
            values[name][3:-5] = torch.nan
        after = run(twin, values, lengths, reverse=reverse)
        others = [0, 1, 2, -5, -4, -3, -2, -1]
        for name in ("y", "dx"):
            assert torch.equal(before[name][others], after[name][others]), name


def test_alone_as_among_others(twin: str) -> None:
    lengths = [5, 9, 17, 1, 9]
    values = draw(lengths, 3, 2)
    among = run(twin, values, lengths)
    alone = {k: v[5:14] if k in ("x", "dy") else v for k, v in values.items()}
    found = run(twin, alone, [9])
    for name in ("y", "dx"):
        torch.testing.assert_close(found[name], among[name][5:14], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_stop_where_a_segment_starts(twin: str, reverse: bool) -> None:
    """At a first token there is no state to turn: A matters through the size of the input only."""
    lengths = [2, 2]
    values = draw(lengths, 1, 1)
    first, second = (3, 2) if reverse else (2, 3)
    values["dy"] = torch.zeros(4, 1)
    values["dy"][second] = 1
    found = run(twin, values, lengths, reverse=reverse)
    assert not found["dx"][:2].any()
    exact = {k: v.double().requires_grad_() for k, v in values.items() if k != "dy"}
    x, log_dt, *bank, skip = exact.values()
    pole, weight = torch.complex(*bank[:2]), torch.complex(*bank[2:])
    abar = (log_dt.exp() * pole).exp()
    bbar = (abar - 1) / pole
    state = abar * bbar * x[first] + bbar * x[second]
    (2 * (weight * state).real + skip * x[second]).sum().backward()
    for name, leaf in exact.items():
        torch.testing.assert_close(found[f"d{name}"].double(), leaf.grad, rtol=1e-4, atol=1e-6)


def test_backward_in_time_is_forward_over_a_flipped_pack(twin: str) -> None:
    lengths = [9, 1, 3]
    values = draw(lengths, 3, 2)
    flip = torch.cat([torch.arange(9).flip(0), torch.tensor([9]), torch.tensor([12, 11, 10])])
    flipped = {k: v[flip] if len(v) == 13 else v for k, v in values.items()}
    found = run(twin, flipped, lengths, reverse=True)
    for name, value in run(twin, values, lengths).items():
        expected = value[flip] if len(value) == 13 else value
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_packs_without_tokens(twin: str, lengths: list[int]) -> None:
    found = run(twin, draw(lengths, 3, 2), lengths)
    assert found["y"].shape == found["dx"].shape == (0, 3)
    assert not found["dA_im"].any()


def test_nothing_is_kept_when_no_gradient_is_asked(twin: str) -> None:
    *inputs, _ = draw([3], 2, 2).values()
    with forced(twin):  # type: ignore[arg-type]
        assert diagonal_ssm(*inputs, pack_lengths([3])).grad_fn is None


@pytest.mark.gpu
def test_triton_on_a_gpu(gpu: torch.device, close: Compare, close_rms: Compare) -> None:
    lengths = LONG + SHORT * 20
    for channels, states in ((200, 32), (1, 1)):
        values = {k: v.to(gpu) for k, v in draw(lengths, channels, states).items()}
        check("triton", values, lengths, close, (1e-5, 5e-5))
        check("torch", values, lengths, close, (1e-5, 5e-5))
        check("triton", narrow(values), lengths, close_rms, (3e-3, 6e-3))
        once, again = run("triton", values, lengths), run("triton", values, lengths)
        assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    good = list(draw([2, 1], 4, 2).values())[:-1]
    for place, bad, message in (
        (0, torch.zeros(2, 4), r"x is \[2, 4\], expected \[3 tokens"),
        (0, torch.zeros(3, 4).long(), "int64"),
        (1, torch.zeros(3), r"log_dt is \[3\], expected \[4\]"),
        (2, torch.zeros(5, 2), r"A_re is \[5, 2\], expected \[4 channels"),
        (3, torch.zeros(4, 3), r"A_im is \[4, 3\], expected \[4, 2\]"),
        (5, torch.zeros(4), r"C_im is \[4\]"),
        (6, torch.zeros(4, 1), r"D is \[4, 1\], expected \[4\]"),
    ):
        with pytest.raises(BadArguments, match=message):
            diagonal_ssm(*good[:place], bad, *good[place + 1 :], packed)
