"""The C twin: tables by panel, tiles of whole passages, one call a thread."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int64, c_void_p
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..native.parallel import run, threads
from .weights import CHANNELS, panel_order

if TYPE_CHECKING:
    from .weights import Float32Array, FoldedWeights, Int64Array

Int32Array: TypeAlias = NDArray[np.int32]

_PANEL = 2 * CHANNELS
_SPARE = 16  # rows that the C code works on at once, at most: the last may be thrown away
_TILE = 512  # tokens whose states stay in the cache together; 256 to 1024 measured alike
_PARTS = 8  # for each thread, so that none waits long for the last
_ROWS = 4096  # table rows that one part computes


class NativeTables:
    """Materialised tables of some tokens, and the panels of all weights that read states."""

    def __init__(self, weights: FoldedWeights, library: ctypes.CDLL) -> None:
        self._weights = weights
        self._library = library
        self._order = panel_order(weights.width)
        self._tokens = [self._panels(layer.tokens[:, self._order]) for layer in weights.layers]
        self._mixers = [self._states(number) for number in range(len(weights.layers))]
        self._base = None if weights.base is None else self._panels(weights.base)
        gained = None
        if weights.output is not None:
            gained = self._panels(weights.layers[-1].gain[:, None] * weights.output)
        self._output = gained

    def look_up(self, tokens: Int64Array | slice) -> tuple[list[Float32Array], Float32Array]:
        """Tables [n, 4 C] of each layer, in panel order, and base rows [n, dim]."""
        rows = self._weights.table.rows(tokens)
        tables = [
            self._product(rows, self._tokens[number], layer.bias[self._order], gated=number == 0)
            for number, layer in enumerate(self._weights.layers)
        ]
        base = rows
        if self._base is not None:
            nothing = np.zeros(self._weights.dim, np.float32)
            base = self._product(rows, self._base, nothing, gated=False)
        base *= self._weights.weight[tokens][:, None]
        return tables, base

    def encode(
        self,
        ids: Int32Array,
        bounds: Int64Array,
        tables: list[Float32Array],
        base: Float32Array,
    ) -> Float32Array:
        """[N, dim] float32; ids [tokens] are rows of the tables, bounds [N + 1] int64."""
        passages = len(bounds) - 1
        out = np.empty((passages, self._weights.dim), np.float32)
        if not passages:
            return out
        ids, bounds = np.ascontiguousarray(ids, np.int32), np.ascontiguousarray(bounds, np.int64)
        cuts = _cuts(bounds, max(1, _PARTS * threads()))
        part = partial(self._part, ids, bounds, tables, base, out)
        run([partial(part, a, b) for a, b in pairwise(cuts) if b > a])
        return out

    def _part(
        self,
        ids: Int32Array,
        bounds: Int64Array,
        tables: list[Float32Array],
        base: Float32Array,
        out: Float32Array,
        first: int,
        last: int,
    ) -> None:
        weights = self._weights
        longest = int(np.diff(bounds[first : last + 1]).max())
        room = max(_TILE, longest) + _SPARE
        floats = room * (2 * weights.width + _PANEL) + (_TILE + _SPARE) * weights.width
        work = np.empty(floats, np.float32)
        self._library.tamis_folded(
            _pointer(ids),
            c_void_p(bounds.ctypes.data + first * bounds.itemsize),
            c_int64(last - first),
            c_int64(_TILE),
            c_int64(len(weights.layers)),
            c_int64(weights.width),
            c_int64(weights.dim),
            _pointers(tables),
            _pointers(self._mixers),
            c_float(weights.epsilon),
            _pointer(base),
            _pointer(self._output),
            _pointer(work),
            c_void_p(out.ctypes.data + first * out.strides[0]),
        )

    def _product(
        self, rows: Float32Array, panels: Float32Array, bias: Float32Array, *, gated: bool
    ) -> Float32Array:
        """rows [n, rank] @ weights + bias; gated: each (gate, value) as (1 - z, z value).

        In C because BLAS adds in an order that follows the number of rows.
        """
        n, depth = rows.shape
        bias = np.ascontiguousarray(bias, np.float32)
        table = np.empty((n, len(bias)), np.float32)

        def part(start: int) -> None:
            spare = np.empty(_SPARE * depth, np.float32)
            self._library.tamis_token_rows(
                c_void_p(rows.ctypes.data + start * rows.strides[0]),
                c_int64(min(_ROWS, n - start)),
                c_int64(depth),
                _pointer(panels),
                c_int64(len(panels)),
                _pointer(bias),
                c_int64(gated),
                _pointer(spare),
                c_void_p(table.ctypes.data + start * table.strides[0]),
            )

        run([partial(part, start) for start in range(0, n, _ROWS)])
        return table

    def _states(self, number: int) -> Float32Array | None:
        """The panels that read the layer before, its gain folded in; none for the first."""
        states = self._weights.layers[number].states
        if states is None or not number:
            return None
        return self._panels(self._weights.layers[number - 1].gain[:, None] * states[:, self._order])

    def _panels(self, matrix: Float32Array) -> Float32Array:
        """[depth, columns] as [columns / 32, depth, 32]."""
        depth, columns = matrix.shape
        blocks = matrix.reshape(depth, columns // _PANEL, _PANEL).transpose(1, 0, 2)
        return np.ascontiguousarray(blocks, np.float32)


def _cuts(bounds: Int64Array, parts: int) -> list[int]:
    """Passage numbers that cut the pack into parts of about equal tokens."""
    passages, tokens = len(bounds) - 1, int(bounds[-1])
    wanted = np.linspace(0, tokens, parts + 1)[1:-1]
    inner = np.searchsorted(bounds[1:-1], wanted) if tokens else np.zeros(0, np.int64)
    return [0, *(int(cut) for cut in inner), passages]


def _pointer(array: Float32Array | Int32Array | None) -> c_void_p:
    return c_void_p(None if array is None else array.ctypes.data)


def _pointers(arrays: list[Float32Array] | list[Float32Array | None]) -> ctypes.Array[c_void_p]:
    addresses = [None if array is None else array.ctypes.data for array in arrays]
    return (c_void_p * max(1, len(addresses)))(*addresses)
