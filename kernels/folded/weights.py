"""What a folded student is made of, as numpy arrays, and how its token table is kept small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Sequence

Float32Array: TypeAlias = NDArray[np.float32]
Int8Array: TypeAlias = NDArray[np.int8]
Int64Array: TypeAlias = NDArray[np.int64]

CHANNELS = 16
"""Channels of one direction that the C code keeps together: see ``panel_order``."""


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Embeddings E [vocabulary, rank] as int8 with a float32 scale a row, or float32 and ones."""

    values: Int8Array | Float32Array
    scale: Float32Array

    @classmethod
    def quantised(cls, embedding: Float32Array) -> TokenTable:
        """Rounded to 1/127 of each row's largest magnitude; rows of zeros stay zeros."""
        scale = np.abs(embedding).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
        safe = np.where(scale > 0, scale, np.float32(1))
        return cls(np.rint(embedding / safe[:, None]).astype(np.int8), scale)

    @classmethod
    def exact(cls, embedding: Float32Array) -> TokenTable:
        return cls(np.asarray(embedding, np.float32), np.ones(len(embedding), np.float32))

    def rows(self, tokens: Int64Array | slice) -> Float32Array:
        """[len(tokens), rank] float32: a fresh array, row by row, as the C code reads it."""
        rows: Float32Array = self.values[tokens].astype(np.float32, order="C")
        rows *= self.scale[tokens][:, None]
        return rows


@dataclass(frozen=True, slots=True)
class Layer:
    """u = E[token] @ tokens + bias (+ n(h) @ states): pre-activations [2 directions, 2 gates, C].

    tokens [rank, 4 C]; bias [4 C]; states [2 C, 4 C], None in the first layer; the last axis is
    (direction, gate, channel), gate 0 the update gate and gate 1 the value, as in
    ``bi_gated_scan``; gain [2 C] is RMSNorm's on this layer's own states.
    """

    tokens: Float32Array
    bias: Float32Array
    states: Float32Array | None
    gain: Float32Array


@dataclass(frozen=True, slots=True)
class FoldedWeights:
    """y = unit( mean_t weight[id] base(E[id]) + mean_t n(h_t) @ output ).

    weight [vocabulary]; base [rank, dim] or None where rank is dim and E itself is meant;
    output [2 C, dim], None without layers: then this is a static encoder, a bag of tokens.
    Raises BadData when shapes do not fit together, naming the one that does not.
    """

    table: TokenTable
    weight: Float32Array
    base: Float32Array | None
    layers: Sequence[Layer]
    output: Float32Array | None
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        vocabulary, rank = self.table.values.shape
        _expect("table scale", self.table.scale, (vocabulary,))
        _expect("weight", self.weight, (vocabulary,))
        if self.base is not None:
            _expect("base", self.base, (rank, self.dim))
        for number, layer in enumerate(self.layers):
            wide = 2 * self.width
            _expect(f"layer {number} tokens", layer.tokens, (rank, wide))
            _expect(f"layer {number} bias", layer.bias, (wide,))
            _expect(f"layer {number} gain", layer.gain, (self.width,))
            if number:
                _expect(f"layer {number} states", layer.states, (self.width, wide))
        if bool(self.layers) != (self.output is not None):
            raise BadData("a folded student has an output projection if and only if it has layers")
        if self.output is not None:
            _expect("output", self.output, (self.width, self.dim))
        for what, size in (("dimension", self.dim), ("width", self.width)):
            if size % (2 * CHANNELS):
                raise BadData(f"a folded student's {what} is a multiple of 32, not {size}")

    @property
    def vocabulary(self) -> int:
        return int(self.table.values.shape[0])

    @property
    def dim(self) -> int:
        return int(self.table.values.shape[1] if self.base is None else self.base.shape[1])

    @property
    def width(self) -> int:
        """Channels of both directions together, 2 C; 0 without layers."""
        return len(self.layers[0].gain) if self.layers else 0

    def base_rows(self, tokens: Int64Array | slice) -> Float32Array:
        """[len(tokens), dim]: what a token adds to the mean by itself."""
        rows = self.table.rows(tokens)
        if self.base is not None:
            rows = rows @ self.base
        rows *= self.weight[tokens][:, None]
        return rows


def panel_order(width: int) -> Int64Array:
    """[2 width]: columns (direction, gate, channel) in the C code's order.

    That is (direction, block of 16 channels, gate, channel of the block).
    """
    columns = np.arange(2 * width).reshape(2, 2, width // (2 * CHANNELS), CHANNELS)
    return np.ascontiguousarray(columns.transpose(0, 2, 1, 3)).reshape(-1)


def _expect(name: str, array: Float32Array | None, shape: tuple[int, ...]) -> None:
    found = None if array is None else array.shape
    if found != shape:
        raise BadData(f"the folded student's {name} has shape {found}, expected {shape}")
