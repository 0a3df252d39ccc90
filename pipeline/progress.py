"""Progress on standard error: bars with an estimate on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.progress import Advance

_SECONDS_BETWEEN_LINES = 30


class Bars:
    """A bar per stage on a terminal; on a pipe, a line now and then and when the stage ends."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        if not sys.stderr.isatty():
            yield from _lines(name, total)
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


def _lines(name: str, total: int | None) -> Iterator[Advance]:
    start = told = time.perf_counter()
    count = 0

    def step(done: int) -> None:
        nonlocal count, told
        count += done
        now = time.perf_counter()
        if now - told >= _SECONDS_BETWEEN_LINES:
            told = now
            print(f"{name}: {_so_far(count, total, now - start)}", file=sys.stderr, flush=True)

    yield step
    seconds = time.perf_counter() - start
    print(f"{name}: {count:,} in {seconds:.1f} s", file=sys.stderr, flush=True)


def _so_far(count: int, total: int | None, seconds: float) -> str:
    """How much is done, how fast it goes, and how long the rest will take at that speed."""
    rate = count / seconds
    if total is None:
        return f"{count:,}, {rate:,.0f} a second"
    minutes = (total - count) / rate / 60
    return f"{count:,} of {total:,}, {rate:,.0f} a second, {minutes:.0f} minutes left"
