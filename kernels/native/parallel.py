"""Run independent parts of a C kernel on all cores: ctypes lets go of the interpreter lock."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def threads() -> int:
    """Cores that this process may use; ``OMP_NUM_THREADS`` lowers it, as it does torch's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores or 1, int(asked) if asked.isdigit() else cores or 1))


def run(parts: Iterable[Callable[[], None]]) -> None:
    """Call every part, some at once; an exception of any is raised here."""
    waiting = list(parts)
    if len(waiting) < 2 or threads() == 1:
        for part in waiting:
            part()
        return
    for _ in _pool(os.getpid()).map(lambda part: part(), waiting):
        pass


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """One pool for each process: threads do not survive a fork."""
    del process
    return ThreadPoolExecutor(threads(), "tamis-kernels")
