"""A folded student's weights on disk: the token table in int8, all other matrices in fp16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData, CorruptFile
from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ..recurrent.kinds import not_whole

if TYPE_CHECKING:
    from pathlib import Path

    from .spec import FoldedSpec

_EXACT = {"embedding": "I8", "embedding_scale": "F32", "weight": "F32"}  # all others are F16
_DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype(np.int8),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}


def tensors_of(weights: FoldedWeights) -> dict[str, np.ndarray]:
    """Name -> array as stored: this is where weights are rounded."""
    table = weights.table
    if table.values.dtype != np.int8:
        table = TokenTable.quantised(table.rows(slice(None)))
    tensors: dict[str, np.ndarray] = {
        "embedding": table.values,
        "embedding_scale": table.scale,
        "weight": weights.weight,
    }
    if weights.base is not None:
        tensors["base"] = weights.base
    if weights.output is not None:
        tensors["output"] = weights.output
    for number, layer in enumerate(weights.layers):
        for name in ("tokens", "bias", "states", "gain"):
            array = getattr(layer, name)
            if array is not None:
                tensors[f"layers.{number}.{name}"] = array
    return {
        name: np.ascontiguousarray(array, _DTYPES[_EXACT.get(name, "F16")])
        for name, array in tensors.items()
    }


def read_weights(path: Path, spec: FoldedSpec) -> FoldedWeights:
    """From ``model.safetensors``. CorruptFile when it is damaged, BadData when it is not what
    the spec says: found out before memory is taken for it."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise not_whole(path)
    try:
        with safe_open(path, framework="np") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            forms = {name: (x.get_dtype(), tuple(x.get_shape())) for name, x in parts.items()}
            _check(forms, spec, path)
            found = {name: file.get_tensor(name) for name in parts}
    except (SafetensorError, OSError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    for name, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")
    wide = {name: array.astype(np.float32) for name, array in found.items() if name not in _EXACT}
    layers = [
        Layer(
            tokens=wide[f"layers.{number}.tokens"],
            bias=wide[f"layers.{number}.bias"],
            states=wide.get(f"layers.{number}.states"),
            gain=wide[f"layers.{number}.gain"],
        )
        for number in range(spec.layers)
    ]
    table = TokenTable(found["embedding"], found["embedding_scale"])
    return FoldedWeights(table, found["weight"], wide.get("base"), layers, wide.get("output"))


def _check(found: dict[str, tuple[str, tuple[int, ...]]], spec: FoldedSpec, path: Path) -> None:
    """found: tensor -> (type, shape). Every tensor of the spec is there, and no other."""
    expected = _shapes(spec)
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise BadData(f"{path} and its config.json disagree about {', '.join(odd)}")
    for name, shape in expected.items():
        kind = _EXACT.get(name, "F16")
        if found[name] != (kind, shape):
            described = "{} {}".format(*found[name])
            raise BadData(f"{path}: {name} is {described}, expected {kind} {shape}")


def _shapes(spec: FoldedSpec) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (spec.vocabulary, spec.rank),
        "embedding_scale": (spec.vocabulary,),
        "weight": (spec.vocabulary,),
    }
    if spec.rank != spec.dim:
        shapes["base"] = (spec.rank, spec.dim)
    if spec.layers:
        shapes["output"] = (spec.width, spec.dim)
    for number in range(spec.layers):
        shapes[f"layers.{number}.tokens"] = (spec.rank, 2 * spec.width)
        shapes[f"layers.{number}.bias"] = (2 * spec.width,)
        shapes[f"layers.{number}.gain"] = (spec.width,)
        if number:
            shapes[f"layers.{number}.states"] = (spec.width, 2 * spec.width)
    return shapes
