"""Pickled weights of a transformers model (``pytorch_model.bin``) to a folder with safetensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from ..core.durable import new_folder, replacing
from ..core.errors import BadArguments, BadData, CorruptFile, MissingResource

if TYPE_CHECKING:
    from torch import Tensor

_ONE, _INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_BESIDE = {".json", ".txt", ".model"}
"""What a model folder has beside its weights; anything else, code above all, stays behind."""


def convert(model: Path, output: Path) -> int:
    """Write ``output``, a new folder with ``model.safetensors``; returns the number of tensors.

    The pickle is read by torch's loader for weights alone, which makes tensors and runs nothing
    that the file names. Tensors keep their names, shapes and types; one that stands under several
    names is written once for each. Settings and tokenizer are copied. MissingResource without such
    weights, CorruptFile for a damaged file, BadData for one that holds more than tensors,
    BadArguments when ``output`` exists or ``model`` has safetensors already.
    """
    from safetensors.torch import save

    if any(model.glob("*.safetensors")):
        raise BadArguments(f"{model} has its weights in safetensors: there is nothing to convert")
    parts = _parts(model)
    with new_folder(output) as draft:
        tensors = {name: tensor for part in parts for name, tensor in _read(part).items()}
        with replacing(draft / "model.safetensors", "wb") as out:
            out.write(save(tensors, metadata={"format": "pt"}))
        for path in sorted(model.iterdir()):
            if path.is_file() and path.suffix in _BESIDE and path.name != _INDEX:
                shutil.copyfile(path, draft / path.name)
    return len(tensors)


def _parts(model: Path) -> list[Path]:
    """The files of the weights: one, or those that the index names, all inside the folder."""
    if (model / _ONE).is_file():
        return [model / _ONE]
    if not (model / _INDEX).is_file():
        raise MissingResource(f"{model} holds neither {_ONE} nor {_INDEX}")
    try:
        names = sorted(set(json.loads((model / _INDEX).read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise CorruptFile(f"{model / _INDEX} is no index of weights: {failure!r}") from None
    if strange := [name for name in names if Path(str(name)).name != name]:
        raise BadData(f"{model / _INDEX} names {strange[0]!r}, which is no file of this folder")
    if missing := [name for name in names if not (model / name).is_file()]:
        raise MissingResource(f"{model / missing[0]} does not exist, and {_INDEX} names it")
    return [model / name for name in names]


def _read(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, each with storage of its own."""
    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as failure:
        raise BadData(
            f"{path} asks for more than tensors and is not loaded: {str(failure).splitlines()[0]}"
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise BadData(f"{path} holds {type(found).__name__}, expected tensors by name")
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}
