"""Every Triton kernel on this GPU: bytes a second as a share of what a plain copy reaches.

    .venv/bin/python benchmarks/kernels_gpu.py [--tokens 65536 262144] [--width 384] [-o FILE.json]

Where tamis is not installed (torch, triton, numpy, tokenizers and safetensors are enough):

    mkdir -p /tmp/here && ln -sfn "$PWD" /tmp/here/tamis
    PYTHONPATH=/tmp/here python benchmarks/kernels_gpu.py

The bytes of an op are the fewest that any implementation must move (inputs read once, outputs and
gradients written once, saved states read once), not those that ours happens to move. Copy
bandwidth is measured in the same run; "fwd+bwd" counts both passes. Lengths: "even" is 128 tokens
in every passage, "mixed" uniform from 16 to 256, "msmarco" log-normal around 75. cuDNN's GRU and
LSTM, padded and packed, and attention of equal width stand beside the recurrences.
``--device cpu --tokens 512 --repeats 1`` tries the program where no GPU is; its figures mean
nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from kernel_cases import Shapes, Work, all_work
from measuring import hardware

from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = "--tokens 65536 --dtypes bfloat16 --lengths mixed --repeats 10"

_HOLD = 4_000_000  # clock cycles, about 2 ms
COLUMNS = ("op", "fwd ms", "fwd share of copy", "fwd+bwd ms", "fwd+bwd share of copy")


def main() -> None:
    chosen = options()
    if chosen.device != "cpu" and not torch.cuda.is_available():
        print("no CUDA device here; --device cpu --tokens 512 tries the program", file=sys.stderr)
        raise SystemExit(3)
    bandwidth = copy_bandwidth(chosen.device, chosen.repeats)
    print(f"{hardware()}; torch {torch.__version__}; copy {bandwidth / 1e9:.0f} GB/s")
    if chosen.device == "cpu":
        print("on the CPU: the figures say that the program runs, nothing else")
    body: dict[str, Any] = {"hardware": hardware(), "copy_bytes_per_second": bandwidth, "runs": []}
    for tokens in chosen.tokens:
        for dtype in chosen.dtypes:
            for mix in chosen.lengths:
                packed = pack_lengths(lengths_of(mix, tokens), chosen.device)
                shapes = Shapes(packed, chosen.width, getattr(torch, dtype), chosen.device)
                print(f"\n{tokens} tokens x {chosen.width}, {dtype}, {mix}: {len(packed)} passages")
                print("\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
                about = {"tokens": tokens, "width": chosen.width, "dtype": dtype, "lengths": mix}
                for work in all_work(shapes):
                    if chosen.only not in work.name:
                        continue
                    line = measure(work, shapes, bandwidth, chosen.repeats)
                    print("| " + " | ".join(map(str, line.values())) + " |", flush=True)
                    body["runs"].append({**about, **line})
                    if chosen.out:
                        chosen.out.write_text(json.dumps(body, indent=1), "utf-8")
    lines = [ratio_line(run) for run in body["runs"]]
    print(json.dumps({"benchmark": "kernels_gpu", "hardware": hardware(), "lines": lines}))


def ratio_line(run: dict[str, Any]) -> dict[str, Any]:
    """A kernel's share of a plain copy's bandwidth, forward, as ``tamis bench`` reads it."""
    about = {name: run[name] for name in ("op", "dtype", "lengths", "tokens")}
    return {
        **about,
        "ratio": run["fwd share of copy"],
        "ours_ms": run["fwd ms"],
        "peer_ms": round(run["fwd ms"] * run["fwd share of copy"], 4),
    }


def options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tokens", type=int, nargs="+", default=[65_536, 262_144])
    arguments.add_argument("--width", type=int, default=384)
    arguments.add_argument("--lengths", nargs="+", default=["even", "mixed", "msmarco"])
    arguments.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    arguments.add_argument("--repeats", type=int, default=30)
    arguments.add_argument("--only", default="", help="ops whose name holds this")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("-o", dest="out", type=Path, help="the same figures as JSON")
    return arguments.parse_args()


def lengths_of(mix: str, tokens: int) -> np.ndarray:
    """Lengths that sum to ``tokens``; the last passage takes what is left."""
    rng = np.random.default_rng(0)
    drawn = {
        "even": np.full(tokens // 128 + 1, 128),
        "mixed": rng.integers(16, 257, tokens // 16),
        "msmarco": np.clip(np.exp(rng.normal(np.log(68), 0.45, tokens // 16)), 5, 512),
    }[mix].astype(np.int64)
    kept = drawn[np.cumsum(drawn) <= tokens]
    left = tokens - kept.sum()
    return np.append(kept, left) if left else kept


def copy_bandwidth(device: str, repeats: int) -> float:
    """Bytes a second of ``copy_`` over 1 GiB, read and write counted."""
    size = 2**30 if device != "cpu" else 2**24
    source = torch.ones(size, dtype=torch.int8, device=device)
    goal = torch.empty_like(source)
    return 2 * size / seconds(lambda: goal.copy_(source), device, repeats)


def measure(work: Work, shapes: Shapes, bandwidth: float, repeats: int) -> dict[str, Any]:
    """One row of the table, in the order of COLUMNS."""

    def forward() -> None:
        with torch.no_grad():
            work.call()

    gradient = torch.ones_like(work.call())

    def both() -> None:
        torch.autograd.grad(work.call(), work.inputs, gradient)

    size = torch.finfo(shapes.dtype).bits // 8 * shapes.packed.tokens
    line: list[Any] = [work.name]
    for call, words in ((forward, work.forward), (both, work.forward + work.backward)):
        took = seconds(call, shapes.device, repeats)
        line += [round(1e3 * took, 4), round(words * size / took / bandwidth, 4)]
    return dict(zip(COLUMNS, line, strict=True))


def seconds(call: Callable[[], object], device: str, repeats: int) -> float:
    """Median of single runs; on a GPU what its caches hold is overwritten before each.

    The GPU is held up until Python has queued the whole run: launching may take the CPU longer
    than 64k tokens take the GPU, and is not what is measured.
    """
    call()
    if device == "cpu":
        return statistics.median(timed_here(call) for _ in range(repeats))
    flush = torch.empty(2**28, dtype=torch.int8, device=device)
    times = []
    for _ in range(repeats):
        flush.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(_HOLD)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times)


def timed_here(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
