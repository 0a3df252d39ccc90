"""A folded student's weights on disk: the token table in int8, all other matrices in fp16."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData, CorruptFile
from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ..recurrent.kinds import not_whole

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from .spec import FoldedSpec

_EXACT = {"embedding": np.int8, "embedding_scale": np.float32, "weight": np.float32}


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
        name: np.ascontiguousarray(array, _EXACT.get(name, np.float16))
        for name, array in tensors.items()
    }


def read_weights(path: Path, spec: FoldedSpec) -> FoldedWeights:
    """From ``model.safetensors``. CorruptFile when it is damaged or not what the spec says."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise not_whole(path)
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    _check(found, spec, path)
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


def _check(found: dict[str, Any], spec: FoldedSpec, path: Path) -> None:
    """Every tensor of the spec is there, of its shape and type, finite, and no other."""
    expected = _shapes(spec)
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise CorruptFile(f"{path} and its config.json disagree about {', '.join(odd)}")
    for name, shape in expected.items():
        dtype = np.dtype(_EXACT.get(name, np.float16))
        if found[name].shape != shape or found[name].dtype != dtype:
            raise CorruptFile(
                f"{path}: {name} is {found[name].dtype} {found[name].shape}, "
                f"expected {dtype} {shape}"
            )
        if found[name].dtype.kind == "f" and not np.isfinite(found[name]).all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")


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
