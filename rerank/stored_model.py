"""What the folders of our own rerankers share: settings by kind, weights that fit them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..core.errors import BadData, CorruptFile, MissingResource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def kind_in(folder: Path) -> object:
    """The key "kind" of a folder's ``config.json``; None where there is none. Imports no torch."""
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return settings.get("kind") if isinstance(settings, dict) else None


def read_settings(path: Path) -> object:
    """The JSON value of a ``config.json``: MissingResource, or CorruptFile for what is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as failure:
        raise MissingResource(f"{path} cannot be read: the model folder is not whole") from failure
    except (ValueError, RecursionError) as failure:
        raise CorruptFile(f"{path} is not JSON: {failure}") from None


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, all of them finite.

    MissingResource when it is not there, CorruptFile for a damaged one, BadData naming a tensor
    with an infinity or a NaN.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise MissingResource(f"{path} cannot be read: the model folder is not whole")
    try:
        found: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError, KeyError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    for name, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")
    return found


def fill(model: Any, found: Mapping[str, np.ndarray], path: Path) -> None:
    """Every parameter of a torch module from its array; BadData unless names and shapes agree."""
    import torch

    state = {name: torch.from_numpy(array) for name, array in found.items()}
    wanted = model.state_dict()
    odd = sorted(wanted.keys() ^ state.keys())
    odd += [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if odd:
        raise BadData(f"{path} and its config.json disagree about {', '.join(odd[:5])}")
    model.load_state_dict(state)
