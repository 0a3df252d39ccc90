"""The ops that ``kernels_gpu.py`` measures: tensors, the call, the fewest bytes to be moved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.complex_scan import complex_scan
from tamis.kernels.delta_rule import delta_rule
from tamis.kernels.dense_recurrence import dense_recurrence
from tamis.kernels.depthwise_conv import depthwise_conv
from tamis.kernels.diagonal_ssm import diagonal_ssm
from tamis.kernels.linear_scan import linear_scan
from tamis.kernels.matrix_state import matrix_state
from tamis.kernels.maxsim import maxsim
from tamis.kernels.segment_pool import segment_pool
from tamis.kernels.selective_scan import selective_scan
from tamis.kernels.softmax_scan import attention_pool, softmax_scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tamis.kernels.packing import Packed

HEAD = 32  # channels of a head, where an op has heads
STATES = 16  # a channel, of the state-space ops
GATES = {"mingru": 2, "minlstm": 3, "rglru": 3, "hgrn": 2, "paragru": 3, "paralstm": 3}


@dataclass(frozen=True)
class Work:
    """An op ready to run, with gradients for ``inputs``.

    ``forward`` and ``backward``: words of the inputs' dtype that each pass must move for a token.
    """

    name: str
    call: Callable[[], Tensor]
    inputs: Sequence[Tensor]
    forward: float
    backward: float


class Shapes:
    """Random tensors for one pack, width, dtype and device."""

    def __init__(self, packed: Packed, width: int, dtype: torch.dtype, device: str) -> None:
        self.packed, self.width, self.dtype, self.device = packed, width, dtype, device
        self.heads = width // HEAD
        torch.manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        """Gaussian, for learning; the first axis is the tokens."""
        return self._learns(self.weights(self.packed.tokens, *shape))

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(self.packed.tokens, *shape, device=self.device)
        return self._learns(low + (high - low) * drawn)

    def weights(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device)

    def _learns(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).requires_grad_()


def all_work(shapes: Shapes) -> Iterator[Work]:
    for family in (gated, scans, softmax, local, matrix, state_space, dense, cudnn, attention):
        yield from family(shapes)


def gated(s: Shapes) -> Iterator[Work]:
    """Both directions in one launch; ``width`` is their channels together."""
    half = s.width // 2
    parameters = {
        "rglru": s.weights(2, half),
        "hgrn": torch.rand(2, half, device=s.device),
        "paragru": s.weights(2, 3, half),
        "paralstm": s.weights(2, 5, half),
    }
    for cell, gates in GATES.items():
        u = s.normal(2, gates, half)
        call = partial(bi_gated_scan, u, cell, s.packed, params=parameters.get(cell))  # type: ignore[call-overload,arg-type]
        states = 2 if cell == "paralstm" else 1  # the backward pass reads what is saved
        backward = (2 * gates + states + 1) * s.width
        yield Work(f"bi_gated_scan {cell}", call, [u], (gates + states) * s.width, backward)
        if cell == "mingru":
            pooled = partial(call, pool="mean")
            yield Work("bi_gated_scan mingru, mean pooled", pooled, [u], 2 * s.width, 5 * s.width)


def scans(s: Shapes) -> Iterator[Work]:
    a, b = s.between(0, 1, s.width), s.normal(s.width)
    yield Work(
        "linear_scan", partial(linear_scan, a, b, s.packed), [a, b], 3 * s.width, 5 * s.width
    )
    parts = [s.between(-1, 0, s.width), *(s.normal(s.width) for _ in range(3))]
    yield Work(
        "complex_scan",
        lambda: torch.cat(complex_scan(*parts, s.packed), 1),
        parts,
        6 * s.width,
        10 * s.width,
    )


def softmax(s: Shapes) -> Iterator[Work]:
    scores, v = s.normal(s.heads), s.normal(s.heads, HEAD)
    read = s.width + s.heads
    scan = partial(softmax_scan, scores, v, s.packed)
    yield Work("softmax_scan", scan, [scores, v], read + s.width, 2 * read + s.width)
    pool = partial(attention_pool, scores, v, s.packed)
    yield Work("attention_pool", pool, [scores, v], read, 2 * read)


def local(s: Shapes) -> Iterator[Work]:
    x, w = s.normal(s.width), s.weights(5, s.width).to(s.dtype).requires_grad_()
    conv = partial(depthwise_conv, x, w, None, s.packed)
    yield Work("depthwise_conv, width 5", conv, [x, w], 2 * s.width, 3 * s.width)
    yield Work("segment_pool max", partial(segment_pool, x, s.packed, "max"), [x], s.width, s.width)
    question = s.weights(32, s.width).to(s.dtype)
    call = partial(maxsim, question, x, s.packed)
    yield Work("maxsim, 32 query tokens", call, [x], s.width, s.width)


def matrix(s: Shapes) -> Iterator[Work]:
    q, k, v = (s.normal(s.heads, HEAD) for _ in range(3))
    head, channel = s.between(-1, 0, s.heads), s.between(-1, 0, s.heads, HEAD)
    op = partial(matrix_state, q, k, v, s.packed)
    for direction in ("both", "forward"):
        yield Work(
            f"matrix_state {direction}, a decay for each head",
            partial(op, log_decay=head, direction=direction),  # type: ignore[arg-type]
            [q, k, v, head],
            4 * s.width + s.heads,
            7 * s.width + 2 * s.heads,
        )
    yield Work(
        "matrix_state forward, a decay for each channel",
        partial(op, log_decay=channel, direction="forward"),
        [q, k, v, channel],
        5 * s.width,
        9 * s.width,
    )
    unit = nn.functional.normalize(k.detach(), dim=-1).requires_grad_()
    beta = s.between(0, 1, s.heads)
    yield Work(
        "delta_rule",
        partial(delta_rule, q, unit, v, beta, s.packed),
        [q, unit, v, beta],
        4 * s.width + s.heads,
        7 * s.width + 2 * s.heads,
    )


def state_space(s: Shapes) -> Iterator[Work]:
    x, step = s.normal(s.width), s.between(0, 0.1, s.width)
    enter, leave = s.normal(STATES), s.normal(STATES)
    rates = -torch.arange(1.0, STATES + 1, device=s.device).repeat(s.width, 1)
    skip = s.weights(s.width)
    yield Work(
        "selective_scan (Mamba-1)",
        partial(selective_scan, x, step, rates, enter, leave, skip, s.packed),
        [x, step, enter, leave],
        3 * s.width + 2 * STATES,
        5 * s.width + 4 * STATES,
    )
    real, imaginary = s.weights(s.width, STATES), s.weights(s.width, STATES)
    parameters = (skip - 4, -real.exp(), imaginary, real, imaginary, skip)
    call = partial(diagonal_ssm, x, *parameters, s.packed)
    yield Work("diagonal_ssm (S4D)", call, [x], 2 * s.width, 3 * s.width)


def dense(s: Shapes) -> Iterator[Work]:
    for cell, gates in (("gru", 3), ("lstm", 4), ("slstm", 4)):
        u = s.normal(2, gates, s.heads // 2, HEAD)
        recurrent = (s.weights(2, gates, s.heads // 2, HEAD, HEAD) / HEAD**0.5).to(s.dtype)
        bias = s.weights(2, gates, s.heads // 2, HEAD).to(s.dtype)
        yield Work(
            f"dense_recurrence {cell}, heads of {HEAD}",
            partial(dense_recurrence, u, recurrent, bias, s.packed, cell),  # type: ignore[arg-type]
            [u],
            (gates + 1) * s.width,
            (2 * gates + 2) * s.width,
        )


def cudnn(s: Shapes) -> Iterator[Work]:
    """cuDNN's recurrences of the same width, their input products included."""
    lengths = torch.from_numpy(s.packed.lengths)
    padded = s.weights(len(s.packed), s.packed.max_length, s.width).to(s.dtype).requires_grad_()
    for kind in (nn.GRU, nn.LSTM):
        module = kind(s.width, s.width // 2, batch_first=True, bidirectional=True)
        module.to(s.device, s.dtype)

        def whole(module: nn.Module = module) -> Tensor:
            out: Tensor = module(padded)[0]
            return out

        def packed(module: nn.Module = module) -> Tensor:
            sequences = nn.utils.rnn.pack_padded_sequence(
                padded, lengths, batch_first=True, enforce_sorted=False
            )
            out: Tensor = module(sequences)[0].data
            return out

        words = (2 * s.width, 3 * s.width)
        yield Work(f"torch {kind.__name__}, padded", whole, [padded], *words)
        yield Work(f"torch {kind.__name__}, packed", packed, [padded], *words)


def attention(s: Shapes) -> Iterator[Work]:
    shape = (len(s.packed), s.heads, s.packed.max_length, HEAD)
    q, k, v = (s.weights(*shape).to(s.dtype).requires_grad_() for _ in range(3))
    lengths = torch.from_numpy(s.packed.lengths)
    mask = (torch.arange(s.packed.max_length) < lengths[:, None])[:, None, None].to(s.device)
    yield Work(
        "scaled_dot_product_attention, padded",
        partial(nn.functional.scaled_dot_product_attention, q, k, v, attn_mask=mask),
        [q, k, v],
        4 * s.width,
        7 * s.width,
    )
