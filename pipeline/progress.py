"""Progress on standard error: bars with an estimate for people, one line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.progress import Advance


class Bars:
    """A bar per stage on a terminal; on a pipe, a line when the stage ends."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        if not sys.stderr.isatty():
            yield from _line(name)
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total)
            yield _in_steps(lambda done: bars.advance(task, done))
            if total is None:
                bars.update(task, total=bars.tasks[0].completed)


def _in_steps(advance: Advance, every: int = 64) -> Advance:
    """Pass on counts in lumps: a bar that moves a million times costs more than the work."""
    held = 0

    def step(done: int) -> None:
        nonlocal held
        held += done
        if held >= every:
            advance(held)
            held = 0

    return step


def _line(name: str) -> Iterator[Advance]:
    start, count = time.perf_counter(), 0

    def step(done: int) -> None:
        nonlocal count
        count += done

    yield step
    seconds = time.perf_counter() - start
    print(f"{name}: {count:,} in {seconds:.1f} s", file=sys.stderr)
