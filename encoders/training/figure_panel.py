"""One panel of the figure of a run: curves that are named where they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Okabe and Ito's colours, which colour-blind readers tell apart, and two more for crowded panels;
# sums and means are black
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#8C6D46")
_BLACK, _GREY, _PALE = "#222222", "#666666", "#E8E8E8"
_SUMMARIES = ("loss", "mean")
_POINTS = 120  # a line of twice as many is drawn as the means of so many stretches, over a pale one
_LOG_RANGE = 3.0  # what spans more than this is drawn over a logarithmic axis
APART = 0.17  # inches between two names
_LEADER = {"arrowstyle": "-", "lw": 0.5, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _BLACK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "grid.linewidth": 0.6,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": _BLACK,
    "ytick.labelcolor": _BLACK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.major.size": 3,
    "xtick.major.size": 3,
    "svg.hashsalt": "tamis",
    "svg.fonttype": "path",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One number of a log over the steps; ``dots`` for what is measured now and then."""

    name: str
    steps: list[int]
    values: list[float]
    dots: bool


def draw_panel(axis: Any, title: str, curves: Sequence[Curve], height: float) -> None:
    """The curves, an axis that suits them, their names and last values beside their ends.

    The ``title`` "loss" stays; another gives way to the words that all names share. ``height`` is
    the panel's, in inches.
    """
    common, names = "", [curve.name for curve in curves]
    if title != "loss":
        common, names = shared_words(names)
    colours = _colours(curves)
    for curve, colour in zip(curves, colours, strict=True):
        _draw(axis, curve, colour)
    _scale(axis, curves)
    axis.set_ylabel(common or title)
    if title == "measure":
        _mark_best(axis, next((c for c in curves if c.name == "mean"), curves[0]))
    _name(axis, curves, names, colours, APART / height)


def shared_words(names: Sequence[str]) -> tuple[str, list[str]]:
    """(the words that all names begin or end with, what is left of each), "mean" aside.

    A name alone is left whole: nothing is shared.
    """
    split = {name: name.split() for name in names if name != "mean"}
    if len(split) < 2:
        alone = "".join(split) if names != ["mean"] else "mean"
        return alone, ["" if name == alone else name for name in names]
    rows = list(split.values())
    shortest = min(map(len, rows))
    front = _agreeing(rows, range(shortest - 1))
    back = _agreeing(rows, range(-1, front - shortest, -1))
    common = [*rows[0][:front], *rows[0][len(rows[0]) - back :]]
    left = {name: " ".join(words[front : len(words) - back]) for name, words in split.items()}
    return " ".join(common), [left.get(name, name) for name in names]


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The same heights moved as little as possible (least squares), until none is nearer than
    ``gap`` to another; their order stays."""
    order = sorted(range(len(places)), key=lambda each: places[each])
    blocks: list[list[float]] = []  # isotonic regression by pooling neighbours
    for rank, each in enumerate(order):
        blocks.append([places[each] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    level = [float(np.mean(block)) for block in blocks for _ in block]
    found = [0.0] * len(places)
    for rank, each in enumerate(order):
        found[each] = level[rank] + rank * gap
    return found


def _agreeing(rows: list[list[str]], places: range) -> int:
    """How many of the places, from the first on, hold the same word in all rows."""
    count = 0
    for place in places:
        if len({row[place] for row in rows}) > 1:
            break
        count += 1
    return count


def _colours(curves: Sequence[Curve]) -> list[str]:
    """Black for a sum or mean among others; "held-out x, ..." has the colour of x."""
    given: dict[str, str] = {}
    for curve in curves:
        key = _key(curve.name)
        if key in _SUMMARIES and len(curves) > 1:
            given[key] = _BLACK
        elif key not in given:
            used = sum(colour != _BLACK for colour in given.values())
            given[key] = _COLOURS[used % len(_COLOURS)]
    return [given[_key(curve.name)] for curve in curves]


def _key(name: str) -> str:
    return name.removeprefix("held-out ").partition(",")[0]


def _draw(axis: Any, curve: Curve, colour: str) -> None:
    width = 1.6 if curve.name in _SUMMARIES else 1.2
    if curve.dots:
        style = "--" if "," in curve.name else "-"
        axis.plot(
            curve.steps,
            curve.values,
            style,
            color=colour,
            lw=width,
            marker="o",
            ms=3,
            clip_on=False,
        )
    elif len(curve.steps) < 2 * _POINTS:
        axis.plot(curve.steps, curve.values, color=colour, lw=width)
    else:
        axis.plot(curve.steps, curve.values, color=colour, lw=0.6, alpha=0.3)
        parts = [np.array_split(each, _POINTS) for each in (curve.steps, curve.values)]
        steps, values = ([part.mean() for part in each] for each in parts)
        axis.plot(steps, values, color=colour, lw=width)


def _scale(axis: Any, curves: Sequence[Curve]) -> None:
    """Logarithmic where all is positive and falls or rises several times over."""
    values = [value for curve in curves for value in curve.values]
    low, high = min(values), max(values)
    if low > 0 and high / low > _LOG_RANGE and any(not curve.dots for curve in curves):
        from matplotlib.ticker import LogLocator, NullLocator

        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    else:
        axis.locator_params(axis="y", nbins=5)
    axis.margins(y=0.06)


def _mark_best(axis: Any, curve: Curve) -> None:
    """The evaluation with the highest value, if it is not the last: a hairline, named above."""
    best = int(np.argmax(curve.values))
    if best == len(curve.values) - 1:
        return
    axis.axvline(curve.steps[best], color=_GREY, lw=0.6, ls=":", zorder=0)
    axis.annotate(
        f"best {curve.values[best]:.3f}",
        (curve.steps[best], 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=_GREY,
        size=8,
    )


def _name(
    axis: Any,
    curves: Sequence[Curve],
    names: Sequence[str],
    colours: Sequence[str],
    gap: float,
) -> None:
    """Names and last values, right of the panel, as high as the curves end where there is room."""
    axis.get_ylim()  # settles the limits, which the places below depend on
    to_fraction = axis.transAxes.inverted()
    ends = [
        float(to_fraction.transform(axis.transData.transform((c.steps[-1], c.values[-1])))[1])
        for c in curves
    ]
    for curve, name, colour, end, place in zip(
        curves, names, colours, ends, spread(ends, gap), strict=True
    ):
        axis.annotate(
            f"{name} {curve.values[-1]:#.3g}".strip(),
            (1.01, end),
            xycoords="axes fraction",
            xytext=(1.04, place),
            textcoords="axes fraction",
            va="center",
            color=colour,
            size=8.5,
            weight="bold" if curve.name in _SUMMARIES else "normal",
            arrowprops=_LEADER | {"color": colour},
        )
