"""What mixed lengths cost: packed scans over passages of 16 to 256 tokens against equal ones.

    .venv/bin/python benchmarks/packing.py [--tokens 65536] [--repeats 15]

Both sides hold the same number of tokens; the peer's passages all have 128. A ratio of 1 means
that nothing is lost to the mixture, below 1 that the mixture is slower. On the CPU: the C scan of
``linear_scan``, ``bi_gated_scan`` of minGRU (mean pooled), and folded students.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import torch
from measuring import alternate, hardware, report

from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.folded.stack import FoldedStack
from tamis.kernels.linear_scan import linear_scan
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = "--tokens 16384 --repeats 5"

CHANNELS = 384
VOCABULARY = 30_522


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tokens", type=int, default=65_536)
    arguments.add_argument("--repeats", type=int, default=15)
    chosen = arguments.parse_args()
    equal = np.full(chosen.tokens // 128, 128)
    mixed = mixed_lengths(int(equal.sum()))
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.2, equal.sum()), VOCABULARY - 1).astype(np.int32)
    a = torch.rand(len(ids), CHANNELS)
    b = torch.randn(len(ids), CHANNELS)
    u = torch.randn(len(ids), 2, 2, CHANNELS // 2)
    folded = {layers: stack(layers) for layers in (1, 2)}

    lines = []
    cases: dict[str, Callable[[np.ndarray], Callable[[], object]]] = {
        "linear_scan": lambda lengths: scan_of(a, b, lengths),
        "bi_gated_scan mingru, mean": lambda lengths: gated_of(u, lengths),
        **{
            f"folded student, L={layers}": lambda lengths, s=student: encode_of(s, ids, lengths)  # type: ignore[misc]
            for layers, student in folded.items()
        },
    }
    for name, case in cases.items():
        timings = alternate({"peer": case(equal), "ours": case(mixed)}, chosen.repeats)
        lines.append(timings.line(op=name, tokens=len(ids), passages=len(mixed)))
    report("packing", lines, hardware(), ["torch"])


def mixed_lengths(tokens: int) -> np.ndarray:
    """Uniform from 16 to 256, in random order; the last passage takes what is left."""
    drawn = np.random.default_rng(1).integers(16, 257, tokens // 16)
    kept = drawn[np.cumsum(drawn) <= tokens]
    return np.append(kept, tokens - kept.sum())


def stack(layers: int) -> FoldedStack:
    spec = FoldedSpec(layers, CHANNELS, CHANNELS, CHANNELS, VOCABULARY)
    student = FoldedStack(random_weights(spec, 0))
    student.materialise()
    return student


def scan_of(a: torch.Tensor, b: torch.Tensor, lengths: np.ndarray) -> Callable[[], object]:
    packed = pack_lengths(lengths)
    return lambda: linear_scan(a, b, packed)


def gated_of(u: torch.Tensor, lengths: np.ndarray) -> Callable[[], object]:
    packed = pack_lengths(lengths)

    def call() -> object:
        with torch.inference_mode():
            return bi_gated_scan(u, "mingru", packed, pool="mean")

    return call


def encode_of(student: FoldedStack, ids: np.ndarray, lengths: np.ndarray) -> Callable[[], object]:
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    return lambda: student.encode(ids, bounds)


if __name__ == "__main__":
    main()
