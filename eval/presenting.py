"""A comparison for programs (JSON values) and for people (a table)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .intervals import CONFIDENCE, RESAMPLES
from .ties import RULES

if TYPE_CHECKING:
    from rich.table import Table

    from .comparison import Comparison

ALPHA = 0.05
"""A difference is marked where its Holm-adjusted p value is below."""


def as_json(comparison: Comparison) -> dict[str, Any]:
    """``{"runs": [{"run", "measures": {NAME: {"value", "low", "high"}}, ...}], ...}``.

    A bound that cannot be had is None, with its "reason" beside it.
    """
    return {
        "runs": [_run_json(comparison, name) for name in comparison.evaluations],
        "queries": len(comparison.queries),
        "judgments": comparison.judged_by,
        "ties": comparison.ties,
        "interval": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": comparison.seed},
        "baseline": comparison.baseline,
        "warnings": list(comparison.warnings),
    }


def as_table(comparison: Comparison) -> Table:
    """Rows are runs, columns are measures: value [low, high], * where it differs."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        caption=Text("\n".join(_notes(comparison))),
        caption_justify="left",
        caption_style="",
    )
    table.add_column("run", no_wrap=True)
    for measure in next(iter(comparison.evaluations.values())).values:
        table.add_column(Text(measure), no_wrap=True)
    for name, evaluation in comparison.evaluations.items():
        cells = [_cell(comparison, name, measure) for measure in evaluation.values]
        table.add_row(Text(name), *map(Text, cells))
    return table


def _run_json(comparison: Comparison, name: str) -> dict[str, Any]:
    evaluation = comparison.evaluations[name]
    found: dict[str, Any] = {
        "run": name,
        "measures": {each: _measure_json(comparison, name, each) for each in evaluation.values},
        "missing": evaluation.missing,
        "unjudged": evaluation.unjudged,
        "identical_dropped": evaluation.identical,
    }
    if name in comparison.tests:
        found["tests"] = {
            measure: {
                "delta": test.delta,
                "p_randomisation": test.p_randomisation,
                "p_t": test.p_t,
                "p_holm": comparison.p_holm[name][measure],
            }
            for measure, test in comparison.tests[name].items()
        }
    return found


def _measure_json(comparison: Comparison, name: str, measure: str) -> dict[str, Any]:
    value = comparison.evaluations[name].value(measure)
    interval = comparison.intervals[name][measure]
    found: dict[str, Any] = {
        "value": value if math.isfinite(value) else None,
        "low": interval.low,
        "high": interval.high,
    }
    return {**found, "reason": interval.reason} if interval.reason else found


def _cell(comparison: Comparison, name: str, measure: str) -> str:
    evaluation, interval = comparison.evaluations[name], comparison.intervals[name][measure]
    if measure in evaluation.totals:
        return f"{evaluation.value(measure):g}"
    mark = "*" if comparison.p_holm.get(name, {}).get(measure, 1.0) < ALPHA else ""
    bounds = f"{interval.low:.3f}, {interval.high:.3f}" if not interval.reason else "none"
    return f"{evaluation.value(measure):.3f} [{bounds}]{mark}"


def _notes(comparison: Comparison) -> list[str]:
    source = f" of {comparison.judged_by}" if comparison.judged_by else ""
    notes = [
        f"{len(comparison.queries)} judged queries{source}",
        f"ties: {comparison.ties} ({RULES[comparison.ties]})",
        f"[low, high]: {CONFIDENCE:.0%} bootstrap interval over queries "
        f"({RESAMPLES:,} resamples, seed {comparison.seed})",
    ]
    if comparison.baseline is not None:
        notes.append(
            f"*: differs from {comparison.baseline} (paired randomisation test, Holm-adjusted over "
            f"all runs and measures, p < {ALPHA})"
        )
    return notes
