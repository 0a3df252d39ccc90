"""Mamba's recurrence: numbers by hand, a loop in numpy, and each twin over the reference."""

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
from tamis.kernels.packing import pack_lengths
from tamis.kernels.selective_scan import selective_scan

Compare = Callable[[Tensor, Tensor, float], None]
Values = dict[str, Tensor]

SHORT = [9, 0, 1, 17, 7, 8]  # about the eight steps of a chunk
LONG = [300, 0, 1, 7, 8, 9, 64]
BY_TOKEN = ["y", "dx", "ddt", "dB", "dC"]


@pytest.fixture(params=["reference", "triton"])
def twin(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def draw(lengths: list[int], channels: int, states: int, seed: int = 0) -> Values:
    """What Mamba's own start gives: decays from 1 - 0.001 to exp(-N / 2), and dy."""
    make = torch.Generator().manual_seed(seed)
    tokens = sum(lengths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make)

    return {
        "x": normal(tokens, channels),
        "dt": torch.nn.functional.softplus(2 * normal(tokens, channels) - 3),
        "A": -torch.arange(1, states + 1.0).repeat(channels, 1),
        "B": normal(tokens, states),
        "C": normal(tokens, states),
        "D": normal(channels),
        "dy": normal(tokens, channels),
    }


def run(twin: str, values: Values, lengths: list[int], *, reverse: bool = False) -> Values:
    """y and the gradient of each tensor."""
    leaves = {k: v.clone().requires_grad_() for k, v in values.items() if k != "dy"}
    packed = pack_lengths(lengths, values["x"].device)
    with forced(twin):  # type: ignore[arg-type]
        y = selective_scan(*leaves.values(), packed, reverse=reverse)
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
    """bfloat16, but for the parameters: training keeps them wide."""
    return {k: v if k in ("A", "D") else v.bfloat16() for k, v in values.items()}


def by_hand(values: Values, lengths: list[int], reverse: bool) -> np.ndarray:
    x, dt, rate, enter, leave, skip, _ = (value.numpy() for value in values.values())
    y = np.zeros_like(x)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        h = np.zeros_like(rate)
        tokens = range(end - length, end)
        for t in reversed(tokens) if reverse else tokens:
            h = np.exp(dt[t][:, None] * rate) * h + np.outer(dt[t] * x[t], enter[t])
            y[t] = h @ leave[t] + skip * x[t]
    return y


def test_numbers_set_by_hand(twin: str) -> None:
    """One step of dt halves state 1 and quarters state 2."""
    half = float(np.log(0.5))
    x = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    dt = torch.tensor([[1.0], [1.0], [2.0], [1.0]])
    rate = torch.tensor([[half, 2 * half]])
    enter = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    leave = torch.tensor([[1.0, 10.0], [1.0, 10.0], [1.0, 10.0], [1.0, 0.0]])
    packed = pack_lengths([3, 0, 1])
    with forced(twin):  # type: ignore[arg-type]
        y = selective_scan(x, dt, rate, enter, leave, torch.tensor([100.0]), packed)
        # states (1, 1), then (2.5, 0.25), then (2.5 / 4, 0.25 / 16 + 2 * 4); then a new segment
        expected = [111, 202.5 + 2.5, 400.625 + 80.15625, 808]
        torch.testing.assert_close(y[:, 0], torch.tensor(expected))
        y = selective_scan(x, dt, rate, enter, leave, torch.tensor([0.0]), packed, reverse=True)
        # (0, 8), (0 + 2, 2), (1 + 1, 0.5 + 1)
        torch.testing.assert_close(y[:, 0], torch.tensor([17.0, 22.0, 80.0, 8.0]))


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
    packed = pack_lengths(lengths)
    y = selective_scan(*list(values.values())[:-1], packed, reverse=reverse)
    np.testing.assert_allclose(y, by_hand(values, lengths, reverse), rtol=1e-10, atol=1e-12)


def test_reference_in_float32(close: Compare) -> None:
    check("reference", draw(LONG, 20, 16), LONG, close, (1e-5, 5e-5))


def test_reference_in_bfloat16(close_rms: Compare) -> None:
    check("reference", narrow(draw(LONG, 20, 16)), LONG, close_rms, (3e-3, 6e-3))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("channels", "states"), [(5, 3), (1, 1)])
def test_triton_in_float32(channels: int, states: int, close: Compare) -> None:
    check("triton", draw(SHORT, channels, states), SHORT, close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_over_more_channels_than_a_block(close: Compare) -> None:
    """Blocks of 32 channels for 16 states: B and C gather the gradients of three."""
    check("triton", draw([9, 2], 70, 16), [9, 2], close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(close_rms: Compare) -> None:
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check("triton", narrow(draw(SHORT, 5, 3)), SHORT, close_rms, (5e-3, 9e-3))


@pytest.mark.parametrize("dt", [0.0, 80.0, 1e-30])
def test_steps_at_their_ends(twin: str, dt: float, close: Compare) -> None:
    """No step: nothing changes. A long one: nothing is left of what came before."""
    lengths = [9, 1, 0]
    values = draw(lengths, 3, 2)
    values["dt"][1:] = dt
    check(twin, values, lengths, close, (1e-5, 5e-5))
    y = run(twin, values | {"D": torch.zeros(3)}, lengths)["y"]
    if dt == 0:
        first = values["dt"][0] * values["x"][0]
        torch.testing.assert_close(y[8], first * (values["B"][0] @ values["C"][8]))
    if dt == 80:
        last = 80 * values["x"][8] * (values["B"][8] @ values["C"][8])
        torch.testing.assert_close(y[8], last)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_segment_sees_another(twin: str, reverse: bool) -> None:
    """Not even one of NaN beside it: results and gradients of the others keep every bit."""
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, 3, 2)
    before = run(twin, values, lengths, reverse=reverse)
    for name in ("x", "dt", "B", "C", "dy"):
        values[name][3:12] = torch.nan
    after = run(twin, values, lengths, reverse=reverse)
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    for name in BY_TOKEN:
        assert torch.equal(before[name][others], after[name][others]), name


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_stop_where_a_segment_starts(twin: str, reverse: bool) -> None:
    """At a first token there is no state to decay, so dt only scales the input, and A nothing."""
    lengths = [2, 2]
    values = draw(lengths, 1, 1)
    first, second = (3, 2) if reverse else (2, 3)
    x, dt, rate, enter, leave = (values[name][:, 0] for name in ("x", "dt", "A", "B", "C"))
    dy = torch.zeros(4, 1)
    dy[first] = 1
    found = run(twin, values | {"dy": dy}, lengths, reverse=reverse)
    assert found["dA"].item() == 0
    assert found["ddt"][first].item() == pytest.approx((x * enter * leave)[first].item())
    assert all(not found[name][i].any() for name in BY_TOKEN[1:] for i in (0, 1, second))
    dy[first], dy[second] = 0, 1
    found = run(twin, values | {"dy": dy}, lengths, reverse=reverse)
    state = (dt * enter * x)[first]
    left = leave[second] * torch.exp(dt[second] * rate[0])
    assert found["dA"].item() == pytest.approx((left * dt[second] * state).item())
    assert found["dx"][first].item() == pytest.approx((left * (dt * enter)[first]).item())
    assert found["ddt"][first].item() == pytest.approx((left * (enter * x)[first]).item())
    assert not any(found[name][:2].any() for name in BY_TOKEN[1:])


def test_backward_in_time_is_forward_over_a_flipped_pack(twin: str) -> None:
    lengths = [9, 1, 3]
    values = draw(lengths, 3, 2)
    flip = torch.cat([torch.arange(9).flip(0), torch.tensor([9]), torch.tensor([12, 11, 10])])
    flipped = {k: v[flip] if len(v) == 13 else v for k, v in values.items()}
    found = run(twin, flipped, lengths, reverse=True)
    for name, value in run(twin, values, lengths).items():
        torch.testing.assert_close(found[name], value[flip] if len(value) == 13 else value)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_packs_without_tokens(twin: str, lengths: list[int]) -> None:
    found = run(twin, draw(lengths, 3, 2), lengths)
    assert found["y"].shape == found["dx"].shape == (0, 3)
    assert not found["dA"].any()


def test_slices_of_a_wider_matrix_are_as_good_as_copies(twin: str) -> None:
    values = draw([5, 2], 3, 4)
    *rows, _ = values.values()
    wide = torch.cat([values["B"], values["C"]], dim=1)
    rows[3:5] = wide.chunk(2, dim=1)
    packed = pack_lengths([5, 2])
    with forced(twin):  # type: ignore[arg-type]
        sliced = selective_scan(*rows, packed)
        assert torch.equal(sliced, selective_scan(*list(values.values())[:-1], packed))


def test_nothing_is_kept_when_no_gradient_is_asked(twin: str) -> None:
    *inputs, _ = draw([3], 2, 2).values()
    with forced(twin):  # type: ignore[arg-type]
        assert selective_scan(*inputs, pack_lengths([3])).grad_fn is None


@pytest.mark.usefixtures("interpreted")
def test_no_checkpoint_is_written_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights ask for gradients even where torch.no_grad forbids them."""
    from tamis.kernels.selective_scan import fused

    leaves = [value.requires_grad_() for value in list(draw([20], 2, 2).values())[:-1]]
    sizes = []
    empty = torch.empty
    monkeypatch.setattr(
        fused.torch, "empty", lambda *shape, **kind: sizes.append(shape) or empty(*shape, **kind)
    )
    with forced("triton"), torch.no_grad():
        selective_scan(*leaves, pack_lengths([20]))
    without = sizes.copy()
    with forced("triton"):
        selective_scan(*leaves, pack_lengths([20]))
    assert len(sizes) == 2 * len(without)
    assert without != sizes[len(without) :]


@pytest.mark.gpu
def test_triton_on_a_gpu(gpu: torch.device, close: Compare, close_rms: Compare) -> None:
    lengths = LONG + SHORT * 20
    for channels, states in ((200, 16), (1, 1)):
        values = {k: v.to(gpu) for k, v in draw(lengths, channels, states).items()}
        check("triton", values, lengths, close, (1e-5, 5e-5))
        check("triton", narrow(values), lengths, close_rms, (3e-3, 6e-3))
        once, again = run("triton", values, lengths), run("triton", values, lengths)
        assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    good = list(draw([2, 1], 4, 2).values())[:-1]
    for place, bad, message in (
        (0, torch.zeros(2, 4), r"x is \[2, 4\], expected \[3 tokens"),
        (0, torch.zeros(3, 4).long(), "int64"),
        (1, torch.zeros(3, 5), r"dt is \[3, 5\], expected \[3, 4\]"),
        (2, torch.zeros(5, 2), r"A is \[5, 2\], expected \[4 channels"),
        (3, torch.zeros(3, 3), r"B is \[3, 3\], expected \[3, 2\]"),
        (4, torch.zeros(3), r"C is \[3\]"),
        (5, torch.zeros(4, 1), r"D is \[4, 1\], expected \[4\]"),
    ):
        with pytest.raises(BadArguments, match=message):
            selective_scan(*good[:place], bad, *good[place + 1 :], packed)
