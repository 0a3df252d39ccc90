"""Progress on standard error: bars with an estimate on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.progress import Advance

_SECONDS_BETWEEN_LINES = 30


class Bars:
    """A bar per stage on a terminal; on a pipe, a line now and then and when the stage ends.

    ``prefix`` is put before the name of every stage.
    """

    def __init__(self, prefix: str = "") -> None:
        self._note = ""
        self._prefix = prefix

    def note(self, words: str) -> None:
        self._note = words

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        self._note = ""
        name = self._prefix + name
        if not sys.stderr.isatty():
            yield from _lines(name, total, lambda: self._note)
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
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total, note="")
            yield _in_steps(lambda done: bars.update(task, advance=done, note=self._note))
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


def _lines(name: str, total: int | None, note: Callable[[], str]) -> Iterator[Advance]:
    start = told = time.perf_counter()
    count = 0

    def step(done: int) -> None:
        nonlocal count, told
        count += done
        now = time.perf_counter()
        if now - told >= _SECONDS_BETWEEN_LINES:
            told = now
            words = f"; {note()}" if note() else ""
            told_so = f"{name}: {_so_far(count, total, now - start)}{words}"
            print(told_so, file=sys.stderr, flush=True)

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
