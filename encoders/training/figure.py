"""A training run as a figure: its losses, and what was measured meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.errors import BadData, MissingResource
from ...core.figure_file import write_figure_file
from .figure_panel import APART, STYLE, Curve, draw_panel
from .log import read_log

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH, _MARGIN, _LOSSES, _MEASURES = 7.0, 0.6, 2.6, 1.9  # inches: of all, below, of each panel


@dataclass(frozen=True, slots=True)
class Curves:
    """What the panels show: losses, other numbers of 0 to 1 about held-out data, dev measures."""

    losses: list[Curve] = field(default_factory=list)
    held_out: list[Curve] = field(default_factory=list)
    measures: list[Curve] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


def write_figure(log: Path, out: Path) -> None:
    """Draw ``training.jsonl`` as SVG, PNG or PDF, by the suffix of ``out``.

    The same log gives the same bytes. MissingResource without a log, BadData when it holds no
    number, BadArguments for another suffix, MissingDependency without matplotlib.
    """
    write_figure_file(lambda: _figure(read_curves(log)), STYLE, out, "the figure of a training run")


def read_curves(log: Path) -> Curves:
    """The curves of a log, each kind in the order in which its names come first.

    A line with a "loss" holds losses. In the others "mean" and what ends in a measure's name (a
    word with a capital, as nDCG@10) are measures; of the rest, what is called "held-out ..." or
    exceeds 1 is a loss. Sums and means of a single number are left out, and so is what is not
    finite.
    """
    if not log.is_file():
        raise MissingResource(f"{log} does not exist: a training run writes it as it goes")
    lines = read_log(log)
    losses = _curves([line for line in lines if "loss" in line], dots=False)
    others = _curves([line for line in lines if "loss" not in line], dots=True)
    if not losses and not others:
        raise BadData(f"{log} holds no number to draw")
    measures = [curve for curve in others if _is_measure(curve.name)]
    rest = [curve for curve in others if curve not in measures]
    also = [curve for curve in rest if curve.name.startswith("held-out") or max(curve.values) > 1]
    return Curves(
        losses=[*_without(losses, "loss"), *also],
        held_out=[curve for curve in rest if curve not in also],
        measures=_without(measures, "mean"),
        steps=int(lines[-1]["step"]),
        seconds=float(lines[-1]["seconds"]),
    )


def _curves(lines: list[dict[str, Any]], *, dots: bool) -> list[Curve]:
    found: dict[str, Curve] = {}
    for line in lines:
        for name, value in line.items():
            if name not in {"step", "seconds"} and math.isfinite(value):
                curve = found.setdefault(name, Curve(name, [], [], dots))
                curve.steps.append(line["step"])
                curve.values.append(value)
    return list(found.values())


def _is_measure(name: str) -> bool:
    return name == "mean" or any(letter.isupper() for letter in name.rsplit(maxsplit=1)[-1])


def _without(curves: list[Curve], summary: str) -> list[Curve]:
    """All, but the sum or mean of one other curve, which is that curve again."""
    return curves if len(curves) != 2 else [curve for curve in curves if curve.name != summary]


def _figure(curves: Curves) -> Any:
    from matplotlib.figure import Figure

    panels = [
        ("loss", curves.losses, _LOSSES),
        ("held out", curves.held_out, _MEASURES),
        ("measure", curves.measures, _MEASURES),
    ]
    panels = [
        (title, shown, max(least, APART * (len(shown) + 2)))  # room for their names
        for title, shown, least in panels
        if shown
    ]
    heights = [height for _, _, height in panels]
    figure = Figure(figsize=(_WIDTH, _MARGIN + sum(heights)), layout="constrained")
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axis, (title, shown, height) in zip(axes, panels, strict=True):
        axis.set_xlim(0, curves.steps)
        draw_panel(axis, title, shown, height)
    axes[-1].set_xlabel(f"step ({curves.steps:,} in {duration(curves.seconds)})")
    figure.align_ylabels()
    axes[-1].xaxis.set_major_formatter(lambda step, _place: f"{step:,.0f}")
    return figure


def duration(seconds: float) -> str:
    """In the unit that suits: "45 s", "12 min", "7.6 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
