"""Vectors that arrive block by block: checked, cut regularly, or a few rows picked out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData, Mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from ...core.records import Float32Array, Int64Array

    Blocks: TypeAlias = Callable[[], Iterable[Float32Array]]
    """All vectors in row order, in blocks of any size; every call starts again at row 0."""


def checked(blocks: Blocks, n: int, dim: int) -> Iterator[Float32Array]:
    """The same blocks as float32 [b, dim]. Mismatch for another dimension or another number of
    rows than n, BadData naming the first row that holds NaN or infinity."""
    row = 0
    for block in blocks():
        if block.ndim != 2 or block.shape[1] != dim:
            raise Mismatch(
                f"the vectors from row {row} on have shape {block.shape}; "
                f"the index holds vectors of dimension {dim}"
            )
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            wrong = row + int(np.argmin(finite))
            raise BadData(f"the vector of row {wrong} holds NaN or infinity; check its encoder")
        row += len(block)
        yield np.ascontiguousarray(block, dtype=np.float32)
    if row != n:
        raise Mismatch(f"{row} vectors arrived and {n} were announced; encode the corpus again")


def regular(blocks: Iterable[Float32Array], rows: int) -> Iterator[Float32Array]:
    """The same vectors in blocks of exactly ``rows`` rows, the last perhaps shorter.

    What is built must not depend on how the vectors happened to be cut.
    """
    waiting: list[Float32Array] = []
    held = 0
    for arrived in blocks:
        block = arrived
        while held + len(block) >= rows:
            missing = rows - held
            yield np.concatenate([*waiting, block[:missing]]) if waiting else block[:missing]
            block, waiting, held = block[missing:], [], 0
        if len(block):
            waiting.append(block)
            held += len(block)
    if waiting:
        yield np.concatenate(waiting)


def gather(blocks: Iterable[Float32Array], rows: Int64Array, dim: int) -> Float32Array:
    """The vectors of some rows, [len(rows), dim]; ``rows`` rises."""
    picked = np.empty((len(rows), dim), np.float32)
    start = 0
    for block in blocks:
        low, high = np.searchsorted(rows, [start, start + len(block)])
        picked[low:high] = block[rows[low:high] - start]
        start += len(block)
    return picked


def sample_rows(n: int, size: int, seed: int) -> Int64Array:
    """At most ``size`` of n rows, drawn without replacement, rising; the same for the same seed."""
    if size >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False, shuffle=False))
