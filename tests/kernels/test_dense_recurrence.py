"""dense_recurrence: against torch's own GRU and LSTM, sLSTM by hand, and the twins together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from tamis.core.errors import BadArguments
from tamis.kernels import dispatch
from tamis.kernels.dense_recurrence import dense_recurrence
from tamis.kernels.dense_recurrence.cells import GATES, STATES
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]
CELLS = ("gru", "lstm", "slstm")
# numpy, which interprets, warns where exp overflows to infinity on its way to a sigmoid of 0
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")


@dataclass
class Case:
    """Inputs of one call, and what a loss weighs its results with."""

    cell: str
    lengths: list[int]
    tensors: dict[str, Tensor]
    first: list[Tensor] | None
    reverse: bool
    wanted: list[Tensor]

    def to(self, dtype: torch.dtype, device: str = "cpu") -> Case:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype)

        return Case(
            self.cell,
            self.lengths,
            {name: move(tensor) for name, tensor in self.tensors.items()},
            None if self.first is None else [move(state) for state in self.first],
            self.reverse,
            [move(tensor) for tensor in self.wanted],
        )


def case(
    cell: str,
    lengths: list[int],
    *,
    dirs: int = 2,
    heads: int = 2,
    dim: int = 5,
    first: bool = True,
    scale: float = 1.0,
    reverse: bool = False,
) -> Case:
    draw = torch.Generator().manual_seed(7)
    gates, states = len(GATES[cell]), len(STATES[cell])
    tokens = sum(lengths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    tensors = {
        "x_gates": normal(tokens, dirs, gates, heads, dim) * scale,
        "R": normal(dirs, gates, heads, dim, dim) * dim**-0.5,
        "bias": normal(dirs, gates, heads, dim) * 0.3,
    }
    h0 = [normal(len(lengths), dirs, heads, dim) for _ in range(states)]
    if cell == "slstm":
        h0[2] = h0[2].abs() + 0.5
        h0[2][::2] = 0.0  # every other memory is empty
    wanted = [normal(tokens, dirs * heads * dim)]
    wanted += [normal(len(lengths), dirs, heads, dim) for _ in range(states)]
    return Case(cell, lengths, tensors, h0 if first else None, reverse, wanted)


def run(case: Case, *, loss: str = "both") -> dict[str, Tensor]:
    """Output, final states and the gradient of every input."""
    leaves = {name: t.clone().requires_grad_() for name, t in case.tensors.items()}
    h0 = None if case.first is None else [s.clone().requires_grad_() for s in case.first]
    packed = pack_lengths(case.lengths, case.wanted[0].device)
    out, last = dense_recurrence(
        leaves["x_gates"],
        leaves["R"],
        leaves["bias"],
        packed,
        case.cell,  # type: ignore[arg-type]
        h0=h0,
        return_last=True,
        reverse=case.reverse,
    )
    results = {"out": (out, case.wanted[0])}
    for name, state, wanted in zip(STATES[case.cell], last, case.wanted[1:], strict=True):
        results[f"last {name}"] = (state, wanted)
    total = sum(
        (value * wanted).double().sum()
        for name, (value, wanted) in results.items()
        if loss == "both" or name.startswith(loss)
    )
    total.backward()
    for name, state in zip(STATES[case.cell], h0 or (), strict=False):
        leaves[f"h0 {name}"] = state
    found = {name: value.detach() for name, (value, _) in results.items()}
    return found | {f"d{name}": leaf.grad for name, leaf in leaves.items()}


def agree(found: dict, expected: dict, check: Compare, bound: float, slack: float = 5.0) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        check(value, expected[name], bound * (slack if name.startswith("d") else 1.0))


# --- truth from outside ---


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_is_torchs_own_cell(cell: str, first: bool, close: Compare) -> None:
    width, inputs, lengths = 6, 4, [3, 7, 1, 5]
    torch.manual_seed(1)
    kind = nn.GRU if cell == "gru" else nn.LSTM
    theirs = kind(inputs, width, bidirectional=True, dtype=torch.float64)
    texts = [torch.randn(n, inputs, dtype=torch.float64) for n in lengths]
    h0 = [torch.randn(len(lengths), 2, 1, width, dtype=torch.float64) for _ in STATES[cell]]
    sides = ("", "_reverse")

    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(theirs, f"{name}_l0{side}") for side in sides])

    gates = len(GATES[cell])
    x = torch.einsum("ti,dgi->tdg", torch.cat(texts), stacked("weight_ih")) + stacked("bias_ih")
    out, last = dense_recurrence(
        x.unflatten(2, (gates, 1, width)),
        stacked("weight_hh").unflatten(1, (gates, 1, width)),
        stacked("bias_hh").unflatten(1, (gates, 1, width)),
        pack_lengths(lengths),
        cell,  # type: ignore[call-overload]
        h0=h0 if first else None,
        return_last=True,
    )
    wanted = torch.randn_like(out)
    end = torch.randn_like(last[-1])
    (out * wanted).sum().add((last[-1] * end).sum()).backward()
    ours = [parameter.grad.clone() for parameter in theirs.parameters()]

    theirs.zero_grad()
    begin = [state[:, :, 0].transpose(0, 1) for state in h0]
    packed = pack_sequence(texts, enforce_sorted=False)
    asked = packed if not first else (packed, begin[0] if cell == "gru" else tuple(begin))
    result, states = theirs(*asked if first else (asked,))
    states = (states,) if cell == "gru" else states
    padded, _ = nn.utils.rnn.pad_packed_sequence(result, batch_first=True)
    expected = torch.cat([padded[i, :n] for i, n in enumerate(lengths)])
    final = [state.transpose(0, 1).unsqueeze(2) for state in states]
    (expected * wanted).sum().add((final[-1] * end).sum()).backward()

    close(out, expected, 1e-12)
    for state, theirs_state in zip(last, final, strict=True):
        close(state, theirs_state, 1e-12)
    for gradient, parameter in zip(ours, theirs.parameters(), strict=True):
        close(gradient, parameter.grad, 1e-10)


def slstm_by_hand(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One passage, one head, from its first token: no stabiliser, as float64 has the room."""
    h = c = n = np.zeros(x.shape[2])
    outputs = []
    for u in x:
        i, f, z, o = u + weight @ h + bias
        forget = 1 / (1 + np.exp(-f))
        c = forget * c + np.exp(i) * np.tanh(z)
        n = forget * n + np.exp(i)
        h = 1 / (1 + np.exp(-o)) * c / n
        outputs.append(h)
    return np.array(outputs)


def test_slstm_is_the_unstabilised_loop(close: Compare) -> None:
    made = case("slstm", [9, 0, 4], dirs=1, heads=2, first=False, scale=3.0)
    found = run(made)["out"].unflatten(1, (2, 5))
    x, weight, bias = (made.tensors[name].numpy() for name in ("x_gates", "R", "bias"))
    for begin, end in ((0, 9), (9, 13)):
        for head in range(2):
            expected = slstm_by_hand(x[begin:end, 0, :, head], weight[0, :, head], bias[0, :, head])
            close(found[begin:end, head], torch.from_numpy(expected), 1e-12)


def test_hand_set_numbers() -> None:
    packed = pack_lengths([2])

    def one(cell: str, *steps: list[float]) -> list[float]:
        x = torch.tensor(steps, dtype=torch.float64).view(2, 1, -1, 1, 1)
        weight = torch.ones(1, x.shape[2], 1, 1, 1, dtype=torch.float64)
        bias = torch.full((1, x.shape[2], 1, 1), 2.0, dtype=torch.float64)
        return dense_recurrence(x, weight, bias, packed, cell).flatten().tolist()  # type: ignore

    # r = 0.5 and z = 0.5 (-2 against the bias); n = tanh(x_n + r (h + 2)), x_n chosen to cancel
    assert one("gru", [-2, -2, -1], [-2, -2, 0])[0] == 0.0
    h = one("gru", [-2, -2, 0], [-99, 99, 5])
    assert h == pytest.approx([0.5 * np.tanh(1), 0.5 * np.tanh(1)])  # z = 1 keeps the state
    # c = 0.5 tanh(2), then forgotten (f = 0) and not written (i = 0)
    h = one("lstm", [-2, 0, 0, -2], [-99, -99, 0, 0])
    assert h == pytest.approx([0.5 * np.tanh(0.5 * np.tanh(2)), 0.0])
    # first token: c / n = tanh(z); second: e^0 of it beside s(f) = 0.5 of the first
    a = 0.5 * np.tanh(2)
    h = one("slstm", [-2, 0, 0, -2], [-2 - a, -2 - a, -2 - a, 99])
    assert h == pytest.approx([a, (0.5 * np.tanh(2) + 0) / 1.5])


# --- properties of the reference ---


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_the_function(cell: str) -> None:
    made = case(cell, [3, 0, 1, 4], heads=1, dim=2)
    inputs = [*made.tensors.values(), *(made.first or ())]
    packed = pack_lengths(made.lengths)

    def op(x: Tensor, weight: Tensor, bias: Tensor, *h0: Tensor) -> tuple[Tensor, ...]:
        out, last = dense_recurrence(x, weight, bias, packed, cell, h0=h0, return_last=True)  # type: ignore
        return out, *last

    # an empty memory (n = 0) is a case apart, from which a difference quotient would step out
    if cell == "slstm":
        inputs[5][:] = 1.5
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(op, leaves, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_float32_is_close_to_float64(cell: str, scale: float, close: Compare) -> None:
    made = case(cell, [300, 0, 1, 17, 64], dim=4, scale=scale).to(torch.float32)
    agree(run(made), run(made.to(torch.float64)), close, 1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_heads_are_blocks_and_backward_is_flipped(cell: str, close: Compare) -> None:
    made = case(cell, [4, 6, 1], dirs=2, heads=3, dim=2, first=False)
    both = run(made)["out"].unflatten(1, (2, 3, 2))
    x, weight, bias = (made.tensors[name] for name in ("x_gates", "R", "bias"))
    flip = torch.cat([torch.arange(3, -1, -1), torch.arange(9, 3, -1), torch.tensor([10])])
    for head in range(3):
        one = slice(head, head + 1)
        for side in range(2):
            d = slice(side, side + 1)
            given = x[:, d, :, one][flip] if side else x[:, d, :, one]
            alone = dense_recurrence(
                given,
                weight[d, :, one],
                bias[d, :, one],
                pack_lengths(made.lengths),
                cell,  # type: ignore[arg-type]
            )
            close(both[:, side, head], alone[flip] if side else alone, 1e-12)
    backward = dense_recurrence(
        x[:, 1:],
        weight[1:],
        bias[1:],
        pack_lengths(made.lengths),
        cell,
        reverse=True,  # type: ignore
    )
    close(both[:, 1].flatten(1), backward, 1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_a_passage_goes_on_from_where_it_stopped(cell: str, close: Compare) -> None:
    made = case(cell, [5, 8], dirs=1, first=False)
    x, weight, bias = (made.tensors[name] for name in ("x_gates", "R", "bias"))
    whole = dense_recurrence(x, weight, bias, pack_lengths([13]), cell)  # type: ignore[arg-type]
    head, last = dense_recurrence(
        x[:5],
        weight,
        bias,
        pack_lengths([5]),
        cell,
        return_last=True,  # type: ignore[call-overload]
    )
    tail = dense_recurrence(x[5:], weight, bias, pack_lengths([8]), cell, h0=last)  # type: ignore
    close(torch.cat([head, tail]), whole, 1e-12)


def test_nothing_to_read() -> None:
    for lengths in ([], [0, 0]):
        made = case("lstm", lengths)
        found = run(made)
        assert found["out"].shape == (0, 20)
        for name, state in zip("hc", made.first or (), strict=True):
            assert torch.equal(found[f"last {name}"], state)
        assert not found["dR"].any()


# --- the Triton twin ---

# in the interpreter a step costs milliseconds: few programs, short passages
INTERPRETED = {
    "mixed lengths, two directions": {"lengths": [7, 0, 1, 12, 3]},
    "more than one tile": {"lengths": [1 + n % 4 for n in range(19)], "heads": 1, "dirs": 1},
    "backward only, no first state": {
        "lengths": [5, 2],
        "dirs": 1,
        "reverse": True,
        "first": False,
    },
    "saturated": {"lengths": [9, 4], "heads": 1, "dirs": 1, "scale": 40.0},
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", INTERPRETED)
def test_fused_agrees_with_float64(name: str, cell: str, close: Compare) -> None:
    made = case(cell, **INTERPRETED[name]).to(torch.float32)  # type: ignore[arg-type]
    expected = run(made.to(torch.float64))
    with forced("triton"):
        agree(run(made), expected, close, 1e-5)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dim", [16, 70])  # the weights held, and read again at every step
def test_fused_agrees_in_bfloat16(dim: int, cell: str, close_rms: Compare) -> None:
    made = case(cell, [10, 3, 6], heads=1, dim=dim).to(torch.bfloat16)
    expected = run(made.to(torch.float64))
    with forced("triton"):
        found = run(made)
    assert found["out"].dtype == torch.bfloat16
    assert found["last h"].dtype == torch.float32
    assert found["dR"].dtype == torch.bfloat16
    # rounding the output costs 1.6e-3; the interpreter cuts off instead, which costs twice that
    agree(found, expected, close_rms, 4e-3, slack=1.0)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("loss", ["out", "last h"])
def test_fused_takes_a_loss_on_one_result(loss: str, cell: str, close: Compare) -> None:
    made = case(cell, [4, 0, 6], dirs=1, heads=1).to(torch.float32)
    expected = run(made.to(torch.float64), loss=loss)
    with forced("triton"):
        agree(run(made, loss=loss), expected, close, 1e-5)


@pytest.mark.usefixtures("interpreted")
def test_fused_without_a_gradient_says_the_same_and_keeps_nothing() -> None:
    made = case("slstm", [4, 0, 6], dirs=1, heads=1).to(torch.float32)
    packed = pack_lengths(made.lengths)
    given = (*made.tensors.values(), packed, "slstm")
    with forced("triton"):
        learnt = dense_recurrence(*(t.requires_grad_() for t in given[:3]), *given[3:])  # type: ignore
        with torch.no_grad():
            plain = dense_recurrence(*given)  # type: ignore[call-overload]
    assert learnt.grad_fn is not None
    assert plain.grad_fn is None
    assert torch.equal(learnt, plain)


@pytest.mark.usefixtures("interpreted")
def test_fused_reads_nothing() -> None:
    for lengths in ([], [0, 0]):
        made = case("slstm", lengths, dirs=1, heads=1).to(torch.float32)
        expected = run(made)
        with forced("triton"):
            found = run(made)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


# --- passages and their neighbours ---


@pytest.fixture(params=["reference", "triton"])
def twin(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("interpreted")
    return str(request.param)


@pytest.mark.parametrize("cell", CELLS)
def test_a_passage_knows_nothing_of_its_neighbours(cell: str, twin: str) -> None:
    lengths = [3, 5, 2, 5]
    made = case(cell, lengths, heads=1, first=False).to(torch.float32)
    with forced(twin):  # type: ignore[arg-type]
        before = run(made)
        made.tensors["x_gates"][3:8] += 1.0
        made.wanted[0][3:8] *= 3.0
        after = run(made)
    others = torch.ones(15, dtype=torch.bool)
    others[3:8] = False
    # a matmul of more or fewer rows may round otherwise; of the same shape it must not
    assert torch.equal(before["out"][others], after["out"][others])
    assert torch.equal(before["dx_gates"][others], after["dx_gates"][others])
    assert not torch.equal(before["dx_gates"][3:8], after["dx_gates"][3:8])


@pytest.mark.parametrize("cell", CELLS)
def test_the_weights_learn_nothing_across_a_boundary(cell: str, twin: str, close: Compare) -> None:
    """One token each: R meets first states alone, so its gradient is theirs, else exactly zero."""
    made = case(cell, [1, 1, 1], heads=1, first=False).to(torch.float32)
    with forced(twin):  # type: ignore[arg-type]
        assert not run(made)["dR"].any()
    # and of two passages each only its own steps: the sum of the two alone
    made = case(cell, [4, 3], heads=1, first=False).to(torch.float32)
    with forced(twin):  # type: ignore[arg-type]
        together = run(made)["dR"]
        parts = []
        for rows, place in ((slice(0, 4), 0), (slice(4, 7), 1)):
            tensors = {**made.tensors, "x_gates": made.tensors["x_gates"][rows]}
            wanted = [made.wanted[0][rows]]
            wanted += [state[place : place + 1] for state in made.wanted[1:]]
            parts.append(run(Case(cell, [made.lengths[place]], tensors, None, False, wanted))["dR"])
    close(together, parts[0] + parts[1], 1e-5)


@pytest.mark.parametrize("gate", [-200.0, 200.0])
def test_an_empty_memory_takes_any_first_word(gate: float, twin: str, close: Compare) -> None:
    """exp(-i), which nothing would outweigh, must not meet the nothing that was remembered."""
    made = case("slstm", [3, 1], dirs=1, heads=1).to(torch.float32)
    made.tensors["x_gates"][:, :, 0] = gate
    expected = run(made.to(torch.float64))
    # an exponent of 200 has an error of 1e-5 before it is used
    with forced(twin):  # type: ignore[arg-type]
        agree(run(made), expected, close, 1e-4)


# --- who computes, and what is refused ---


def test_heads_too_wide_for_triton_run_as_the_reference_and_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for dim, dtype in ((65, torch.float32), (129, torch.bfloat16)):
        made = case("gru", [1], dirs=1, heads=1, dim=dim).to(dtype)
        given = (*made.tensors.values(), pack_lengths([1]), "gru")
        dispatch._say.cache_clear()
        with caplog.at_level(logging.INFO):
            dense_recurrence(*given)  # type: ignore[call-overload]
        assert f"dense_recurrence with heads of {dim} runs as reference" in caplog.text
        with forced("triton"), pytest.raises(BadArguments, match=f"heads of {dim}"):
            dense_recurrence(*given)  # type: ignore[call-overload]


def test_what_does_not_fit_is_refused() -> None:
    made = case("gru", [2, 3])
    x, weight, bias = made.tensors.values()
    packed = pack_lengths([2, 3])

    def refused(match: str, *given: object, **options: object) -> None:
        with pytest.raises(BadArguments, match=match):
            dense_recurrence(*given, **options)  # type: ignore[call-overload]

    refused("no cell is called 'rnn'; known: gru, lstm, slstm", x, weight, bias, packed, "rnn")
    refused("gates for lstm are", x, weight, bias, packed, "lstm")
    refused("5 rows of gates for a pack of 4", x, weight, bias, pack_lengths([4]), "gru")
    refused("R is", x, weight[:1], bias, packed, "gru")
    refused("bias is", x, weight, bias[0], packed, "gru")
    refused("2 first states; gru has", x, weight, bias, packed, "gru", h0=made.wanted[1:] * 2)
    refused("first state h is", x, weight, bias, packed, "gru", h0=[made.wanted[0]])
    refused("reverse is for one", x, weight, bias, packed, "gru", reverse=True)


# --- on a GPU ---

COMPILED = {
    "passages": {"lengths": [128, 1, 0, 77, 128, *range(16, 60)], "heads": 4, "dim": 32},
    "dense": {"lengths": [128, 64, 5], "heads": 1, "dim": 64},
    "odd": {"lengths": [33, 2, 128], "heads": 3, "dim": 19},
    "wide": {"lengths": [40, 17], "heads": 1, "dim": 128},
}


@pytest.mark.gpu
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_agrees_with_float64(
    name: str,
    cell: str,
    dtype: torch.dtype,
    gpu: torch.device,
    close: Compare,
    close_rms: Compare,
) -> None:
    if name == "wide" and dtype == torch.float32:
        pytest.skip("heads of 128 in float32 run as the reference")
    made = case(cell, **COMPILED[name]).to(dtype, "cuda")  # type: ignore[arg-type]
    expected = run(made.to(torch.float64, "cuda"))
    with forced("triton"):
        found = run(made)
        again = run(made)
    assert all(torch.equal(found[key], again[key]) for key in found)
    if dtype == torch.float32:
        agree(found, expected, close, 1e-4, slack=1.0)
    else:
        agree(found, expected, close_rms, 1e-2, slack=1.0)
