"""The delta rule: numbers by hand, transformers' own loop, and each twin over the reference."""

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
from tamis.kernels.delta_rule import delta_rule
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]
Values = dict[str, Tensor]

SHORT = [9, 0, 1, 17, 7, 8]  # about the eight steps of a kernel's chunk
LONG = [0, 1, 31, 32, 33, 16, 17]  # about the chunks of the torch form
BOUNDS = (1e-5, 5e-5)


@pytest.fixture(params=["reference", "torch", "triton"])
def twin(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


def draw(
    lengths: list[int],
    sizes: tuple[int, int, int],
    steps: int = 1,
    *,
    gated: bool = True,
    seed: int = 0,
) -> Values:
    """Keys of unit length, beta in (0, 1), or in (0, 2) for several steps, and do."""
    make = torch.Generator().manual_seed(seed)
    tokens, (heads, wide_k, wide_v) = sum(lengths), sizes

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make)

    unit = torch.nn.functional.normalize
    values = {
        "q": unit(normal(tokens, heads, wide_k), dim=-1),
        "k": unit(normal(tokens, steps, heads, wide_k), dim=-1),
        "v": normal(tokens, steps, heads, wide_v),
        "beta": torch.sigmoid(normal(tokens, steps, heads)) * min(steps, 2),
        "do": normal(tokens, heads, wide_v),
    }
    if gated:
        values["log_decay"] = torch.nn.functional.logsigmoid(normal(tokens, heads) + 2)
    return values


def run(twin: str, values: Values, lengths: list[int], *, reverse: bool = False) -> Values:
    """o and the gradient of each tensor."""
    leaves = {k: v.clone().requires_grad_() for k, v in values.items() if k != "do"}
    packed = pack_lengths(lengths, values["q"].device)
    with forced(twin):  # type: ignore[arg-type]
        o = delta_rule(
            *(leaves[name] for name in ("q", "k", "v", "beta")),
            packed,
            log_decay=leaves.get("log_decay"),
            steps=values["k"].shape[1] if values["k"].ndim == 4 else 1,
            reverse=reverse,
        )
    o.backward(values["do"])
    grads = {f"d{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    assert len(grads) == len(leaves)
    assert all(grad.dtype == leaves[name[1:]].dtype for name, grad in grads.items())
    assert o.dtype == values["q"].dtype
    return {"o": o.detach()} | grads


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
    return {k: v.bfloat16() for k, v in values.items()}


def by_hand(values: Values, lengths: list[int], reverse: bool) -> np.ndarray:
    q, k, v, beta, do, *decay = (value.numpy() for value in values.values())
    o = np.zeros_like(do)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        tokens = range(end - length, end)
        for head in range(q.shape[1]):
            state = np.zeros((q.shape[2], v.shape[3]))
            for t in reversed(tokens) if reverse else tokens:
                if decay:
                    state = math.exp(decay[0][t, head]) * state
                for key, value, share in zip(k[t, :, head], v[t, :, head], beta[t, :, head]):  # noqa: B905
                    state = state + share * np.outer(key, value - state.T @ key)
                o[t, head] = state.T @ q[t, head]
    return o


def test_a_stored_pair_is_recalled_after_one_write(twin: str) -> None:
    """With orthonormal keys and beta 1; a second write to a key replaces the first."""
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 9.0]])[:, None]
    x, y, z = torch.eye(3)
    keys = torch.stack([x, y, x, z, y])[:, None]
    asked = torch.stack([x, x, y, x, y])[:, None]
    packed = pack_lengths([4, 1])
    with forced(twin):  # type: ignore[arg-type]
        o = delta_rule(asked, keys, values, torch.ones(5, 1), packed)
        torch.testing.assert_close(o[:, 0], values[[0, 0, 1, 2, 4], 0])
        o = delta_rule(asked, keys, values, torch.ones(5, 1), packed, reverse=True)
        # from the end: z; then x; then y, asked for x; then x anew
        expected = torch.tensor([[1.0, 2], [5, 6], [0, 0], [0, 0], [9, 9]])
        torch.testing.assert_close(o[:, 0], expected)


def test_half_a_share_and_a_decay(twin: str) -> None:
    """2, halved and corrected towards 8 by half: 1, then 4.5."""
    keys = torch.ones(2, 1, 1)
    decay = torch.full((2, 1), math.log(0.5))
    values = torch.tensor([4.0, 8.0]).view(2, 1, 1)
    with forced(twin):  # type: ignore[arg-type]
        o = delta_rule(
            keys, keys, values, torch.full((2, 1), 0.5), pack_lengths([2]), log_decay=decay
        )
    torch.testing.assert_close(o.flatten(), torch.tensor([2.0, 4.5]))


def test_two_steps_of_beta_2_rotate_what_is_stored(twin: str) -> None:
    """Reflections at 0 and at 45 degrees: a quarter turn, which one step could not make."""
    angle = torch.tensor([math.cos(math.pi / 4), math.sin(math.pi / 4)])
    x, y = torch.eye(2)
    k = torch.stack([torch.stack([x, x]), torch.stack([x, angle])])[:, :, None]
    v = torch.zeros(2, 2, 1, 1)
    v[0, 0] = 3
    beta = torch.tensor([[1.0, 0.0], [2.0, 2.0]])[:, :, None]
    packed = pack_lengths([2])
    with forced(twin):  # type: ignore[arg-type]
        for asked, expected in ((x, 0.0), (y, 3.0)):
            o = delta_rule(asked.expand(2, 1, 2), k, v, beta, packed, steps=2)
            assert o[1].item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), max_size=4),
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    steps=st.integers(1, 3),
    gated=st.booleans(),
    reverse=st.booleans(),
)
def test_the_reference_is_a_loop_over_each_segment(
    lengths: list[int], sizes: tuple[int, int, int], steps: int, gated: bool, reverse: bool
) -> None:
    values = {k: v.double() for k, v in draw(lengths, sizes, steps, gated=gated).items()}
    found = run("reference", values, lengths, reverse=reverse)["o"]
    np.testing.assert_allclose(found, by_hand(values, lengths, reverse), rtol=1e-9, atol=1e-12)


def test_one_gated_step_is_what_transformers_computes() -> None:
    model = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    values = draw([33], (2, 8, 4))
    expected, _ = model.torch_recurrent_gated_delta_rule(
        values["q"][None] * 8**0.5,  # it divides by the root of the width
        values["k"][None, :, 0],
        values["v"][None, :, 0],
        values["log_decay"][None],
        values["beta"][None, :, 0],
    )
    torch.testing.assert_close(run("reference", values, [33])["o"], expected[0])


@pytest.mark.parametrize(("backend", "steps"), [("reference", 2), ("torch", 1), ("torch", 2)])
def test_on_the_cpu_in_float32(backend: str, steps: int, close: Compare) -> None:
    lengths = [300, *LONG] if steps == 1 else LONG
    check(backend, draw(lengths, (2, 8, 12), steps, gated=steps == 2), lengths, close, BOUNDS)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_on_the_cpu_in_bfloat16(backend: str, close_rms: Compare) -> None:
    check(backend, narrow(draw(SHORT, (2, 16, 8))), SHORT, close_rms, (3e-3, 6e-3))


def test_by_chunks_in_float64(close: Compare) -> None:
    exact = {k: v.double() for k, v in draw([23, 9], (1, 8, 8), 3).items()}
    check("torch", exact, [23, 9], close, (1e-11, 1e-10))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("sizes", "steps", "gated"), [((1, 5, 3), 1, False), ((1, 8, 4), 2, True)])
def test_triton_in_float32(
    sizes: tuple[int, int, int], steps: int, gated: bool, close: Compare
) -> None:
    check("triton", draw(SHORT, sizes, steps, gated=gated), SHORT, close, BOUNDS)


@pytest.mark.usefixtures("interpreted")
def test_triton_over_heads_and_blocks_of_values(close: Compare) -> None:
    """Keys 33 wide leave blocks of 16 values: what sums over values gathers three."""
    check("triton", draw([5], (2, 33, 40)), [5], close, BOUNDS)


@pytest.mark.usefixtures("interpreted")
def test_triton_in_bfloat16(close_rms: Compare) -> None:
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    check("triton", narrow(draw([9, 0, 1], (1, 5, 3))), [9, 0, 1], close_rms, (5e-3, 9e-3))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("decay", [0.0, -80.0, -math.inf])
def test_gates_at_their_ends(twin: str, beta: float, decay: float, close: Compare) -> None:
    lengths = [9, 1, 0]
    values = draw(lengths, (1, 4, 2))
    values["beta"][:] = beta
    values["log_decay"][2:5] = decay
    check(twin, values, lengths, close, BOUNDS)
    if beta == 0:
        assert not run(twin, values, lengths)["o"].any()


def test_a_token_that_forgets_all_leaves_the_digits_of_the_others(close: Compare) -> None:
    """Differences of sums of decays, of which -1000 is one, would have four digits in float32."""
    values = draw([32], (1, 4, 4))
    values["log_decay"][3:12] = -1000
    check("torch", values, [32], close, BOUNDS)


def test_no_decay_is_a_decay_of_one(twin: str) -> None:
    values = draw([9, 3], (1, 4, 2))
    values["log_decay"][:] = 0
    without = {k: v for k, v in values.items() if k != "log_decay"}
    found, expected = run(twin, without, [9, 3]), run(twin, values, [9, 3])
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


def test_steps_are_tokens_that_nobody_asks(twin: str) -> None:
    """n_h steps a token are DeltaNet over n_h times the tokens, read at each last; the decay is
    that of the first.
    """
    values = draw([5, 2], (1, 4, 2), 2)
    long = {name: values[name].flatten(0, 1)[:, None] for name in ("k", "v", "beta")}
    for name in ("q", "log_decay", "do"):
        nothing = torch.zeros_like(values[name])
        pair = (values[name], nothing) if name == "log_decay" else (nothing, values[name])
        long[name] = torch.stack(pair, 1).flatten(0, 1)
    found, expected = run(twin, values, [5, 2]), run(twin, long, [10, 4])
    torch.testing.assert_close(found["o"], expected["o"][1::2])
    for name in ("dk", "dv", "dbeta"):
        torch.testing.assert_close(found[name].flatten(0, 1), expected[name][:, 0])
    torch.testing.assert_close(found["dlog_decay"], expected["dlog_decay"][::2])


def test_one_step_needs_no_axis_of_steps(twin: str) -> None:
    values = draw([5, 2], (2, 4, 3))
    flat = values | {name: values[name][:, 0] for name in ("k", "v", "beta")}
    found, expected = run(twin, flat, [5, 2]), run(twin, values, [5, 2])
    assert all(torch.equal(found[name].view_as(expected[name]), expected[name]) for name in found)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_segment_sees_another(twin: str, reverse: bool) -> None:
    """Not even one of NaN beside it."""
    lengths = [3, 0, 9, 1, 4]
    values = draw(lengths, (1, 4, 2))
    before = run(twin, values, lengths, reverse=reverse)
    for value in values.values():
        value[3:12] = torch.nan
    after = run(twin, values, lengths, reverse=reverse)
    others = [0, 1, 2, 12, 13, 14, 15, 16]
    for name, value in before.items():
        assert torch.equal(value[others], after[name][others]), name


def test_alone_as_among_others(twin: str) -> None:
    lengths = [5, 9, 17, 1, 9]
    values = draw(lengths, (1, 4, 2))
    among = run(twin, values, lengths)
    alone = run(twin, {k: v[5:14] for k, v in values.items()}, [9])
    for name, value in alone.items():
        torch.testing.assert_close(value, among[name][5:14], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_stop_where_a_segment_starts(twin: str, reverse: bool) -> None:
    """At a first token nothing is stored: nothing to decay and nothing to correct."""
    lengths = [2, 2]
    values = draw(lengths, (1, 1, 1))
    first, second = (3, 2) if reverse else (2, 3)
    values["do"] = torch.zeros(4, 1, 1)
    values["do"][second] = 1
    found = run(twin, values, lengths, reverse=reverse)
    q, k, v, beta, _, log_decay = (value.flatten() for value in values.values())
    decay = log_decay.exp()[second]
    stored = (beta * k * v)[first]
    kept = 1 - (beta * k * k)[second]
    assert found["dlog_decay"][first].item() == 0
    assert found["dlog_decay"][second].item() == pytest.approx(
        (q[second] * kept * decay * stored).item(), rel=1e-5, abs=1e-7
    )
    assert found["dv"][first].item() == pytest.approx(
        (q[second] * kept * decay * (beta * k)[first]).item(), rel=1e-5, abs=1e-7
    )
    assert found["dbeta"][first].item() == pytest.approx(
        (q[second] * kept * decay * (k * v)[first]).item(), rel=1e-5, abs=1e-7
    )
    assert not any(value[:2].any() for name, value in found.items() if name != "o")


def test_backward_in_time_is_forward_over_a_flipped_pack(twin: str) -> None:
    lengths = [9, 1, 3]
    values = draw(lengths, (1, 4, 2), 2)
    flip = torch.cat([torch.arange(9).flip(0), torch.tensor([9]), torch.tensor([12, 11, 10])])
    found = run(twin, {k: v[flip] for k, v in values.items()}, lengths, reverse=True)
    for name, value in run(twin, values, lengths).items():
        torch.testing.assert_close(found[name], value[flip])


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_packs_without_tokens(twin: str, lengths: list[int]) -> None:
    found = run(twin, draw(lengths, (2, 4, 3), 2), lengths)
    assert found["o"].shape == (0, 2, 3)


def test_nothing_is_kept_when_no_gradient_is_asked(twin: str) -> None:
    q, k, v, beta, *_ = draw([3], (1, 2, 2)).values()
    with forced(twin):  # type: ignore[arg-type]
        assert delta_rule(q, k, v, beta, pack_lengths([3])).grad_fn is None


@pytest.mark.usefixtures("interpreted")
def test_no_checkpoint_is_written_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights ask for gradients even where torch.no_grad forbids them."""
    from tamis.kernels.delta_rule import fused

    leaves = [
        value.requires_grad_() for value in list(draw([20], (1, 2, 2), gated=False).values())[:-1]
    ]
    sizes = []
    empty = torch.empty
    monkeypatch.setattr(
        fused.torch, "empty", lambda *shape, **kind: sizes.append(shape) or empty(*shape, **kind)
    )
    with forced("triton"), torch.no_grad():
        delta_rule(*leaves, pack_lengths([20]))
    without = sizes.copy()
    with forced("triton"):
        delta_rule(*leaves, pack_lengths([20]))
    assert len(sizes) == 2 * len(without)
    assert without != sizes[len(without) :]


@pytest.mark.gpu
def test_triton_on_a_gpu(gpu: torch.device, close: Compare, close_rms: Compare) -> None:
    lengths = [300, *LONG, *SHORT * 20]
    for sizes, steps, gated in (
        ((4, 32, 32), 1, False),
        ((2, 64, 48), 2, True),
        ((1, 1, 1), 3, True),
    ):
        drawn = draw(lengths, sizes, steps, gated=gated)
        values = {k: v.to(gpu) for k, v in drawn.items()}
        check("triton", values, lengths, close, BOUNDS)
        check("torch", values, lengths, close_rms, (1e-4, 1e-4))
        check("triton", narrow(values), lengths, close_rms, (3e-3, 6e-3))
        once, again = run("triton", values, lengths), run("triton", values, lengths)
        assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_lengths([2, 1])
    q, k, v, beta, _, decay = draw([2, 1], (2, 4, 3)).values()
    with pytest.raises(BadArguments, match=r"q is \[2, 2, 4\], expected \[3 tokens"):
        delta_rule(q[:2], k, v, beta, packed)
    with pytest.raises(BadArguments, match="int64"):
        delta_rule(q.long(), k, v, beta, packed)
    with pytest.raises(BadArguments, match=r"v is \[3, 1, 2, 3\], expected \[3, 2, 2, DV\]"):
        delta_rule(q, k, v, beta, packed, steps=2)
    with pytest.raises(BadArguments, match=r"k is \[3, 1, 2, 3\], expected \[3, 1, 2, 4\]"):
        delta_rule(q, v, v, beta, packed)
    with pytest.raises(BadArguments, match=r"beta is \[3, 2, 2\], expected \[3, 1, 2\]"):
        delta_rule(q, k, v, torch.zeros(3, 2, 2), packed)
    with pytest.raises(BadArguments, match=r"log_decay is \[3, 1\], expected \[3, 2\]"):
        delta_rule(q, k, v, beta, packed, log_decay=decay[:, :1])
    with pytest.raises(BadArguments, match="not 0"):
        delta_rule(q, k, v, beta, packed, steps=0)
