"""The small drawings of a comparison's page: intervals, margins, where the time goes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ....eval.equivalence import Equivalence
    from .compared import Compared

_WIDE, _HIGH = 132, 12
_COLOURS = 8
"""Custom properties --s0 ... of page.css."""


def interval_strip(value: float, low: float, high: float, least: float, most: float) -> str:
    """A mean in its interval, on a scale from ``least`` to ``most`` that its column shares."""
    x, left, right = (_place(number, least, most) for number in (value, low, high))
    middle = _HIGH / 2
    return (
        f'<svg class="range" width="{_WIDE}" height="{_HIGH}" aria-hidden="true">'
        f'<line x1="0" x2="{_WIDE}" y1="{middle}" y2="{middle}" stroke="var(--rule)"/>'
        f'<line x1="{left}" x2="{right}" y1="{middle}" y2="{middle}" '
        f'stroke="var(--accent)" stroke-width="3" stroke-linecap="round" opacity=".45"/>'
        f'<circle cx="{x}" cy="{middle}" r="3.6" fill="var(--accent)"/></svg>'
    )


def equivalence_strip(test: Equivalence) -> str:
    """The difference in its interval, over the margin (shaded) around 0."""
    if test.low is None or test.high is None:
        return words.NO_VALUE
    reach = 1.15 * max(test.margin, abs(test.low), abs(test.high)) or 1.0
    left, right, x, zero = (_place(n, -reach, reach) for n in (test.low, test.high, test.delta, 0))
    low, high = (_place(number, -reach, reach) for number in (-test.margin, test.margin))
    colour = "var(--good)" if test.equivalent else "var(--soft)"
    middle = _HIGH / 2 + 2
    return (
        f'<svg class="range" width="{_WIDE}" height="{_HIGH + 4}" aria-hidden="true">'
        f'<rect x="{low}" width="{round(high - low, 1)}" height="{_HIGH + 4}" '
        f'fill="var(--accent-pale)"/>'
        f'<line x1="{zero}" x2="{zero}" y1="0" y2="{_HIGH + 4}" stroke="var(--beaten)"/>'
        f'<line x1="{left}" x2="{right}" y1="{middle}" y2="{middle}" stroke="{colour}" '
        f'stroke-width="3" stroke-linecap="round" opacity=".6"/>'
        f'<circle cx="{x}" cy="{middle}" r="3.6" fill="{colour}"/></svg>'
    )


def won_strip(better: int, same: int, worse: int) -> str:
    """Shares of the queries, as one bar."""
    parts = ((better, "var(--good)"), (same, "var(--rule)"), (worse, "var(--bad)"))
    cells = "".join(f'<i style="flex:{count};background:{tone}"></i>' for count, tone in parts)
    return f'<span class="won" aria-hidden="true">{cells}</span>'


def stage_bars(found: Compared) -> Iterator[str]:
    """Mean milliseconds a query by stage, a bar a system; one scale for all."""
    timed = [system for system in found.systems if system.costs is not None]
    stages = list(dict.fromkeys(name for each in timed if each.costs for name in each.costs.stages))
    colours = {name: f"var(--s{place % _COLOURS})" for place, name in enumerate(stages)}
    longest = max((each.costs.mean_ms for each in timed if each.costs), default=0.0) or 1.0
    yield '<figure id="stages"><div class="bars">'
    for system in timed:
        costs = system.costs
        assert costs is not None, "only those that were timed"
        parts = "".join(
            f'<i style="width:{100 * each["mean_ms"] / longest:.3f}%;background:{colours[name]}" '
            f'title="{escape(name)}: {words.milliseconds(each["mean_ms"])} ms"></i>'
            for name, each in costs.stages.items()
        )
        told = f"{words.milliseconds(costs.mean_ms)} ms"
        yield f'<div>{escape(system.name)}</div><div class="bar">{parts}</div><div>{told}</div>'
    yield '</div><div class="legend">'
    for name in stages:
        yield f'<span><i style="background:{colours[name]}"></i>{escape(name)}</span>'
    yield (
        "</div><figcaption>Mean milliseconds a query by stage, queries asked one at a time; a "
        "stage that a query passes by counts with 0. Medians and 95th percentiles by stage are in "
        "report.md and report.json.</figcaption></figure>"
    )


def _place(number: float, least: float, most: float) -> float:
    inside = _WIDE - 10
    return round(5 + inside * (number - least) / ((most - least) or 1.0), 1)
