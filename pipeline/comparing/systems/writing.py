"""A comparison on paper: report.json for programs, report.md and report.html for people."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.durable import replacing
from ....core.errors import MissingDependency
from ....eval.pareto_figure import ParetoFigure, ParetoPoint, pareto_svg, write_pareto_figure
from ...cascade_file import write_cascade
from . import words
from .body import body_of
from .markdown_report import lines_of
from .page import page_of

if TYPE_CHECKING:
    from .compared import Compared

log = logging.getLogger(__name__)

FIGURES = ("figure.svg", "figure.png")
CHOSEN = "chosen.toml"


def write_comparison(found: Compared, folder: Path | str) -> list[Path]:
    """Write REPORT's files, each whole or not there; those that were written.

    Without matplotlib there is no figure, and one line says how to have it.
    """
    home = Path(folder)
    with replacing(home / "report.json") as out:
        json.dump(body_of(found), out, indent=1, ensure_ascii=False)
        out.write("\n")
    written = [home / "report.json"]
    if found.choice is not None:
        write_cascade(found.choice.cascade, home / CHOSEN)
        written.append(home / CHOSEN)
    drawing, inline = figure_of(found), ""
    if drawing is not None:
        try:
            for name in FIGURES:
                write_pareto_figure(drawing, home / name)
                written.append(home / name)
            inline = pareto_svg(drawing)
        except MissingDependency as missing:
            log.warning("no figure: %s", missing)
    with replacing(home / "report.md") as out:
        out.write("\n".join(lines_of(found, FIGURES[0] if inline else "")) + "\n")
    with replacing(home / "report.html") as out:
        out.write(page_of(found, inline))
    return [home / "report.html", home / "report.md", *written]


def figure_of(found: Compared) -> ParetoFigure | None:
    """None where nothing was timed: a figure against milliseconds needs some."""
    first = found.measures[0]
    points, others = [], {}
    for system in found.systems:
        quality = found.comparison.evaluations[system.name].value(first)
        interval = found.comparison.intervals[system.name][first]
        if system.costs is None:
            others[system.name] = quality
            continue
        points.append(
            ParetoPoint(
                system.name,
                system.costs.p50_ms,
                quality,
                interval.low,
                interval.high,
                system.name in found.frontier,
            )
        )
    if not points:
        return None
    caption = f"{words.collection(found)}, {found.test.name}, {len(found.test.queries):,} queries"
    budget = None
    if found.choice is not None and found.choice.budget.percentile == "p50":
        budget = found.choice.budget.milliseconds
    return ParetoFigure(first, points, others, caption, budget)
