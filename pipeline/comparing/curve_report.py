"""A pruning curve on paper: report.json for programs, report.md for people, the figure."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.durable import replacing
from ...core.errors import MissingDependency
from ...eval.pruning_curve import verdicts
from ...eval.pruning_figure import CostPanel, PruningFigure, write_pruning_figure
from .curve_tables import lines_of
from .machine import machine
from .pipelines import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...eval.pruning_curve import Curve, Estimate, Point, Verdict
    from .prune_curve import PruneCurve

log = logging.getLogger(__name__)

FIGURES = ("figure.svg", "figure.pdf")


def write_report(found: PruneCurve, folder: str | Path, *, command: str = "") -> list[Path]:
    """Write REPORT's files, each whole or not there; those that were written.

    ``command`` is what somebody would type to get the same. Without matplotlib there is no figure,
    and one line says how to have it.
    """
    home = Path(folder)
    body = as_json(found, command)
    with replacing(home / "report.json") as out:
        json.dump(body, out, indent=1, ensure_ascii=False)
        out.write("\n")
    written = [home / "report.json", home / "report.md"]
    drawing = figure_of(found)
    figures = []
    try:
        for name in FIGURES:
            write_pruning_figure(drawing, home / name)
            figures.append(home / name)
    except MissingDependency as missing:
        log.warning("no figure: %s", missing)
    with replacing(home / "report.md") as out:
        out.write("\n".join(lines_of(found, body["made_with"], figure=bool(figures))) + "\n")
    return [*written, *figures]


def as_json(found: PruneCurve, command: str = "") -> dict[str, Any]:
    """All of it as JSON values; differences and margins are absolute, in the measure's unit."""
    collection, settings = found.collection, found.settings
    return {
        "report": "prune curve",
        "collection": {
            "corpus": collection.source,
            "passages": len(collection),
            "judgments": collection.judged_by,
            "queries": len(collection.queries),
            "warnings": list(collection.warnings),
        },
        "encoders": dict(found.encoders),
        "rerankers": list(found.rerankers),
        "pipelines": list(found.pipelines),
        "qualities": list(found.qualities),
        "measures": list(settings.measures),
        "shares": list(settings.shares),
        "test": {"margin": settings.margin, "alpha": settings.alpha},
        "summary": [_verdict(v) for v in verdicts(found.curves, settings.measures[0])],
        "areas": asdict(found.areas) | {"base_rate": found.areas.base_rate},
        "curves": [_curve(curve) for curve in found.curves],
        "tokens_pruned": {name: list(each) for name, each in found.tokens_pruned.items()},
        "costs": {
            "quality": found.costs_of,
            "query_encoding_milliseconds": found.query_milliseconds,
            "rerank_milliseconds": dict(found.rerank_milliseconds),
            "encoding_timed_on_passages": found.timed_passages,
            "points": [asdict(cost) for cost in found.costs],
        },
        "made_with": {
            "command": command,
            "hardware": machine(),
            "versions": {name: version(name) for name in ("tamis", "numpy", "bm25s")},
        },
    }


def figure_of(found: PruneCurve) -> PruningFigure:
    return PruningFigure(
        curves=found.curves,
        titles={pipeline: TITLES[pipeline] for pipeline in found.pipelines},
        measures=found.settings.measures,
        margin=found.settings.margin,
        costs=_panels(found),
    )


def _panels(found: PruneCurve) -> list[CostPanel]:
    """What the costs of the first quality are, from unpruned on."""
    shares = [cost.share for cost in found.costs]

    def lines(name: str, scale: float) -> dict[str, list[float]]:
        parts = dict.fromkeys(part for cost in found.costs for part in getattr(cost, name))
        return {
            part: [scale * getattr(cost, name).get(part, 0.0) for cost in found.costs]
            for part in parts
        }

    seconds = {part: each for part, each in lines("seconds", 1).items() if any(each)}
    asked = {TITLES[name]: each for name, each in lines("milliseconds", 1).items()}
    along = f"passages pruned ({found.costs_of})"
    return [
        CostPanel("index", "MB", shares, lines("bytes", 1e-6), along, stacked=True),
        CostPanel("build", "seconds", shares, seconds, along, stacked=True),
        CostPanel("search, query encoded", "ms a query", shares, asked, along),
    ]


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "quality": curve.quality,
        "kind": curve.kind,
        "sees_the_judgments": curve.kind == "oracle",
        "seed": curve.seed,
        "pipeline": curve.pipeline,
        "unpruned": dict(curve.unpruned),
        "points": [_point(point) for point in curve.points],
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "share": point.share,
        "kept": point.kept,
        "measures": {name: _estimate(each) for name, each in point.estimates.items()},
    }


def _estimate(each: Estimate) -> dict[str, Any]:
    return {"value": each.value, "low": each.low, "high": each.high, "test": each.test.to_json()}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    told: Mapping[str, Any] = {
        "quality": verdict.quality,
        "kind": verdict.kind,
        "pipeline": verdict.pipeline,
        "claim": verdict.claim,
        "share": verdict.share,
        "values": dict(verdict.values),
        "relative": dict(verdict.relative),
        "seeds": list(verdict.seeds),
    }
    return {
        **told,
        "largest": None if verdict.largest is None else _point(verdict.largest),
        "first_failure": None if verdict.failure is None else _point(verdict.failure),
    }
