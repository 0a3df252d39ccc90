"""The figure of a comparison: quality against milliseconds a query, and who is beaten in both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

from ..core.figure_file import write_figure_file
from ..core.optional import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_INK, _GREY, _PALE, _PAPER = "#222222", "#666666", "#e8e8e8", "#fffffe"
_LINE, _BEATEN, _LIMIT = "#0072b2", "#8a8a8a", "#d55e00"
_THEMED = {
    _INK: "--ink",
    _GREY: "--soft",
    _PALE: "--rule",
    _PAPER: "--paper",
    _LINE: "--accent",
    _BEATEN: "--beaten",
    _LIMIT: "--warm",
}
"""Colours of the figure that a page may set: the names of its custom properties."""

_WIDE, _HIGH = 7.2, 3.7  # inches
_LETTER, _LINE_HEIGHT = 4.6, 10.0  # points that a letter and a line of a label take

STYLE: dict[str, Any] = {
    "font.size": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.facecolor": _PAPER,
    "figure.facecolor": _PAPER,
    "grid.color": _PALE,
    "grid.linewidth": 0.5,
    "text.color": _INK,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "svg.hashsalt": "tamis",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A system: its milliseconds a query, its mean with the interval's bounds (None for none), and
    whether no other system is both faster and better."""

    name: str
    milliseconds: float
    value: float
    low: float | None
    high: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class ParetoFigure:
    """All that is drawn. ``untimed``: systems without milliseconds, as lines at their means;
    ``budget``: a limit in milliseconds, drawn where it is given."""

    measure: str
    points: Sequence[ParetoPoint]
    untimed: Mapping[str, float] = field(default_factory=dict)
    caption: str = ""
    budget: float | None = None


def write_pareto_figure(figure: ParetoFigure, out: Path) -> None:
    """SVG, PDF or PNG, by the suffix of ``out``; the same figure gives the same bytes.

    BadArguments for another suffix, MissingDependency without matplotlib.
    """
    write_figure_file(lambda: _drawn(figure), STYLE, out, "the figure of a comparison")


def pareto_svg(figure: ParetoFigure) -> str:
    """An ``<svg>`` element for a page: text as text, colours from the page's custom properties
    (--ink, --soft, --rule, --paper, --accent, --beaten, --warm). MissingDependency."""
    matplotlib = need("matplotlib", "the figure of a comparison")
    held = StringIO()
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "none"}):
        _drawn(figure).savefig(held, format="svg", metadata={"Date": None})
    svg = held.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, name in _THEMED.items():
        svg = re.sub(colour, f"var({name})", svg, flags=re.IGNORECASE)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    title = f"{figure.measure} against milliseconds a query"
    opening = f'<svg role="img" aria-label="{title}"'
    return re.sub(r'<svg ([^>]*?)width="[^"]*"', rf"{opening} \1", svg, count=1).replace(
        'height="', 'data-height="', 1
    )


def _drawn(figure: ParetoFigure) -> Any:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(_WIDE, _HIGH), layout="constrained")
    axis = drawn.subplots()
    axis.set_xscale("log")
    _untimed(axis, figure)
    _frontier(axis, figure)
    for point in figure.points:
        _point(axis, point)
    if figure.budget is not None:
        axis.axvline(figure.budget, color=_LIMIT, lw=0.9, ls=(0, (4, 3)))
    axis.set_ylabel(figure.measure)
    axis.set_xlabel("milliseconds a query, p50 (logarithmic)")
    axis.set_title(figure.caption, loc="left", size=8.5, color=_GREY, parse_math=False)
    _limits(axis, figure)
    drawn.draw_without_rendering()
    _labels(axis, figure)
    return drawn


def _untimed(axis: Any, figure: ParetoFigure) -> None:
    for name, value in figure.untimed.items():
        axis.axhline(value, color=_GREY, lw=0.7, ls=":")
        axis.annotate(
            f"{name} (not timed)",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            color=_GREY,
            size=7.5,
            parse_math=False,
        )


def _frontier(axis: Any, figure: ParetoFigure) -> None:
    """Steps: what can be had within so many milliseconds."""
    best = sorted((p for p in figure.points if p.best), key=lambda point: point.milliseconds)
    if not best:
        return
    last = max(point.milliseconds for point in figure.points)
    along = [*(point.milliseconds for point in best), max(last * 1.6, best[-1].milliseconds * 1.6)]
    values = [*(point.value for point in best), best[-1].value]
    axis.plot(along, values, drawstyle="steps-post", color=_LINE, lw=1.3, alpha=0.75)


def _point(axis: Any, point: ParetoPoint) -> None:
    colour = _LINE if point.best else _BEATEN
    if point.low is not None and point.high is not None:
        axis.plot([point.milliseconds] * 2, [point.low, point.high], color=colour, lw=1, alpha=0.55)
    axis.plot(
        [point.milliseconds],
        [point.value],
        marker="o",
        ms=6,
        mew=1.3,
        color=colour,
        mfc=colour if point.best else _PAPER,
        ls="",
    )


def _limits(axis: Any, figure: ParetoFigure) -> None:
    times = [point.milliseconds for point in figure.points]
    if figure.budget is not None:
        times.append(figure.budget)
    axis.set_xlim(min(times) / 2.4, max(times) * 2.4)
    axis.xaxis.set_major_formatter(lambda ms, _place: f"{ms:g}")
    axis.locator_params(axis="y", nbins=6)


def _labels(axis: Any, figure: ParetoFigure) -> None:
    """Each name beside its point, where it covers neither a point nor a name before it."""
    scale = 72 / axis.figure.dpi
    places = {
        point.name: axis.transData.transform((point.milliseconds, point.value)) * scale
        for point in figure.points
    }
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    for point in sorted(figure.points, key=lambda each: not each.best):
        x, y = places[point.name]
        wide = _LETTER * len(point.name)
        boxes = list(_around(x, y, wide))
        free = next((box for box in boxes if not any(_meet(box[0], t) for t in taken)), boxes[0])
        (left, bottom, right, top), side, (dx, dy) = free
        taken.append((left, bottom, right, top))
        axis.annotate(
            point.name,
            (point.milliseconds, point.value),
            xytext=(dx, dy),
            textcoords="offset points",
            ha=side,
            va="bottom",
            color=_INK if point.best else _GREY,
            annotation_clip=False,
            parse_math=False,  # a name is no formula, whatever dollars it holds
        )


def _around(
    x: float, y: float, wide: float
) -> Iterator[tuple[tuple[float, float, float, float], str, tuple[float, float]]]:
    """Boxes for a label (left, bottom, right, top, in points), its alignment and its offset."""
    for dy in (3, -13, 14, -24, 25, -35):
        for dx, side in ((8, "left"), (-8, "right")):
            left = x + dx if side == "left" else x + dx - wide
            yield (left, y + dy, left + wide, y + dy + _LINE_HEIGHT), side, (dx, dy)


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
