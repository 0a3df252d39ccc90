"""h_t = exp(l_t + i p_t) h_{t-1} + b_t: numpy's complex numbers, and Triton over the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.complex_scan import complex_scan
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]
Values = dict[str, Tensor]

SHORT = [9, 0, 1, 4, 12, 5, 30]  # about the eight and four rows that kernels load at a time
LONG = [300, 0, 1, 7, 8, 9, 64, 17, 0]
INPUTS = ("log_magnitude", "phase", "b_re", "b_im")
BOUNDS = (2e-5, 5e-5)
FORMS = pytest.mark.parametrize("constant", [False, True], ids=["by token", "constant"])


@pytest.fixture(params=["reference", "triton"])
def twin(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def draw(lengths: list[int], channels: int, constant: bool, seed: int = 0) -> Values:
    """Poles inside the unit circle at any angle, and gradients for both results.

    A constant pole stays within 0.99, as the LRU's do: it is rounded once for all steps, so that
    float32 itself costs 6e-8 for each step of its memory.
    """
    make = torch.Generator().manual_seed(seed)
    tokens = sum(lengths)
    poles = (channels,) if constant else (tokens, channels)
    values = {
        "log_magnitude": -0.5 * torch.rand(poles, generator=make) ** 2 - 0.01 * constant,
        "phase": 4 * torch.randn(poles, generator=make),
    }
    for name in ("b_re", "b_im", "dh_re", "dh_im"):
        values[name] = torch.randn(tokens, channels, generator=make)
    return values


def run(twin: str, values: Values, lengths: list[int], *, reverse: bool = False) -> Values:
    """h_re and h_im and the gradients of the four inputs."""
    leaves = {name: values[name].clone().requires_grad_() for name in INPUTS}
    packed = pack_lengths(lengths, values["b_re"].device)
    with forced(twin):  # type: ignore[arg-type]
        h_re, h_im = complex_scan(**leaves, packed=packed, reverse=reverse)
    assert h_re.dtype == h_im.dtype == values["b_re"].dtype
    torch.autograd.backward([h_re, h_im], [values["dh_re"], values["dh_im"]])
    grads = {}
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        grads[f"d{name}"] = leaf.grad
    return {"h_re": h_re.detach(), "h_im": h_im.detach()} | grads


def check(
    twin: str, values: Values, lengths: list[int], compare: Compare, bounds: tuple[float, float]
) -> None:
    """A twin against the float64 reference on the same values, in both directions."""
    for reverse in (False, True):
        found = run(twin, values, lengths, reverse=reverse)
        expected = run(
            "reference", {k: v.double() for k, v in values.items()}, lengths, reverse=reverse
        )
        for name, value in found.items():
            compare(value, expected[name], bounds[name.startswith("d")])


def by_hand(values: Values, lengths: list[int], reverse: bool) -> np.ndarray:
    log, phase, b_re, b_im = (values[name].numpy() for name in INPUTS)
    b = b_re + 1j * b_im
    a = np.broadcast_to(np.exp(log + 1j * phase), b.shape)
    h = np.zeros_like(b)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        state = np.zeros(b.shape[1], b.dtype)
        tokens = range(end - length, end)
        for t in reversed(tokens) if reverse else tokens:
            h[t] = state = a[t] * state + b[t]
    return h


@FORMS
def test_numbers_set_by_hand(twin: str, constant: bool) -> None:
    """Half the size and a quarter turn a step: 1, then i/2 + 1, then i/2 - 1/4 + 1."""
    b = torch.ones(4, 1)
    shape = (1,) if constant else (4, 1)
    log, quarter = torch.full(shape, np.log(0.5)), torch.full(shape, np.pi / 2)
    packed = pack_lengths([3, 0, 1])
    with forced(twin):  # type: ignore[arg-type]
        re, im = complex_scan(log, quarter, b, torch.zeros_like(b), packed)
        assert re[:, 0].tolist() == pytest.approx([1, 1, 0.75, 1])
        assert im[:, 0].tolist() == pytest.approx([0, 0.5, 0.5, 0], abs=1e-6)
        re, im = complex_scan(log, quarter, b, torch.zeros_like(b), packed, reverse=True)
        assert re[:, 0].tolist() == pytest.approx([0.75, 1, 1, 1])
        assert im[:, 0].tolist() == pytest.approx([0.5, 0.5, 0, 0], abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=6),
    channels=st.integers(1, 3),
    constant=st.booleans(),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_reference_is_a_loop_over_complex_numbers(
    lengths: list[int], channels: int, constant: bool, reverse: bool, seed: int
) -> None:
    values = {k: v.double() for k, v in draw(lengths, channels, constant, seed).items()}
    packed = pack_lengths(lengths)
    h_re, h_im = complex_scan(*(values[name] for name in INPUTS), packed, reverse=reverse)
    expected = by_hand(values, lengths, reverse)
    np.testing.assert_allclose(h_re, expected.real, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(h_im, expected.imag, rtol=1e-11, atol=1e-11)


@FORMS
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_the_reference_are_differences_of_its_values(
    constant: bool, reverse: bool
) -> None:
    lengths = [3, 0, 1, 4]
    values = draw(lengths, 2, constant)
    leaves = [values[name].double().requires_grad_() for name in INPUTS]
    packed = pack_lengths(lengths)

    def scan(log: Tensor, phase: Tensor, b_re: Tensor, b_im: Tensor) -> tuple[Tensor, Tensor]:
        return complex_scan(log, phase, b_re, b_im, packed, reverse=reverse)

    assert torch.autograd.gradcheck(scan, leaves)


@FORMS
def test_reference_in_float32(constant: bool, close: Compare) -> None:
    check("reference", draw(LONG, 17, constant), LONG, close, BOUNDS)


@FORMS
def test_reference_in_bfloat16(constant: bool, close_rms: Compare) -> None:
    check("reference", narrow(draw(LONG, 17, constant), constant), LONG, close_rms, (3e-3, 6e-3))


def narrow(values: Values, constant: bool) -> Values:
    """In bfloat16, but for a constant pole, which stays float32 as the weight that it is."""
    poles = INPUTS[:2] if constant else ()
    return {k: v if k in poles else v.bfloat16() for k, v in values.items()}


@FORMS
@pytest.mark.usefixtures("interpreted")
def test_triton_in_float32(constant: bool, close: Compare) -> None:
    check("triton", draw(SHORT, 5, constant), SHORT, close, BOUNDS)


@pytest.mark.usefixtures("interpreted")
def test_triton_over_more_channels_than_a_block(close: Compare) -> None:
    lengths = [9, 2]
    check("triton", draw(lengths, 70, constant=True), lengths, close, BOUNDS)


@FORMS
@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(constant: bool, close_rms: Compare) -> None:
    values = narrow(draw(SHORT, 5, constant), constant)
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check("triton", values, SHORT, close_rms, (5e-3, 8e-3))


@pytest.mark.parametrize("log", [-80.0, 0.0])
@pytest.mark.parametrize("phase", [0.0, 80.0, -80.0, 3.0e3])
def test_poles_at_their_ends(twin: str, log: float, phase: float, close: Compare) -> None:
    """Nothing kept, or everything; no turn, or many."""
    lengths = [11, 1, 0]
    values = draw(lengths, 3, constant=False)
    values["log_magnitude"] = torch.full_like(values["log_magnitude"], log)
    values["phase"] = values["phase"] + phase
    check(twin, values, lengths, close, BOUNDS)


@FORMS
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_no_segment_sees_another(twin: str, constant: bool, reverse: bool) -> None:
    """Not even one of NaN beside it: states and gradients of the others keep every bit."""
    lengths = [3, 0, 6, 1, 4]
    values = draw(lengths, 3, constant)
    before = run(twin, values, lengths, reverse=reverse)
    for name, value in values.items():
        if not (constant and name in INPUTS[:2]):
            value[3:9] = torch.nan
    after = run(twin, values, lengths, reverse=reverse)
    others = [0, 1, 2, 9, 10, 11, 12, 13]
    for name, value in before.items():
        if value.dim() == 2:
            assert torch.equal(value[others], after[name][others]), name


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_stop_where_a_segment_starts(twin: str, reverse: bool) -> None:
    """A pole that resets one token late lets gradients cross (PufferLib issue 622)."""
    lengths = [2, 2]
    values = draw(lengths, 1, constant=False)
    first, second = (3, 2) if reverse else (2, 3)
    for name in ("dh_re", "dh_im"):
        values[name] = torch.zeros(4, 1)
    values["dh_re"][second] = 1
    found = run(twin, values, lengths, reverse=reverse)
    a, b = (
        complex(values["log_magnitude"][second], values["phase"][second]),
        complex(values["b_re"][first], values["b_im"][first]),
    )
    kept = np.exp(a) * b
    assert found["dlog_magnitude"][second].item() == pytest.approx(kept.real, rel=1e-5)
    assert found["dphase"][second].item() == pytest.approx(-kept.imag, rel=1e-5)
    assert found["db_re"][first].item() == pytest.approx(np.exp(a).real, rel=1e-5)
    assert found["db_im"][first].item() == pytest.approx(-np.exp(a).imag, rel=1e-5)
    assert found["dlog_magnitude"][first] == found["dphase"][first] == 0
    assert not any(found[f"d{name}"][:2].any() for name in INPUTS)


@FORMS
@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_packs_without_tokens(twin: str, constant: bool, lengths: list[int]) -> None:
    found = run(twin, draw(lengths, 3, constant), lengths)
    assert found["h_re"].shape == found["h_im"].shape == found["db_re"].shape == (0, 3)
    assert not found["dphase"].any()


@FORMS
def test_equal_calls_give_equal_bits(twin: str, constant: bool) -> None:
    values = draw([5, 3], 3, constant)
    once, again = run(twin, values, [5, 3]), run(twin, values, [5, 3])
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_nothing_is_kept_when_no_gradient_is_asked(twin: str) -> None:
    values = draw([3], 2, constant=True)
    with forced(twin):  # type: ignore[arg-type]
        h_re, _ = complex_scan(*(values[name] for name in INPUTS), pack_lengths([3]))
    assert h_re.grad_fn is None


@pytest.mark.gpu
@FORMS
def test_triton_on_a_gpu(
    gpu: torch.device, constant: bool, close: Compare, close_rms: Compare
) -> None:
    lengths = LONG + SHORT * 20
    values = {name: value.to(gpu) for name, value in draw(lengths, 200, constant).items()}
    check("triton", values, lengths, close, BOUNDS)
    check("triton", narrow(values, constant), lengths, close_rms, (3e-3, 6e-3))
    once, again = run("triton", values, lengths), run("triton", values, lengths)
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    x, pole = torch.zeros(3, 4), torch.zeros(4)
    with pytest.raises(BadArguments, match=r"b_re \(3, 4\) and b_im \(2, 4\)"):
        complex_scan(x, x, x, x[:2], packed)
    with pytest.raises(BadArguments, match="3 tokens"):
        complex_scan(pole, pole, x[:2], x[:2], packed)
    with pytest.raises(BadArguments, match=r"log_magnitude is \(4,\) and phase \(3, 4\)"):
        complex_scan(pole, x, x, x, packed)
    with pytest.raises(BadArguments, match=r"\(3, 4\), or \(4,\) where"):
        complex_scan(pole[:2], pole[:2], x, x, packed)
    with pytest.raises(BadArguments, match="floating"):
        complex_scan(pole, pole, x, x.double(), packed)
    with pytest.raises(BadArguments, match="cpu, meta"):
        complex_scan(*[y.to("meta") for y in (pole, pole, x, x)], packed)
