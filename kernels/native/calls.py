"""How torch tensors reach a C kernel: addresses, argument types, runs of segments for each core."""

from __future__ import annotations

import ctypes
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .loading import library
from .parallel import threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from ..packing import Packed

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int64}
_WORTH_A_THREAD = 65_536  # token-channels, about 20 microseconds of a scan


@cache
def kernel(name: str, arguments: str) -> Callable[..., None]:
    """The C function ``tamis_NAME``; arguments: "p" for a pointer, "i" for an int64, in order."""
    found = library()
    assert found is not None  # the dispatch asked before
    function = getattr(found, f"tamis_{name}")
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = None
    call: Callable[..., None] = function
    return call


def addresses(*tensors: Tensor | None) -> Iterator[int | None]:
    """Where contiguous tensors lie; None becomes the null pointer."""
    return (None if x is None else x.data_ptr() for x in tensors)


def segment_runs(packed: Packed, channels: int) -> list[tuple[int, int]]:
    """Runs of segments with about the same number of tokens, one for each core that is worth it."""
    count = max(1, min(threads(), packed.tokens * channels // _WORTH_A_THREAD, len(packed)))
    ends = np.searchsorted(
        np.cumsum(packed.lengths), packed.tokens * np.arange(1, count) / count, side="left"
    )
    bounds = [0, *(int(end) + 1 for end in ends), len(packed)]
    return [(first, end) for first, end in pairwise(bounds) if first < end]
