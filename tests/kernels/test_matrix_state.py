"""``matrix_state`` against hand-set numbers, all pairs in numpy, and its twins against the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.dispatch import forced
from tamis.kernels.matrix_state import blocks, matrix_state, stabilised
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from tests.kernels.conftest import Compare

MIXED = [17, 0, 1, 20]
LONG = [0, 1, 15, 16, 17, 300]
DECAYS = ["none", "head", "scalar", "channel", "saturated"]
WAYS = ["forward", "backward", "both"]
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
EVERY_DECAY = pytest.mark.parametrize("decay", DECAYS)
PLAIN = ["reference", "torch"]
TWINS = pytest.mark.parametrize("twin", [*PLAIN, "triton"])


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def runs(twin: str, request: pytest.FixtureRequest) -> str:
    if twin == "triton":
        request.getfixturevalue("interpreted")
    return twin


def draw(
    lengths: list[int], decay: str, *, bonus: bool = False, heads: int = 1, dim: int = 8
) -> dict[str, Tensor]:
    """float32 values; "saturated" has channels that keep all, and some steps that keep nothing."""
    generator = torch.Generator().manual_seed(len(lengths) + heads)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    n = sum(lengths)
    values = {"q": normal(n, heads, dim), "k": normal(n, heads, dim), "v": normal(n, heads, 5)}
    shapes = {"head": (heads,), "scalar": (n, heads)}
    if decay != "none":
        g = -torch.rand(shapes.get(decay, (n, heads, dim)), generator=generator) / 2
        if decay == "saturated":
            pick = torch.rand(g.shape, generator=generator)
            g = torch.where(pick < 0.2, -80.0, torch.where(pick > 0.5, 0.0, g))
        values["log_decay"] = g
    if bonus:
        values["bonus"] = normal(heads, dim)
    return values


def results(
    values: dict[str, Tensor], lengths: list[int], way: Any, device: Any = "cpu"
) -> dict[str, Tensor]:
    """The output and the gradients of all that went in, of a loss that weighs each number."""
    given = {name: x.detach().to(device).requires_grad_() for name, x in values.items()}
    out = matrix_state(packed=pack_lengths(lengths, device), direction=way, **given)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(weights.to(out))
    return {"out": out.detach()} | {f"d{name}": x.grad for name, x in given.items()}  # type: ignore[dict-item]


def wide(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.double() for name, x in values.items()}


def truth(values: dict[str, Tensor], lengths: list[int], way: Any) -> dict[str, Tensor]:
    """The loop over time in float64, from the same rounded values."""
    with forced("reference"):
        return results(wide(values), lengths, way)


def agree(
    found: dict[str, Tensor], expected: dict[str, Tensor], close: Compare, *bounds: float
) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        close(value.cpu(), expected[name], bounds[name != "out"])


def by_hand(twin: Any, way: Any, factor: float = 1.0, bonus: float | None = None) -> list[float]:
    """Three tokens of one channel write 1, 10, 100 and keep a half, a quarter, an eighth."""
    ones = torch.ones(3, 1, 1, dtype=torch.float64)
    with forced(twin):
        out = matrix_state(
            ones * factor,
            ones,
            torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).view(3, 1, 1),
            pack_lengths([3]),
            log_decay=torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64).log().view(3, 1),
            direction=way,
            bonus=None if bonus is None else bonus * ones[0],
        )
    return out.flatten().tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("twin", PLAIN)
def test_numbers_set_by_hand(twin: str) -> None:
    # the third: (1/4 + 10) / 8 + 100; token t's factor meets what came before it
    forward = [1, 10.25, 101.28125]
    assert by_hand(twin, "forward") == pytest.approx(forward)
    assert by_hand(twin, "forward", factor=2) == pytest.approx([2 * x for x in forward])
    # met from the other side; the first: (100/4 + 10) / 2 + 1
    assert by_hand(twin, "backward") == pytest.approx([18.5, 35, 100])
    # the gap between two tokens has one factor, the later token's, whoever crosses it
    both = [1 + 10 / 4 + 100 / 32, 1 / 4 + 10 + 100 / 8, 1 / 32 + 10 / 8 + 100]
    assert by_hand(twin, "both") == pytest.approx(both)


@pytest.mark.parametrize("twin", PLAIN)
def test_numbers_set_by_hand_with_a_bonus(twin: str) -> None:
    # a token itself counts by its bonus, neighbours in full, and only what lies between fades
    assert by_hand(twin, "forward", bonus=3) == pytest.approx([3, 1 + 30, 1 / 4 + 10 + 300])
    assert by_hand(twin, "backward", bonus=3) == pytest.approx([3 + 10 + 25, 30 + 100, 300])
    assert by_hand(twin, "both", bonus=3) == pytest.approx([38, 131, 310.25])


def all_pairs(values: dict[str, Tensor], lengths: list[int], way: str) -> np.ndarray:
    """The docstring's sums, one pair of tokens at a time."""
    q, k, v = (values[name].numpy() for name in ("q", "k", "v"))
    g = values.get("log_decay", torch.zeros(q.shape[1], dtype=torch.float64))
    g = g.expand(q.shape[:2]) if g.ndim == 1 else g
    g = g[..., None].numpy() if g.ndim == 2 else g.numpy()
    u = values.get("bonus")
    out = np.zeros_like(v)
    start = 0
    for length in lengths:
        for t in range(start, start + length):
            for s in range(start, start + length):
                if (way == "forward" and s > t) or (way == "backward" and s < t):
                    continue
                first, last = min(s, t), max(s, t)
                spans = {
                    "forward": (s + 1, t + 1),
                    "backward": (t, s),
                    "both": (first + 1, last + 1),
                }
                begin, end = (first + 1, last) if u is not None else spans[way]
                left = np.exp(g[begin:end].sum(0)) if s != t else np.ones((1, 1))
                own = u.numpy() if u is not None and s == t else 1.0
                out[t] += (q[t] * left * own * k[s]).sum(-1, keepdims=True) * v[s]
        start += length
    return out


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), max_size=4),
    decay=st.sampled_from(DECAYS),
    way=st.sampled_from(WAYS),
    bonus=st.booleans(),
)
def test_plain_torch_is_the_sum_over_all_pairs(
    lengths: list[int], decay: str, way: Any, bonus: bool
) -> None:
    values = wide(draw(lengths, decay, bonus=bonus, heads=2, dim=3))
    expected = all_pairs(values, lengths, way)
    for twin in PLAIN:
        with forced(twin):  # type: ignore[arg-type]
            out = matrix_state(packed=pack_lengths(lengths), direction=way, **values)
        np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("twin", PLAIN)
def test_both_is_forward_and_backward_less_the_diagonal(twin: str) -> None:
    values, packed = wide(draw(MIXED, "channel")), pack_lengths(MIXED)
    g = values.pop("log_decay")
    ahead = g.roll(-1, 0)  # the backward pass meets the decay of the token after
    own = (values["q"] * values["k"]).sum(-1, keepdim=True) * values["v"]
    with forced(twin):  # type: ignore[arg-type]
        found = matrix_state(packed=packed, log_decay=g, **values)
        forward = matrix_state(packed=packed, log_decay=g, direction="forward", **values)
        backward = matrix_state(packed=packed, log_decay=ahead, direction="backward", **values)
    torch.testing.assert_close(found, forward + backward - own)


@pytest.mark.parametrize("twin", PLAIN)
def test_both_is_attention_under_lions_mask(twin: str) -> None:
    values = wide(draw([20], "scalar"))
    q, k, v, g = (x[:, 0] for x in values.values())
    c = g.cumsum(0)
    mask = torch.exp(-(c[:, None] - c[None, :]).abs())
    with forced(twin):  # type: ignore[arg-type]
        found = matrix_state(packed=pack_lengths([20]), **values)[:, 0]
    torch.testing.assert_close(found, (q @ k.T * mask) @ v)


@EVERY_WAY
@EVERY_DECAY
@pytest.mark.parametrize("bonus", [False, True])
def test_blocks_agree_with_the_loop(decay: str, way: str, bonus: bool, close: Compare) -> None:
    values = draw(LONG, decay, bonus=bonus, heads=2)
    with forced("torch"):
        found = results(values, LONG, way)
    agree(found, truth(values, LONG, way), close, 1e-5, 5e-5)


@EVERY_WAY
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("decay", ["head", "channel"])
def test_triton_agrees_with_the_loop(
    decay: str, way: str, bonus: bool, interpreted: None, close: Compare
) -> None:
    values = draw(MIXED, decay, bonus=bonus)
    with forced("triton"):
        found = results(values, MIXED, way)
    agree(found, truth(values, MIXED, way), close, 1e-5, 5e-5)


@pytest.mark.parametrize(("decay", "way"), [("none", "forward"), ("scalar", "both")])
def test_triton_agrees_on_two_heads(
    decay: str, way: str, interpreted: None, close: Compare
) -> None:
    values = draw([18, 3], decay, heads=2, dim=20)
    with forced("triton"):
        found = results(values, [18, 3], way)
    agree(found, truth(values, [18, 3], way), close, 1e-5, 5e-5)


@EVERY_WAY
def test_triton_agrees_on_saturated_gates(way: str, interpreted: None, close_rms: Compare) -> None:
    """Beside a closed gate the sums of a block keep five digits."""
    values = draw(MIXED, "saturated")
    with forced("triton"):
        found = results(values, MIXED, way)
    agree(found, truth(values, MIXED, way), close_rms, 2e-5, 2e-5)


@TWINS
def test_bfloat16_is_computed_in_float32(runs: str, close_rms: Compare) -> None:
    values = {
        name: x if name == "log_decay" else x.bfloat16()
        for name, x in draw(MIXED, "channel", bonus=True).items()
    }
    with forced(runs):  # type: ignore[arg-type]
        found = results(values, MIXED, "both")
    assert all(found[name].dtype == torch.bfloat16 for name in ("out", "dq", "dk", "dv", "dbonus"))
    assert found["dlog_decay"].dtype == torch.float32
    agree(found, truth(values, MIXED, "both"), close_rms, 3e-3, 6e-3)


def test_triton_rounds_one_sweep_in_the_kernel(interpreted: None, close_rms: Compare) -> None:
    values = {name: x.bfloat16() for name, x in draw(MIXED, "scalar").items()}
    with forced("triton"):
        found = results(values, MIXED, "backward")
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error of one rounding
    agree(found, truth(values, MIXED, "backward"), close_rms, 6e-3, 12e-3)


@TWINS
@EVERY_WAY
def test_no_passage_sees_another(runs: str, way: str) -> None:
    lengths = [17, 0, 1, 4]
    values = draw(lengths, "channel", bonus=True)
    changed = {name: x.clone() for name, x in values.items()}
    for name in ("q", "k", "v", "log_decay"):
        changed[name][17] = torch.nan  # the passage of one token
    with forced(runs):  # type: ignore[arg-type]
        before, after = results(values, lengths, way), results(changed, lengths, way)
    rest = torch.arange(sum(lengths)) != 17
    for name in ("out", "dq", "dk", "dv", "dlog_decay"):
        assert torch.equal(before[name][rest], after[name][rest]), name


@TWINS
@EVERY_WAY
@pytest.mark.parametrize("bonus", [False, True])
def test_no_gradient_crosses_the_start_of_a_passage(runs: str, way: str, bonus: bool) -> None:
    """A loss on the second of three passages reaches no token of the others, and no outer decay."""
    values = {
        name: x.requires_grad_() for name, x in draw([3, 2, 3], "scalar", bonus=bonus).items()
    }
    with forced(runs):  # type: ignore[arg-type]
        out = matrix_state(packed=pack_lengths([3, 2, 3]), direction=way, **values)  # type: ignore[arg-type]
        out[3:5].square().sum().backward()
    own = torch.tensor([0, 0, 0, 1, 1, 0, 0, 0]).bool()
    for name in ("q", "k", "v"):
        reached = values[name].grad.abs().amax((1, 2))  # type: ignore[union-attr]
        assert torch.equal(reached > 0, own), name
    # what lies between tokens 3 and 4 fades by 4, seen backward by 3, with a bonus by neither
    gap = {"forward": 4, "backward": 3, "both": 4}[way]
    faded = values["log_decay"].grad.abs()[:, 0] > 1e-3  # type: ignore[union-attr]
    assert faded.nonzero().flatten().tolist() == ([] if bonus else [gap])


@TWINS
def test_a_gate_of_minus_infinity_is_a_new_start(runs: str) -> None:
    lengths, cut = [30], [18, 12]
    values = draw(lengths, "channel")
    values["log_decay"][18] = -torch.inf
    with forced(runs):  # type: ignore[arg-type]
        found, expected = results(values, lengths, "forward"), results(values, cut, "forward")
    for name, value in found.items():
        assert torch.isfinite(value).all(), name
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)


def test_triton_gradients_are_the_same_bits_every_time(interpreted: None) -> None:
    values = draw(MIXED, "channel", bonus=True)
    with forced("triton"):
        first, again = (results(values, MIXED, "both") for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@TWINS
def test_decays_may_be_constants(runs: str) -> None:
    values = draw(MIXED, "scalar")
    with forced(runs):  # type: ignore[arg-type]
        expected = results(values, MIXED, "forward")
        q, k, v = (values[name].detach().requires_grad_() for name in ("q", "k", "v"))
        packed = pack_lengths(MIXED)
        out = matrix_state(q, k, v, packed, log_decay=values["log_decay"], direction="forward")
        out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))
    for name, x in (("dq", q), ("dk", k), ("dv", v)):
        torch.testing.assert_close(x.grad, expected[name])


def test_a_column_of_ones_is_the_normaliser() -> None:
    values, packed = wide(draw(MIXED, "channel")), pack_lengths(MIXED)
    ones = torch.ones_like(values["v"][..., :1])
    both = matrix_state(packed=packed, **values | {"v": torch.cat([values["v"], ones], -1)})
    torch.testing.assert_close(both[..., :-1], matrix_state(packed=packed, **values))
    torch.testing.assert_close(both[..., -1:], matrix_state(packed=packed, **values | {"v": ones}))


def test_inference_first_and_training_after() -> None:
    """What the first call leaves for the next ones serves both modes."""
    values = draw([3], "scalar")
    blocks._tables.cache_clear()
    with torch.inference_mode():
        matrix_state(packed=pack_lengths([3]), **values)
    assert torch.isfinite(results(values, [3], "both")["dq"]).all()


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_tokens_are_no_outputs(lengths: list[int]) -> None:
    q, v = torch.zeros(0, 2, 4), torch.zeros(0, 2, 3)
    assert matrix_state(q, q, v, pack_lengths(lengths)).shape == (0, 2, 3)


def test_heads_too_wide_for_registers_run_in_plain_torch(interpreted: None) -> None:
    q, packed = torch.ones(2, 1, 65), pack_lengths([2])
    with forced("triton"), pytest.raises(BadArguments, match="no triton twin"):
        matrix_state(q, q, q, packed)
    assert matrix_state(q, q, q, packed).flatten()[0] == 130


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.ones(3, 2, 4)}, "q \\[3, 2, 4\\]"),
        ({"v": torch.ones(4, 1, 4)}, "\\[tokens, H, DV\\]"),
        ({"packed": pack_lengths([5])}, "5 tokens"),
        ({"v": torch.ones(4, 2, 4).double()}, "one floating dtype"),
        ({"log_decay": torch.ones(4)}, "log_decay is \\[4\\]"),
        ({"log_decay": torch.ones(4, 2, 3)}, "log_decay is \\[4, 2, 3\\]"),
        ({"bonus": torch.ones(4, 2, 4)}, "bonus is \\[4, 2, 4\\]"),
        ({"direction": "sideways"}, "sideways.*both, forward, backward"),
        ({"bonus": torch.ones(2, 4, device="meta")}, "cpu, meta"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    x = torch.ones(4, 2, 4)
    fitting: dict[str, Any] = {"q": x, "k": x, "v": x, "packed": pack_lengths([1, 3])}
    with pytest.raises(BadArguments, match=message):
        matrix_state(**fitting | change)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_running_maximum_by_doubling_is_the_loop(reverse: bool) -> None:
    lengths = [9, 0, 1, 33]
    generator = torch.Generator().manual_seed(2)
    forget = -3 * torch.rand(43, 2, generator=generator).double()
    enter = 20 * torch.randn(43, 2, generator=generator).double()
    found = stabilised(forget, enter, pack_lengths(lengths), reverse=reverse)
    rows = []
    for part in zip(forget.split(lengths), enter.split(lengths), strict=True):
        f, i = (x.flip(0) if reverse else x for x in part)
        m, walked = torch.zeros(2).double(), []
        for t in range(len(f)):
            before, m = m, torch.maximum(torch.maximum(f[t] + m, i[t]), torch.zeros(2).double())
            walked.append(torch.stack([f[t] + before - m, (i[t] - m).exp(), (-m).exp()]))
        rows += walked[::-1] if reverse else walked
    log_decay, weight, scale = torch.stack(rows).unbind(1)
    starts = torch.tensor([0, 9, 10] if not reverse else [8, 9, 42])
    inner = ~torch.isin(torch.arange(43), starts)  # a first decay fades nothing: any will do
    torch.testing.assert_close(found[0][inner], log_decay[inner])
    torch.testing.assert_close(found[1], weight)
    torch.testing.assert_close(found[2], scale)
    assert found[0].max() <= 1e-12
    assert all(x.min() >= 0 and x.max() <= 1 for x in found[1:])


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_stabilised_gates_survive_what_overflows(way: Any, close: Compare) -> None:
    """Input gates to e^80, in float32 and over v's column of ones, as float64 has them plainly."""
    values, packed = draw(MIXED, "none"), pack_lengths(MIXED)
    n = sum(MIXED)
    generator = torch.Generator().manual_seed(5)
    forget = torch.nn.functional.logsigmoid(30 * torch.randn(n, 1, generator=generator))
    enter = 80 * (2 * torch.rand(n, 1, generator=generator) - 1)
    q, k, v = values["q"], values["k"], torch.cat([values["v"], torch.ones(n, 1, 1)], -1)
    log_decay, weight, scale = stabilised(forget, enter, packed, reverse=way == "backward")
    o = matrix_state(q, k * weight[..., None], v, packed, log_decay=log_decay, direction=way)
    found = o[..., :-1] / torch.maximum(o[..., -1:].abs(), scale[..., None])
    plain = k.double() * enter.double().exp()[..., None]
    o = matrix_state(
        q.double(), plain, v.double(), packed, log_decay=forget.double(), direction=way
    )
    close(found, o[..., :-1] / o[..., -1:].abs().clamp(min=1), 2e-4)


@pytest.mark.gpu
@EVERY_WAY
@EVERY_DECAY
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_kernels_agree_with_the_loop(
    decay: str, way: str, bonus: bool, dtype: Any, gpu: torch.device, close_rms: Compare
) -> None:
    lengths = [*LONG, 128, 64, 65, 520]
    for dim in (20, 64):
        drawn = draw(lengths, decay, bonus=bonus, heads=3, dim=dim)
        values = {n: x if n == "log_decay" else x.to(dtype) for n, x in drawn.items()}
        bounds = (1e-4, 1e-4) if dtype == torch.float32 else (3e-3, 6e-3)
        with forced("triton"):
            found = results(values, lengths, way, gpu)
            again = results(values, lengths, way, gpu)
        assert all(torch.equal(found[name], again[name]) for name in found)
        agree(found, truth(values, lengths, way), close_rms, *bounds)
