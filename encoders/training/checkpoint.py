"""The state of a training run in one safetensors file: parameters, optimiser, position."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from ...core.durable import replacing
from ...core.errors import BadData, CorruptFile

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn
    from torch.optim import Optimizer

_RANDOM = "random"


def write_checkpoint(
    path: Path, module: nn.Module, optimizer: Optimizer, state: dict[str, Any]
) -> None:
    """Whole or not at all. ``state`` is JSON; what torch's random generator would do next is kept
    too. Parameters are kept as they are, not in the rounded form of a saved model."""
    from safetensors.torch import save

    tensors = {_RANDOM: torch.get_rng_state()}
    for name, parameter in module.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    for name, buffer in module.named_buffers():
        tensors[f"buffer.{name}"] = buffer
    flat = {name: x.cpu().contiguous() for name, x in tensors.items()}
    with replacing(path, "wb") as out:
        out.write(save(flat, metadata={"state": json.dumps(state)}))


def read_checkpoint(path: Path, module: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Put everything back and return the state. CorruptFile, or BadData for another model's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as failure:
        raise CorruptFile(
            f"{path} is damaged ({failure}): delete it, and the run begins anew"
        ) from None
    _restore(path, module, optimizer, tensors)
    torch.set_rng_state(tensors[_RANDOM])
    return state


def _restore(
    path: Path, module: nn.Module, optimizer: Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            stored = tensors.get(f"model.{name}")
            if stored is None or stored.shape != parameter.shape:
                raise BadData(f"{path} is of another model ({name}): delete it, or use another -o")
            parameter.copy_(stored)
        for name, buffer in module.named_buffers():
            buffer.copy_(tensors[f"buffer.{name}"])
    for name, parameter in module.named_parameters():
        kept = {
            key.split(".", 2)[1]: value
            for key, value in tensors.items()
            if key.startswith("optimizer.") and key.split(".", 2)[2] == name
        }
        if kept:
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device)
                for key, value in kept.items()
            }
