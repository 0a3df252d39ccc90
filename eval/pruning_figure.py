"""The curves of pruning as a figure: a column a pipeline, a row a measure, costs below."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.figure_file import write_figure_file
from .pruning_curve import spreads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .pruning_curve import Curve

# Okabe and Ito's colours, which colour-blind readers tell apart; controls are grey and black
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INK, _GREY, _PALE, _BAND = "#222222", "#666666", "#E8E8E8", "#F1E7CD"
_RANDOM, _LENGTH = "#888888", "#222222"
_INSIDE = {"loc": "upper right", "frameon": False, "fontsize": 7.5, "borderpad": 0}
_PANEL, _MEASURE, _COST, _HEAD, _NAME = 2.45, 1.95, 1.7, 0.9, 1.9  # inches

STYLE: dict[str, Any] = {
    "font.size": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.titlesize": 9.5,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _PALE,
    "grid.linewidth": 0.5,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "tamis",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class CostPanel:
    """What pruning saves: lines by name over ``shares``, in ``unit``; ``stacked`` ones add up."""

    title: str
    unit: str
    shares: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    along: str = "passages pruned"
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class PruningFigure:
    """All that is drawn. ``titles``: pipeline -> what its panels are called."""

    curves: Sequence[Curve]
    titles: Mapping[str, str]
    measures: Sequence[str]
    margin: float
    costs: Sequence[CostPanel] = field(default_factory=tuple)

    def of(self, pipeline: str) -> list[Curve]:
        return [curve for curve in self.curves if curve.pipeline == pipeline]


def write_pruning_figure(figure: PruningFigure, out: Path) -> None:
    """SVG, PDF or PNG, by the suffix of ``out``; the same figure gives the same bytes.

    BadArguments for another suffix, MissingDependency without matplotlib.
    """
    write_figure_file(lambda: _drawn(figure), STYLE, out, "the figure of a pruning curve")


def _drawn(figure: PruningFigure) -> Any:
    from matplotlib.figure import Figure

    columns, rows = len(figure.titles), len(figure.measures)
    wide = max(columns, len(figure.costs))
    size = (
        0.5 + _PANEL * wide,
        _HEAD + _MEASURE * rows + (_COST if figure.costs else 0),
    )
    drawn = Figure(figsize=size, layout="constrained")
    parts = drawn.subfigures(
        2 if figure.costs else 1,
        1,
        squeeze=False,
        height_ratios=[_MEASURE * rows, _COST] if figure.costs else None,
    )[:, 0]
    axes = parts[0].subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    for number, measure in enumerate(figure.measures):
        for place, (pipeline, title) in enumerate(figure.titles.items()):
            axis = axes[number, place]
            _curves(axis, figure, pipeline, measure)
            if number == 0:
                axis.set_title(title, loc="left", color=_INK)
            if place == 0:
                axis.set_ylabel(measure)
            if number == rows - 1:
                axis.set_xlabel("passages pruned")
    if figure.costs:
        below = parts[1].subplots(1, len(figure.costs), squeeze=False)[0]
        for axis, panel in zip(below, figure.costs, strict=True):
            _costs(axis, panel)
    _legend(drawn, axes[0, 0], int(size[0] / _NAME))
    return drawn


def _legend(drawn: Any, axis: Any, most: int) -> None:
    """Above all panels; the models' markers, and what a hollow one means, beside their lines."""
    from matplotlib.lines import Line2D

    handles, names = axis.get_legend_handles_labels()
    for place, handle in enumerate(handles):
        if isinstance(handle, Line2D) and handle.get_marker() not in ("None", "", None):
            plain: dict[str, Any] = {"color": handle.get_color(), "lw": handle.get_linewidth()}
            handles[place] = Line2D(
                [], [], marker=handle.get_marker(), ms=handle.get_markersize(), **plain
            )
    for name, face in (("equivalent (TOST)", _GREY), ("not shown", "white")):
        handles.append(Line2D([], [], ls="", marker="o", ms=3.6, color=_GREY, mfc=face))
        names.append(name)
    drawn.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=max(most, 1),
        frameon=False,
        handlelength=1.8,
        columnspacing=1.4,
    )


def _curves(axis: Any, figure: PruningFigure, pipeline: str, measure: str) -> None:
    """One panel: the margin, random's range, then a line for each other way of pruning."""
    curves = figure.of(pipeline)
    mean = curves[0].unpruned[measure]
    percent = f"±{100 * figure.margin:g} % of unpruned"
    axis.axhspan(
        mean * (1 - figure.margin), mean * (1 + figure.margin), color=_BAND, lw=0, label=percent
    )
    axis.axhline(mean, color=_GREY, lw=0.6)
    _random(axis, [curve for curve in curves if curve.kind == "random"], measure, mean)
    models = 0
    for curve in curves:
        if curve.kind == "random":
            continue
        style = _style(curve, models)
        models += curve.kind == "model"
        _line(axis, curve, measure, mean, style)
    _percent_axis(axis, max(point.share for point in curves[0].points))


def _random(axis: Any, curves: Sequence[Curve], measure: str, mean: float) -> None:
    found = spreads(curves)
    if not found:
        return
    shares = [0.0, *(each.share for each in found)]
    low = [mean, *(each.lows[measure] for each in found)]
    high = [mean, *(each.highs[measure] for each in found)]
    middle = [mean, *(each.means[measure] for each in found)]
    axis.fill_between(
        shares, low, high, color=_RANDOM, alpha=0.3, lw=0, label=f"random, {len(curves)} seeds"
    )
    axis.plot(shares, middle, color=_RANDOM, lw=1.2, label="random, mean")


def _style(curve: Curve, models: int) -> dict[str, Any]:
    if curve.kind == "length":
        return {"color": _LENGTH, "ls": "--", "lw": 1.0}
    if curve.kind == "oracle":
        return {"color": _LENGTH, "ls": ":", "lw": 1.2}
    return {
        "color": _COLOURS[models % len(_COLOURS)],
        "marker": _MARKERS[models % len(_MARKERS)],
        "ms": 3.4,
        "mew": 0.9,
        "lw": 1.2,
    }


def _line(axis: Any, curve: Curve, measure: str, mean: float, style: dict[str, Any]) -> None:
    """The means; a model's markers are hollow where equivalence is not shown."""
    estimates = [point.estimates[measure] for point in curve.points]
    shares = [0.0, *(point.share for point in curve.points)]
    means = [mean, *(each.value for each in estimates)]
    name = "oracle (sees the judgments)" if curve.kind == "oracle" else curve.quality
    if curve.kind != "model":
        axis.plot(shares, means, label=name, **style)
        return
    if all(each.low is not None for each in estimates):
        low = [mean, *(each.low for each in estimates)]
        high = [mean, *(each.high for each in estimates)]
        axis.fill_between(shares, low, high, color=style["color"], alpha=0.13, lw=0)
    axis.plot(shares, means, label=name, markevery=[], **style)
    marker = {key: style[key] for key in ("color", "marker", "ms", "mew")}
    for shown, face in ((True, style["color"]), (False, "white")):
        places = [n for n, each in enumerate(estimates) if each.test.equivalent is shown]
        if not places:  # an unclipped line without a point would reach into the figure's corner
            continue
        axis.plot(
            [shares[1 + n] for n in places],
            [means[1 + n] for n in places],
            ls="",
            mfc=face,
            clip_on=False,
            **marker,
        )


def _costs(axis: Any, panel: CostPanel) -> None:
    """Lines that are named where they end, or parts that add up."""
    if panel.stacked:
        tones = ("#4C6A86", "#8FA9C2", "#C3D2E0", "#DDE6EE")
        axis.stackplot(
            panel.shares,
            list(panel.lines.values()),
            labels=list(panel.lines),
            colors=tones[: len(panel.lines)],
            lw=0,
        )
        handles, names = axis.get_legend_handles_labels()
        axis.legend(handles[::-1], names[::-1], handlelength=0.9, **_INSIDE)
    else:
        for number, (name, values) in enumerate(panel.lines.items()):
            axis.plot(
                panel.shares,
                values,
                color=("#4C6A86", "#B0632F", "#222222")[number % 3],
                ls=("-", "--", ":")[number % 3],
                lw=1.2,
                label=name,
            )
        axis.legend(handlelength=1.6, **_INSIDE)
    highest = max(
        sum(each) if panel.stacked else max(each)
        for each in zip(*panel.lines.values(), strict=True)
    )
    axis.set_ylim(0, highest * (1.3 if panel.stacked else 1.45))
    axis.set_title(panel.title, loc="left", size=8.5, color=_INK)
    axis.set_ylabel(panel.unit)
    _percent_axis(axis, max(panel.shares))
    axis.set_xlabel(panel.along)


def _percent_axis(axis: Any, last: float) -> None:
    axis.set_xlim(0, last)
    axis.xaxis.set_major_locator(_every(0.1 if last <= 0.5 else 0.2))
    axis.xaxis.set_major_formatter(lambda share, _place: f"{100 * share:.0f} %")
    axis.locator_params(axis="y", nbins=5)


def _every(step: float) -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(step)
