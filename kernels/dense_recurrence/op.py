"""``dense_recurrence``: what is asked, whoever computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args, overload

import torch
from torch import Tensor

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .cells import GATES, STATES, Cell
from .reference import dense_recurrence as reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..dispatch import Backend
    from ..packing import Packed

# widest heads of the Triton kernels: weights of 64 stay on the chip; float32, which tensor cores
# do not multiply exactly, would beyond that spend its time moving registers to memory and back
WIDEST, WIDEST_IN_FLOAT32 = 128, 64


@overload
def dense_recurrence(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: Cell,
    *,
    h0: Sequence[Tensor] | None = None,
    return_last: Literal[False] = False,
    reverse: bool = False,
) -> Tensor: ...


@overload
def dense_recurrence(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: Cell,
    *,
    h0: Sequence[Tensor] | None = None,
    return_last: Literal[True],
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]: ...


def dense_recurrence(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: Cell,
    *,
    h0: Sequence[Tensor] | None = None,
    return_last: bool = False,
    reverse: bool = False,
) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell whose gates are x_gates + R h + bias over every passage of the pack.

    x_gates [tokens, dirs, G, H, DH]: what the tokens say, projected by the caller. Of two
    directions the second walks each passage from its last token; one direction walks forward, or
    backward with ``reverse``. R [dirs, G, H, DH, DH] is block-diagonal by head (H = 1: dense):
    gate g of head h gets R[d, g, h] times the state of head h. bias [dirs, G, H, DH].

    "gru" (G = 3: reset, update, new): n = tanh(x_n + r (R_n h + b_n)), h = (1 - z) n + z h, the
    flavour of cuDNN and torch. "lstm" (G = 4: input, forget, cell, output; order and meaning as
    torch.nn.LSTM). "slstm" (G = 4, the same order): exponential input gate, m = max(i, log s(f) +
    m'), c = exp(log s(f) + m' - m) c' + exp(i - m) tanh(z), n likewise with 1 for tanh(z), h =
    s(o) c / max(n, 1); n = 0 is an empty memory, for which m = i whatever m' was.

    Returns [tokens, dirs * H * DH], dtype of x_gates; with ``return_last`` also the final states,
    each [N, dirs, H, DH] in float32 (float64 for float64): (h,), (h, c), (h, c, n, m). h0 is such
    a tuple; None is zeros. A passage without tokens ends as it began.
    Gradients reach x_gates, R, bias and h0 through both results.

    On a GPU, heads up to 64 wide (bfloat16: 128) run fused; wider ones run as the reference, and
    the log says so.
    Raises BadArguments for shapes that do not fit. Sources: Cho et al. 2014 (arXiv 1406.1078),
    Hochreiter and Schmidhuber 1997, Beck et al. 2024 (2405.04517), head-wise as FlashRNN
    (2412.07752).
    """
    _check(x_gates, R, bias, packed, cell, h0, reverse)
    dim = x_gates.shape[-1]
    wide = dim > (WIDEST_IN_FLOAT32 if x_gates.dtype == torch.float32 else WIDEST)
    twins: tuple[Backend, ...] = () if wide else ("triton",)
    name = f"dense_recurrence with heads of {dim}" if wide else "dense_recurrence"
    if choose(name, x_gates, twins) == "triton":
        from .fused import dense_recurrence as fused

        inputs = (x_gates, R, bias, *(h0 or ()))
        learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        out, last = fused(x_gates, R, bias, packed, cell, h0, reverse=reverse, learns=learns)
    else:
        out, last = reference(x_gates, R, bias, packed, cell, h0, reverse=reverse)
    return (out, last) if return_last else out


def _check(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: str,
    h0: Sequence[Tensor] | None,
    reverse: bool,
) -> None:
    if cell not in GATES:
        raise BadArguments(f"no cell is called {cell!r}; known: {', '.join(get_args(Cell))}")
    gates = len(GATES[cell])
    if x_gates.dim() != 5 or x_gates.shape[1] not in {1, 2} or x_gates.shape[2] != gates:
        raise BadArguments(
            f"gates for {cell} are [tokens, 1 or 2 directions, {gates}, heads, head width], "
            f"not {list(x_gates.shape)}"
        )
    tokens, dirs, _, heads, dim = x_gates.shape
    if tokens != packed.tokens:
        raise BadArguments(f"{tokens} rows of gates for a pack of {packed.tokens} tokens")
    if reverse and dirs == 2:
        raise BadArguments("two directions have their order already; reverse is for one")
    names = STATES[cell]
    if h0 is not None and len(h0) != len(names):
        raise BadArguments(f"{len(h0)} first states; {cell} has ({', '.join(names)})")
    wanted = [("R", R, (dirs, gates, heads, dim, dim)), ("bias", bias, (dirs, gates, heads, dim))]
    wanted += [
        (f"first state {name}", state, (len(packed), dirs, heads, dim))
        for name, state in zip(names, h0 or (), strict=False)
    ]
    for name, tensor, shape in wanted:
        if tuple(tensor.shape) != shape:
            raise BadArguments(f"{name} is {list(tensor.shape)}; expected {list(shape)}")
    on_one_device("dense_recurrence", packed, x_gates, *(tensor for _, tensor, _ in wanted))
