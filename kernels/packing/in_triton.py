"""What the Triton kernels of several ops share: the segment of a program, and tuples that grow."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def own_segment(order, cu_seqlens):
    """The segment of this program, the ``program_id(0)``-th of ``order``: number, first row, end.

    All int64: a row times its channels soon leaves 31 bits.
    """
    segment = tl.load(order + tl.program_id(0)).to(tl.int64)
    start = tl.load(cu_seqlens + segment).to(tl.int64)
    end = tl.load(cu_seqlens + segment + 1).to(tl.int64)
    return segment, start, end


@triton.jit
def append(values, value):
    """A tuple with one value more: what a loop unrolled by ``static_range`` keeps in registers."""
    return values + (value,)  # noqa: RUF005 - the compiler knows no unpacking
