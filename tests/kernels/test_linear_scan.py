"""h_t = a_t h_{t-1} + b_t: numbers by hand, a loop in numpy, and each twin over the reference."""

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
from tamis.kernels.linear_scan import linear_scan
from tamis.kernels.native.loading import library
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]
Values = dict[str, Tensor]

SHORT = [9, 0, 1, 40, 7, 8]  # about the eight rows that a kernel loads at a time
LONG = [300, 0, 1, 7, 8, 9, 64, 17, 0]
TWINS = ["reference", "native", "triton"]


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> str:
    return available(request.param, request)


def available(twin: str, request: pytest.FixtureRequest) -> str:
    if twin == "triton":
        request.getfixturevalue("interpreted")
    if twin == "native" and library() is None:
        pytest.skip("the C library was not built")
    return twin


def draw(lengths: list[int], channels: int, seed: int = 0) -> Values:
    """Gates in (0, 1) with long memories among them, and gradients for both results."""
    make = torch.Generator().manual_seed(seed)
    tokens, segments = sum(lengths), len(lengths)
    gates = torch.rand(tokens, channels, generator=make) ** 0.1
    names = {"b": tokens, "h0": segments, "dh": tokens, "dlast": segments}
    return {"a": gates} | {
        name: torch.randn(rows, channels, generator=make) for name, rows in names.items()
    }


def run(twin: str, values: Values, lengths: list[int], *, reverse: bool = False) -> Values:
    """h, last and the gradients of a, b and (where it is given) h0."""
    leaves = {
        name: values[name].clone().requires_grad_() for name in ("a", "b", "h0") if name in values
    }
    packed = pack_lengths(lengths, values["a"].device)
    with forced(twin):  # type: ignore[arg-type]
        h, last = linear_scan(
            leaves["a"],
            leaves["b"],
            packed,
            h0=leaves.get("h0"),
            reverse=reverse,
            return_last=True,
        )
    pairs = [(h, values.get("dh")), (last, values.get("dlast"))]
    torch.autograd.backward(*zip(*[pair for pair in pairs if pair[1] is not None], strict=True))
    assert (h.dtype, last.dtype) == (values["b"].dtype, wide(values["b"].dtype))
    grads = {f"d{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {"h": h.detach(), "last": last.detach()} | grads


def wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def check(
    twin: str, values: Values, lengths: list[int], compare: Compare, bounds: tuple[float, float]
) -> None:
    """A twin against the float64 reference on the same values, in both directions."""
    for reverse in (False, True):
        found = run(twin, values, lengths, reverse=reverse)
        expected = run(
            "reference", {k: v.double() for k, v in values.items()}, lengths, reverse=reverse
        )
        assert found.keys() == expected.keys()
        for name, value in found.items():
            compare(value, expected[name], bounds[name.startswith("d")])


def by_hand(values: Values, lengths: list[int], reverse: bool) -> tuple[np.ndarray, np.ndarray]:
    a, b, last = (values[name].numpy().copy() for name in ("a", "b", "h0"))
    h = np.zeros_like(b)
    ends = np.cumsum(lengths)
    for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        tokens = range(end - length, end)
        for t in reversed(tokens) if reverse else tokens:
            h[t] = last[i] = a[t] * last[i] + b[t]
    return h, last


def test_numbers_set_by_hand(twin: str) -> None:
    a = torch.tensor([[9.0], [2.0], [3.0], [9.0], [0.5]])
    b = torch.tensor([[1.0], [10.0], [100.0], [4.0], [1.0]])
    packed = pack_lengths([3, 0, 2])
    with forced(twin):  # type: ignore[arg-type]
        h, last = linear_scan(a, b, packed, return_last=True)
        assert h[:, 0].tolist() == [1, 12, 136, 4, 3]
        assert last[:, 0].tolist() == [136, 0, 3]
        backward = linear_scan(a, b, packed, reverse=True)
        assert backward[:, 0].tolist() == [9 * 210 + 1, 210, 100, 13, 1]
        start = torch.tensor([[1.0], [7.0], [-1.0]])
        h, last = linear_scan(a, b, packed, h0=start, return_last=True)
        assert h[:, 0].tolist() == [10, 30, 190, -5, -1.5]
        assert last[:, 0].tolist() == [190, 7, -1.5]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=6),
    channels=st.integers(1, 3),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_reference_is_a_loop_over_each_segment(
    lengths: list[int], channels: int, reverse: bool, seed: int
) -> None:
    values = {name: value.double() for name, value in draw(lengths, channels, seed).items()}
    packed = pack_lengths(lengths)
    h, last = linear_scan(
        values["a"], values["b"], packed, h0=values["h0"], reverse=reverse, return_last=True
    )
    expected = by_hand(values, lengths, reverse)
    np.testing.assert_allclose(h, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(last, expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_the_reference_are_differences_of_its_values(reverse: bool) -> None:
    lengths = [3, 0, 1, 4]
    values = draw(lengths, 2)
    leaves = [values[name].double().requires_grad_() for name in ("a", "b", "h0")]
    packed = pack_lengths(lengths)

    def scan(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        return linear_scan(a, b, packed, h0=h0, reverse=reverse, return_last=True)

    assert torch.autograd.gradcheck(scan, leaves)


@pytest.mark.parametrize("channels", [1, 16, 70])
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_on_the_cpu_in_float32(
    backend: str, channels: int, close: Compare, request: pytest.FixtureRequest
) -> None:
    check(available(backend, request), draw(LONG, channels), LONG, close, (1e-5, 5e-5))


def test_reference_in_bfloat16(close_rms: Compare) -> None:
    values = {name: value.bfloat16() for name, value in draw(LONG, 16).items()}
    check("reference", values, LONG, close_rms, (3e-3, 6e-3))


@pytest.mark.usefixtures("interpreted")
def test_triton_in_float32(close: Compare) -> None:
    check("triton", draw(SHORT, 5), SHORT, close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_over_more_channels_than_a_block(close: Compare) -> None:
    lengths = [9, 2]
    check("triton", draw(lengths, 70), lengths, close, (1e-5, 5e-5))


@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(close_rms: Compare) -> None:
    values = {name: value.bfloat16() for name, value in draw(SHORT, 5).items()}
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check("triton", values, SHORT, close_rms, (5e-3, 8e-3))


@pytest.mark.parametrize("missing", [("h0",), ("dlast",), ("dh",), ("h0", "dlast")], ids=str)
def test_what_is_not_given_counts_as_zeros(
    twin: str, missing: tuple[str, ...], close: Compare
) -> None:
    """No h0; only one of the two results used: the other brings no gradient."""
    lengths = [9, 0, 1]
    values = draw(lengths, 3)
    zeros = values | {name: torch.zeros_like(values[name]) for name in missing}
    expected = run("reference", {k: v.double() for k, v in zeros.items()}, lengths)
    found = run(twin, {k: v for k, v in values.items() if k not in missing}, lengths)
    for name, value in found.items():
        close(value, expected[name], 5e-5)


@pytest.mark.parametrize("gate", [0.0, 1.0, -1.0, 1e-30])
def test_gates_at_their_ends(twin: str, gate: float, close: Compare) -> None:
    lengths = [17, 1, 0]
    values = draw(lengths, 3)
    values["a"] = torch.full_like(values["a"], gate)
    check(twin, values, lengths, close, (1e-5, 5e-5))
    if gate == 0:
        assert torch.equal(run(twin, values, lengths)["h"], values["b"])


@pytest.mark.parametrize("reverse", [False, True])
def test_no_segment_sees_another(twin: str, reverse: bool) -> None:
    """Not even one of NaN beside it: states and gradients of the others keep every bit."""
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, 3)
    before = run(twin, values, lengths, reverse=reverse)
    for name in ("a", "b", "dh"):
        values[name][3:12] = torch.nan
    values["h0"][2] = torch.nan
    after = run(twin, values, lengths, reverse=reverse)
    for name, value in before.items():
        others = [0, 1, 3, 4] if len(value) == 5 else [0, 1, 2, 12, 13, 14, 15, 16]
        assert torch.equal(value[others], after[name][others]), name


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_stop_where_a_segment_starts(twin: str, reverse: bool) -> None:
    """A gate that resets one token late lets gradients cross (PufferLib issue 622)."""
    lengths = [2, 2]
    values = draw(lengths, 1)
    del values["dlast"]
    a, b, h0 = values["a"], values["b"], values["h0"]
    first, second = (3, 2) if reverse else (2, 3)
    mine, neighbour = 1, 0
    values["dh"] = torch.zeros(4, 1)
    values["dh"][second] = 1
    found = run(twin, values, lengths, reverse=reverse)
    state = a[first] * h0[mine] + b[first]
    assert found["da"][second].item() == pytest.approx(state.item())
    assert found["da"][first].item() == pytest.approx((a[second] * h0[mine]).item())
    assert found["db"][first].item() == pytest.approx(a[second].item())
    assert found["dh0"][mine].item() == pytest.approx((a[first] * a[second]).item())
    crossed = [found["da"][:2], found["db"][:2], found["dh0"][neighbour]]
    assert not any(grad.any() for grad in crossed)
    del values["h0"]
    assert run(twin, values, lengths, reverse=reverse)["da"][first] == 0


def test_backward_in_time_is_forward_over_a_flipped_pack(twin: str) -> None:
    lengths = [9, 1, 3]
    values = draw(lengths, 3)
    flip = torch.cat([torch.arange(9).flip(0), torch.tensor([9]), torch.tensor([12, 11, 10])])
    flipped = {k: v[flip] if len(v) == 13 else v for k, v in values.items()}
    found = run(twin, flipped, lengths, reverse=True)
    for name, value in run(twin, values, lengths).items():
        assert torch.equal(found[name], value[flip] if len(value) == 13 else value)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_packs_without_tokens(twin: str, lengths: list[int]) -> None:
    values = draw(lengths, 3)
    found = run(twin, values, lengths)
    assert found["h"].shape == found["da"].shape == (0, 3)
    assert torch.equal(found["last"], values["h0"])
    assert torch.equal(found["dh0"], values["dlast"])


def test_slices_of_a_wider_matrix_are_as_good_as_copies(twin: str) -> None:
    values = draw([5, 2], 6)
    packed = pack_lengths([5, 2])
    a, b = values["a"].chunk(2, dim=-1)
    with forced(twin):  # type: ignore[arg-type]
        sliced = linear_scan(a, b, packed)
        assert torch.equal(sliced, linear_scan(a.contiguous(), b.contiguous(), packed))


def test_nothing_is_kept_when_no_gradient_is_asked(twin: str) -> None:
    values = draw([3], 2)
    with forced(twin):  # type: ignore[arg-type]
        assert linear_scan(values["a"], values["b"], pack_lengths([3])).grad_fn is None


def test_h0_has_a_dtype_of_its_own(twin: str) -> None:
    values = draw([3, 0], 2)
    values["h0"] = values["h0"].bfloat16()
    found = run(twin, values, [3, 0])
    assert found["dh0"].dtype == torch.bfloat16
    assert torch.equal(found["last"][1], values["h0"][1].float())


@pytest.mark.usefixtures("instruction_set")
def test_every_instruction_set(close: Compare) -> None:
    lengths = [33, 0, 1, 8]
    for channels in (3, 16, 50):
        check("native", draw(lengths, channels), lengths, close, (1e-5, 5e-5))


def test_parts_on_several_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    if library() is None:
        pytest.skip("the C library was not built")
    from tamis.kernels.native import calls

    lengths = [5, 0, 40, 1, 1, 0, 9, 300, 3]
    values = draw(lengths, 17)
    whole = run("native", values, lengths)
    monkeypatch.setattr(calls, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(calls, "threads", lambda: 4)
    packed = pack_lengths(lengths)
    parts = calls.segment_runs(packed, 17)
    assert len(parts) > 1
    assert [i for first, end in parts for i in range(first, end)] == list(range(9))
    for name, value in run("native", values, lengths).items():
        assert torch.equal(value, whole[name])


@pytest.mark.gpu
def test_triton_on_a_gpu(gpu: torch.device, close: Compare, close_rms: Compare) -> None:
    lengths = LONG + SHORT * 20
    values = {name: value.to(gpu) for name, value in draw(lengths, 200).items()}
    check("triton", values, lengths, close, (1e-5, 5e-5))
    narrow = {name: value.bfloat16() for name, value in values.items()}
    check("triton", narrow, lengths, close_rms, (3e-3, 6e-3))
    once, again = run("triton", values, lengths), run("triton", values, lengths)
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    x = torch.zeros(3, 4)
    with pytest.raises(BadArguments, match=r"a \(3, 4\) and b \(2, 4\)"):
        linear_scan(x, x[:2], packed)
    with pytest.raises(BadArguments, match="3 tokens"):
        linear_scan(x[:2], x[:2], packed)
    with pytest.raises(BadArguments, match=r"a is torch.float32 and b torch.float64"):
        linear_scan(x, x.double(), packed)
    with pytest.raises(BadArguments, match="floating"):
        linear_scan(x.long(), x.long(), packed)
    with pytest.raises(BadArguments, match=r"h0 is \(3, 4\); one row a segment is \(2, 4\)"):
        linear_scan(x, x, packed, h0=x)
    with pytest.raises(BadArguments, match="cpu, meta"):
        linear_scan(x.to("meta"), x.to("meta"), packed)
