"""What the benchmark programs share: fair timing of two sides, and a report others can check.

A sibling script: ``python benchmarks/NAME.py`` puts this folder on the path, and not the
repository's root (``python -P`` would leave out this folder too).
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Timings:
    """Seconds of every round by side; the sides of a comparison are "peer" and "ours"."""

    seconds: Mapping[str, Sequence[float]]

    def __getitem__(self, side: str) -> Sequence[float]:
        return self.seconds[side]

    def median_ms(self, side: str) -> float:
        return 1e3 * median(self.seconds[side])

    @property
    def ratio(self) -> float:
        """Median of the peer over median of ours: above 1, ours is faster."""
        return self.median_ms("peer") / self.median_ms("ours")

    def line(self, **about: object) -> dict[str, Any]:
        """One line of a report: what was measured, and how it went."""
        times = {f"{side}_ms": round(self.median_ms(side), 3) for side in self.seconds}
        return {**about, **times, "ratio": round(self.ratio, 4)}

    def __str__(self) -> str:
        return "\n".join(self._rows())

    def _rows(self) -> Iterator[str]:
        sides = list(self.seconds)
        yield "round   " + "".join(f"{side + ' ms':>14}" for side in sides)
        for number, times in enumerate(zip(*self.seconds.values(), strict=True), 1):
            yield f"{number:<8}" + "".join(f"{1e3 * seconds:14.2f}" for seconds in times)
        yield "median  " + "".join(f"{self.median_ms(side):14.2f}" for side in sides)


def alternate(
    sides: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Run the sides in turn, ``repeats`` rounds after one that does not count.

    ``clock`` may be ``time.process_time`` where other work takes turns on the same processor: then
    seconds are this process's own, summed over its threads.

    Each round starts with another side, so that warm caches and a busy machine favour none.
    """
    names = list(sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(repeats + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = clock()
            sides[name]()
            took = clock() - start
            if number:
                seconds[name].append(took)
    return Timings(seconds)


def hardware() -> str:
    """Processor, cores this process may use, memory, and the GPU if a loaded torch sees one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [_processor(), f"{cores} cores", f"{memory:.0f} GiB", platform.system()]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def report(
    benchmark: str, lines: Sequence[Mapping[str, Any]], machine: str, packages: Sequence[str] = ()
) -> None:
    """Print the lines and, last, all of it as one line of JSON.

    ``lines``: what ``Timings.line`` gives, or any mapping with a ``ratio``. The JSON repeats the
    worst line at its top: ratio, peer_ms and ours_ms are what the slowest comparison measured.
    ``packages``: distributions whose versions matter, beside Python's, numpy's and ours.
    """
    for line in lines:
        print("  ".join(f"{key}={_short(value)}" for key, value in line.items()))
    compared = [line for line in lines if "ratio" in line]
    worst = min(compared, key=lambda line: line["ratio"], default={})
    body = {
        "benchmark": benchmark,
        **{key: worst[key] for key in ("ratio", "peer_ms", "ours_ms") if key in worst},
        "command": shlex.join(["python", *sys.argv]),
        "hardware": machine,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in sorted({"numpy", "tamis", *packages})},
        },
        "lines": [dict(line) for line in lines],
    }
    print(json.dumps(body))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    """The processor as people know it; Linux says it in /proc/cpuinfo alone."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
