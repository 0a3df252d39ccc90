"""A model of any kind from its folder: what the files say is held against the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...core.errors import BadArguments, BadData, CorruptFile, UnknownComponent
from .kinds import CONFIG, WEIGHTS, build, not_whole, read_spec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from .text_model import TextModel, TextSpec


Shapes = dict[str, tuple[int, ...]]


def read_model(folder: Path) -> TextModel:
    """The model, on the CPU. Safetensors only; nothing is executed.

    The shapes in the file are held against the spec before memory is taken for them. Raises
    MissingResource, CorruptFile or BadData, naming file, tensor or key; UnknownComponent for a
    cell that is not registered here. The caller's random generator is left alone.
    """
    spec = read_spec(folder)
    with torch.device("meta"):
        skeleton = _built(spec, folder)
    weights = _read_weights(folder / WEIGHTS, skeleton.state_dict())
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = _built(spec, folder)
    model.load_state_dict(weights)
    return model


def _built(spec: TextSpec, folder: Path) -> TextModel:
    try:
        return build(spec)
    except UnknownComponent:
        raise
    except BadArguments as wrong:
        raise BadData(f"{folder / CONFIG}: {wrong}") from None


def _read_weights(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the file, once their names and shapes are those expected."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise not_whole(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _compare(path, shapes, {name: tuple(x.shape) for name, x in expected.items()})
            weights = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as failure:
        raise CorruptFile(f"{path} is not a whole safetensors file: {failure}") from None
    for name, x in weights.items():
        if x.is_floating_point() != expected[name].is_floating_point():
            raise BadData(f"{path}: {name!r} has type {x.dtype}, expected {expected[name].dtype}")
        if not torch.isfinite(x).all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")
    return weights


def _compare(path: Path, found: Shapes, expected: Shapes) -> None:
    belong = "the weights belong to another spec"
    if missing := sorted(expected.keys() - found.keys()):
        raise BadData(f"{path} lacks {missing[0]!r} and {len(missing) - 1} others: {belong}")
    if strange := sorted(found.keys() - expected.keys()):
        raise BadData(f"{path} also has {strange[0]!r} and {len(strange) - 1} others: {belong}")
    for name, shape in sorted(expected.items()):
        if found[name] != shape:
            raise BadData(
                f"{path}: {name!r} has shape {list(found[name])}, expected {list(shape)}: {belong}"
            )
