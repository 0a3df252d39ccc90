"""BERT's layers in plain numpy, over texts packed end to end: no torch, no padding."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..core.records import Float32Array, Int64Array

_QKV = ("query", "key", "value")
_STRIP = 16_384  # floats that GELU works on at once: its arrays stay in the first-level cache
_P = 0.3275911
_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""Abramowitz and Stegun 7.1.26: 1 - erf(z) = (a5 t^5 + ... + a1 t) exp(-z^2), t = 1 / (1 + p z)."""


class BertLayers:
    """The layers of a BERT folder (``config.json``, ``model.safetensors``), exact GELU, no pooling.

    Token states equal transformers' ``BertModel`` within float32 rounding. Of the table of word
    pieces only the rows that are met are read.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        settings = json.loads((folder / "config.json").read_bytes())
        self.width = int(settings["hidden_size"])
        self._heads = int(settings["num_attention_heads"])
        self._epsilon = np.float32(settings["layer_norm_eps"])
        file: Any = safe_open(folder / "model.safetensors", framework="np")
        words = file.get_slice("embeddings.word_embeddings.weight")
        self._words = _RowsOnDemand(words, int(settings["vocab_size"]), self.width)
        kinds = file.get_tensor("embeddings.token_type_embeddings.weight")
        self._places = file.get_tensor("embeddings.position_embeddings.weight") + kinds[0]
        self._norm = _pair(file, "embeddings.LayerNorm")
        self._layers = [
            _Layer(file, f"encoder.layer.{number}", self._heads)
            for number in range(int(settings["num_hidden_layers"]))
        ]

    def states(self, ids: Int64Array, bounds: Int64Array) -> Float32Array:
        """[tokens, width]: the last layer's states.

        ids [tokens], special tokens included; bounds [n + 1], where each text begins: at least one
        text, none empty or longer than the table of positions. Texts of one length that stand side
        by side share their matrix products.
        """
        lengths = np.diff(bounds)
        places = np.arange(len(ids)) - np.repeat(bounds[:-1], lengths)
        x = self._words[ids] + self._places[places]
        x = self._normalised(x, self._norm)
        for layer in self._layers:
            attended = self._attended(_linear(x, layer.qkv), bounds)
            x = self._normalised(_linear(attended, layer.attended) + x, layer.norm)
            inner = _linear(x, layer.inner)
            gelu(inner)
            x = self._normalised(_linear(inner, layer.outer) + x, layer.outer_norm)
        return x

    def _attended(self, qkv: Float32Array, bounds: Int64Array) -> Float32Array:
        """qkv [tokens, 3 width], queries scaled, to [tokens, width]; a text sees itself alone."""
        out = np.empty((len(qkv), self.width), np.float32)
        for start, end, texts in _equal_lengths(bounds):
            parts = qkv[start:end].reshape(texts, -1, 3, self._heads, self.width // self._heads)
            q, k, v = parts.transpose(2, 0, 3, 1, 4)  # each [texts, heads, tokens, head]
            scores = q @ k.swapaxes(-1, -2)
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            out[start:end] = (scores @ v).transpose(0, 2, 1, 3).reshape(end - start, -1)
        return out

    def _normalised(self, x: Float32Array, norm: tuple[Float32Array, Float32Array]) -> Float32Array:
        """Layer norm over the last axis, in place."""
        x -= x.mean(axis=-1, keepdims=True)
        variance = np.einsum("td,td->t", x, x)[:, None] / np.float32(self.width)
        x /= np.sqrt(variance + self._epsilon)
        x *= norm[0]
        x += norm[1]
        return x


def gelu(x: Float32Array) -> None:
    """x (1 + erf(x / sqrt 2)) / 2 in place, within 2e-7 (1 + |x|); x contiguous.

    Written as max(x, 0) - |x| (1 - erf(|x| / sqrt 2)) / 2. Ours, because importing scipy.special
    takes .2 s, as much as encoding forty questions.
    """
    flat = x.reshape(-1)
    for start in range(0, len(flat), _STRIP):
        strip = flat[start : start + _STRIP]
        size = np.abs(strip)
        t = np.reciprocal(size * np.float32(_P / 2**0.5) + np.float32(1))
        tail = t * np.float32(_A[0])
        for coefficient in _A[1:]:
            tail += np.float32(coefficient)
            tail *= t
        tail *= size
        tail *= np.float32(0.5)
        np.square(size, out=size)
        size *= np.float32(-0.5)
        tail *= np.exp(size, out=size)
        np.maximum(strip, 0, out=strip)
        strip -= tail


class _Layer:
    """One layer's matrices [out, in] with their biases."""

    def __init__(self, file: Any, name: str, heads: int) -> None:
        parts = [_pair(file, f"{name}.attention.self.{part}") for part in _QKV]
        scale = np.float32((len(parts[0][1]) // heads) ** -0.5)
        parts[0] = (parts[0][0] * scale, parts[0][1] * scale)
        weights, biases = zip(*parts, strict=True)
        self.qkv = (np.concatenate(weights), np.concatenate(biases))
        self.attended = _pair(file, f"{name}.attention.output.dense")
        self.norm = _pair(file, f"{name}.attention.output.LayerNorm")
        self.inner = _pair(file, f"{name}.intermediate.dense")
        self.outer = _pair(file, f"{name}.output.dense")
        self.outer_norm = _pair(file, f"{name}.output.LayerNorm")


class _RowsOnDemand:
    """A large matrix in a file; a row takes memory from the first time it is asked for."""

    def __init__(self, stored: Any, rows: int, width: int) -> None:
        self._stored = stored
        self._rows = np.empty((rows, width), np.float32)  # the system gives pages when written to
        self._read = np.zeros(rows, bool)

    def __getitem__(self, rows: Int64Array) -> Float32Array:
        for row in np.unique(rows[~self._read[rows]]).tolist():
            self._rows[row] = self._stored[row : row + 1][0]
            self._read[row] = True
        found: Float32Array = self._rows[rows]
        return found


def _pair(file: Any, name: str) -> tuple[Float32Array, Float32Array]:
    return file.get_tensor(f"{name}.weight"), file.get_tensor(f"{name}.bias")


def _linear(x: Float32Array, weights: tuple[Float32Array, Float32Array]) -> Float32Array:
    out: Float32Array = x @ weights[0].T
    out += weights[1]
    return out


def _equal_lengths(bounds: Int64Array) -> Iterator[tuple[int, int, int]]:
    """(first token, end, number of texts) of each run of neighbours of one length."""
    lengths = np.diff(bounds)
    cuts = np.flatnonzero(np.diff(lengths)) + 1
    edges = [0, *cuts.tolist(), len(lengths)]
    for first, end in pairwise(edges):
        yield int(bounds[first]), int(bounds[end]), end - first
