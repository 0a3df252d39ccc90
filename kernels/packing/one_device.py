"""Tensors and their pack lie on one device, or nothing is launched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments

if TYPE_CHECKING:
    from torch import Tensor

    from .packed import Packed


def on_one_device(op: str, packed: Packed, *tensors: Tensor | None) -> None:
    """BadArguments that names the devices, unless the tensors that are there lie with the pack.

    ``pack_lengths`` makes packs on the CPU unless told otherwise, so this is easily met.
    """
    devices = {x.device for x in tensors if x is not None} | {packed.device}
    if len(devices) > 1:
        places = ", ".join(sorted(map(str, devices)))
        raise BadArguments(f"{op} got tensors and a pack on {places}; move them to one")
