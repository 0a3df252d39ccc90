"""A linear layer on one core: torch's own against oneDNN with packed weights.

.venv/bin/python benchmarks/packed_linear.py [--threads 1] [--repeats 30]

The shapes are MiniLM's and BERT-base's. Each is measured for two numbers of rows.
"""

from __future__ import annotations

import argparse

import torch
from measuring import alternate, hardware, report

from tamis.kernels.packed_linear.onednn import PackedLinear

QUICK = "--repeats 5"

SHAPES = ((384, 384), (384, 1536), (1536, 384), (768, 3072))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--repeats", type=int, default=30)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    lines = []
    with torch.inference_mode():
        for rows in (16, 1024):
            for width, out in SHAPES:
                lines.append(measure(rows, width, out, chosen.repeats))
    report("packed_linear", lines, hardware(), ["torch"])


def measure(rows: int, width: int, out: int, repeats: int) -> dict[str, object]:
    layer, x = torch.nn.Linear(width, out), torch.randn(rows, width)
    packed = PackedLinear(layer)
    timings = alternate({"peer": lambda: layer(x), "ours": lambda: packed(x)}, repeats)
    operations = 2 * rows * width * out
    speed = {
        f"{side}_gflops": round(operations / timings.median_ms(side) / 1e6, 1)
        for side in ("peer", "ours")
    }
    return timings.line(rows=rows, shape=f"{width}x{out}", **speed)


if __name__ == "__main__":
    main()
