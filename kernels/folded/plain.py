"""The numpy twin, for machines without the C library: many passages at once, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .native import Int32Array
    from .weights import Float32Array, FoldedWeights, Int64Array

_TILE = 16_384  # tokens that are worked on together: 100 MB of arrays for 2 C = 384


class PlainTables:
    """Materialised tables of some tokens: u without the states' share, in the weights' order."""

    def __init__(self, weights: FoldedWeights) -> None:
        self._weights = weights

    def look_up(self, tokens: Int64Array | slice) -> tuple[list[Float32Array], Float32Array]:
        """Tables [n, 4 C] of each layer and base rows [n, dim] for these tokens."""
        rows = self._weights.table.rows(tokens)
        tables = [rows @ layer.tokens + layer.bias for layer in self._weights.layers]
        return tables, self._weights.base_rows(tokens)

    def encode(
        self,
        ids: Int32Array,
        bounds: Int64Array,
        tables: list[Float32Array],
        base: Float32Array,
    ) -> Float32Array:
        """[N, dim] float32; ids [tokens] are rows of the tables, bounds [N + 1] int64."""
        out = np.empty((len(bounds) - 1, self._weights.dim), np.float32)
        for first, end in _tiles(bounds):
            start, own = bounds[first], bounds[first : end + 1]
            out[first:end] = self._tile(ids[start : own[-1]], own - start, tables, base)
        return out

    def token_vectors(
        self,
        ids: Int32Array,
        bounds: Int64Array,
        tables: list[Float32Array],
        base: Float32Array,
    ) -> Float32Array:
        """[tokens, dim] float32: each token's share of the mean, before it is normalised."""
        out = np.asarray(base[ids], np.float32)
        if self._weights.output is None:
            return out
        for first, end in _tiles(bounds):
            start, own = bounds[first], bounds[first : end + 1]
            states = self._states(ids[start : own[-1]], own - start, tables)
            if states is not None:
                out[start : own[-1]] += states @ self._weights.output
        return out

    def _tile(
        self,
        ids: Int32Array,
        bounds: Int64Array,
        tables: list[Float32Array],
        base: Float32Array,
    ) -> Float32Array:
        vectors = _means(base[ids], bounds)
        states = self._states(ids, bounds, tables)
        if states is not None and self._weights.output is not None:
            vectors += _means(states, bounds) @ self._weights.output
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)

    def _states(
        self, ids: Int32Array, bounds: Int64Array, tables: list[Float32Array]
    ) -> Float32Array | None:
        """[tokens, 2 C]: the last layer's normalised states; None without a layer."""
        states: Float32Array | None = None
        for layer, table in zip(self._weights.layers, tables, strict=True):
            u = table[ids]
            if states is not None and layer.states is not None:
                u += states @ layer.states
            half = len(layer.bias) // 2
            hidden = np.concatenate(
                [_scan(u[:, :half], bounds, 1), _scan(u[:, half:], bounds, -1)], axis=1
            )
            square = np.mean(np.square(hidden), axis=1, keepdims=True)
            states = hidden / np.sqrt(square + np.float32(self._weights.epsilon)) * layer.gain
        return states


def _tiles(bounds: Int64Array) -> Iterator[tuple[int, int]]:
    """Runs of passages of at most ``_TILE`` tokens together; a longer passage is alone."""
    first = 0
    while first < len(bounds) - 1:
        fits = int(np.searchsorted(bounds, bounds[first] + _TILE, side="right")) - 1
        end = max(first + 1, fits)
        yield first, end
        first = end


def _scan(u: Float32Array, bounds: Int64Array, step: int) -> Float32Array:
    """minGRU in one direction: u [tokens, 2 C] to h [tokens, C], longest passages first."""
    channels = u.shape[1] // 2
    gate = np.exp(-np.logaddexp(np.float32(0), -u[:, :channels]))
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")
    at = (bounds[:-1] if step > 0 else bounds[1:] - 1)[order]
    h = np.zeros((len(u), channels), np.float32)
    state = np.zeros((len(order), channels), np.float32)
    for t in range(int(lengths.max(initial=0))):
        alive = int(np.count_nonzero(lengths > t))
        rows = at[:alive] + step * t
        state = state[:alive]
        state += gate[rows] * (u[rows, channels:] - state)
        h[rows] = state
    return h


def _means(x: Float32Array, bounds: Int64Array) -> Float32Array:
    """[N, columns]: the mean of each segment's rows, zeros for none."""
    lengths = np.diff(bounds)
    sums = np.zeros((len(lengths), x.shape[1]), np.float32)
    filled = np.flatnonzero(lengths)
    if len(filled):
        sums[filled] = np.add.reduceat(x, bounds[:-1][filled], axis=0)
    means: Float32Array = sums / np.maximum(lengths, 1).astype(np.float32)[:, None]
    return means
