"""Whether the device that was asked for is there."""

from __future__ import annotations

from ..core.errors import BadArguments


def check_device(device: str) -> None:
    """BadArguments for a CUDA device that torch does not see; torch is imported for such a one."""
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise BadArguments(
                f"device {device!r}: this torch sees no CUDA device; use --device cpu"
            )
