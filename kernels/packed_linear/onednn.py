"""The CPU twin of ``torch.nn.Linear``: oneDNN with weights packed once, for inference only.

torch sends float32 products to MKL, which takes a slow path on processors that are not Intel's:
for [1024, 384] x [384, 1536] on one core of an AMD EPYC 9005, MKL reaches 109 GFLOP/s and oneDNN
with packed weights 253 (torch 2.13; ``benchmarks/packed_linear.py`` repeats the measurement).
"""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
_BATCH_HINT = 1024  # rows that oneDNN plans its layout for; any other number works too


@cache
def available() -> bool:
    """Whether this torch has the op and it agrees with ``nn.Linear`` here; logged once."""
    try:
        layer = nn.Linear(48, 32)
        sample = torch.linspace(-1, 1, 96).reshape(1, 2, 48)
        with torch.inference_mode():
            agrees = torch.allclose(PackedLinear(layer)(sample), layer(sample), atol=1e-5)
    except (AttributeError, NotImplementedError, RuntimeError) as failure:
        log.info("linear layers stay torch's own: oneDNN packing is not available (%s)", failure)
        return False
    log.info("linear layers: oneDNN with packed weights" if agrees else "oneDNN disagrees: unused")
    return agrees


class PackedLinear(nn.Module):
    """``nn.Linear`` of the same weights: x [..., in] float32 on the CPU to [..., out], no gradient.

    Equal to ``nn.Linear`` within float32 rounding (relative 1e-6); deterministic for one shape.
    """

    weight: Tensor | None = None
    """Never there: T5's feed-forward asks for it before it multiplies."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _BATCH_HINT)
        self._bias: Tensor | None = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, "none", [], ""
        )
        return out


def pack_linears(model: nn.Module) -> int:
    """Replace every float32 CPU ``nn.Linear`` inside ``model`` in place; how many were replaced.

    For inference: the model can no longer be trained or saved.
    """
    if not available():
        return 0
    packed = 0
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is not nn.Linear:
                continue
            if child.weight.dtype == torch.float32 and child.weight.is_cpu:
                setattr(parent, name, PackedLinear(child))
                packed += 1
    return packed
