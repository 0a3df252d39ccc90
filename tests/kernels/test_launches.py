"""What every op with a Triton twin promises of where it runs; a new op joins ``CALLS``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tamis.core.errors import BadArguments
from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.complex_scan import complex_scan
from tamis.kernels.delta_rule import delta_rule
from tamis.kernels.dense_recurrence import dense_recurrence
from tamis.kernels.depthwise_conv import depthwise_conv
from tamis.kernels.diagonal_ssm import diagonal_ssm
from tamis.kernels.dispatch import forced
from tamis.kernels.linear_scan import linear_scan
from tamis.kernels.matrix_state import matrix_state
from tamis.kernels.maxsim import maxsim
from tamis.kernels.packing import pack_lengths
from tamis.kernels.segment_pool import segment_pool
from tamis.kernels.selective_scan import selective_scan
from tamis.kernels.softmax_scan import attention_pool, softmax_scan

T, C, N, H = 3, 4, 2, 2
Call = tuple[Callable[..., Any], list[tuple[int, ...]]]
# an op of tensors and a pack, and the shapes of its tensors
CALLS: dict[str, Call] = {
    "linear_scan": (linear_scan, [(T, C)] * 2),
    "complex_scan": (lambda *x: complex_scan(*x)[0], [(T, C)] * 4),
    "bi_gated_scan": (
        lambda u, a, pack: bi_gated_scan(u, "hgrn", pack, params=a),
        [(T, 2, 2, C), (C,)],
    ),
    "softmax_scan": (
        lambda s, v, decay, pack: softmax_scan(s, v, pack, decay=decay),
        [(T, H), (T, H, C), (H,)],
    ),
    "attention_pool": (attention_pool, [(T, H), (T, H, C)]),
    "depthwise_conv": (depthwise_conv, [(T, C), (3, C), (C,)]),
    "segment_pool": (lambda x, pack: segment_pool(x, pack, "max"), [(T, C)]),
    "maxsim": (maxsim, [(N, C), (T, C)]),
    "matrix_state": (
        lambda q, k, v, g, pack: matrix_state(q, k, v, pack, log_decay=g),
        [(T, H, C)] * 3 + [(H,)],
    ),
    "delta_rule": (delta_rule, [(T, H, C)] * 3 + [(T, H)]),
    "selective_scan": (selective_scan, [(T, C), (T, C), (C, N), (T, N), (T, N), (C,)]),
    "diagonal_ssm": (diagonal_ssm, [(T, C), (C,), *[(C, N)] * 4, (C,)]),
    "dense_recurrence": (
        lambda x, r, b, pack: dense_recurrence(x, r, b, pack, "gru"),
        [(T, 1, 3, H, C), (1, 3, H, C, C), (1, 3, H, C)],
    ),
}
OPS = pytest.mark.parametrize("op", CALLS)


def tensors(op: str) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [-torch.rand(shape, generator=draw) for shape in CALLS[op][1]]


def test_no_op_is_missing() -> None:
    folders = Path(__file__).resolve().parents[2].glob("kernels/*/fused.py")
    assert {path.parent.name for path in folders} == CALLS.keys() - {"attention_pool"}


@OPS
def test_a_pack_or_tensor_on_another_device_is_refused(op: str) -> None:
    call, given = CALLS[op][0], tensors(op)
    moved = [x.to("meta") for x in given]
    for strangers in (moved, *([*given[:n], moved[n], *given[n + 1 :]] for n in range(len(given)))):
        with pytest.raises(BadArguments, match=f"{op} got .* on cpu, meta; move them to one"):
            call(*strangers, pack_lengths([2, 1]))


@OPS
def test_kernels_are_launched_on_the_device_of_their_tensors(
    op: str, interpreted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton launches on the current device, which need not be theirs where there are several."""
    guarded: list[torch.device] = []
    guard = torch.cuda.device_of

    def noting(x: Tensor) -> Any:
        guarded.append(x.device)
        return guard(x)

    monkeypatch.setattr(torch.cuda, "device_of", noting)
    given = [x.requires_grad_() for x in tensors(op)]
    with forced("triton"):
        out = CALLS[op][0](*given, pack_lengths([2, 1]))
    forward = len(guarded)
    out.sum().backward()
    assert 0 < forward < len(guarded)


@OPS
def test_tensors_that_are_not_contiguous_are_read_where_they_lie(
    op: str, interpreted: None
) -> None:
    call, given = CALLS[op][0], tensors(op)
    # every other element of one twice as wide, those between poisoned
    spread = [torch.stack([x, torch.full_like(x, 1e6)], -1)[..., 0] for x in given]
    assert not any(x.is_contiguous() for x in spread if x.numel() > 1)
    with forced("triton"):
        torch.testing.assert_close(
            call(*spread, pack_lengths([2, 1])), call(*given, pack_lengths([2, 1])), rtol=0, atol=0
        )
