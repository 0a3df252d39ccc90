"""What the command line prints of a comparison: one line a system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markdown import table
from . import words

if TYPE_CHECKING:
    from .compared import Compared


def summary(found: Compared) -> list[str]:
    """Measures, those that differ from the baseline marked, then milliseconds and memory."""
    rows = []
    for system in found.systems:
        row = [system.name]
        for measure in found.measures:
            mark = "*" if words.differs(found, system.name, measure) else ""
            row.append(words.value(found.comparison.evaluations[system.name].value(measure)) + mark)
        costs = system.costs
        row += (
            [words.NO_VALUE] * 3
            if costs is None
            else [
                words.milliseconds(costs.p50_ms),
                words.milliseconds(costs.p95_ms),
                words.size(costs.peak_bytes),
            ]
        )
        rows.append(row)
    head = ["system", *found.measures, "p50 ms", "p95 ms", "peak memory"]
    lines = table(head, rows)
    lines.append(
        f"{words.split(found)}; *: differs from {found.spec.baseline} (paired randomisation, "
        f"Holm, p < .05)"
    )
    if found.choice is not None:
        lines.append(words.choice(found))
    return lines
