"""Run independent parts of a C kernel on all cores: ctypes lets go of the interpreter lock."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
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
    """Call every part, some at once; an exception of any is raised here, once none is running.

    C code works on memory that the caller frees when this returns, by an interrupt too.
    """
    waiting = list(parts)
    if len(waiting) < 2 or threads() == 1:
        for part in waiting:
            part()
        return
    pool = _pool(os.getpid())
    begun = [pool.submit(part) for part in waiting]
    try:
        for part_done in begun:
            part_done.result()
    finally:
        for part_done in begun:
            part_done.cancel()
        wait(begun)


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """One pool for each process: threads do not survive a fork."""
    del process
    return ThreadPoolExecutor(threads(), "tamis-kernels")
