"""A comparison as JSON values: what report.json holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ....eval.presenting import as_json as comparison_json
from ...cascade_file import to_toml

if TYPE_CHECKING:
    from .compared import Compared, Measured


def body_of(found: Compared) -> dict[str, Any]:
    """Differences are absolute, in the measure's unit; p values of Holm span all systems and
    measures; milliseconds, bytes and seconds as their names say."""
    told = comparison_json(found.comparison)
    by_name = {run.pop("run"): run for run in told.pop("runs")}
    spec = found.spec
    return {
        "report": "comparison",
        "title": spec.title,
        "collection": {
            "corpus": spec.collection.corpus or spec.collection.index,
            "passages": found.passages,
            "judgments": found.test.source,
            "split": found.test.name,
            "queries": len(found.test.queries),
        },
        "measures": found.measures,
        "baseline": spec.baseline,
        "intervals": told["interval"],
        "ties": told["ties"],
        "equivalence": None if spec.equivalence is None else asdict(spec.equivalence),
        "systems": [_system(each, found, by_name[each.name]) for each in found.systems],
        "frontier": found.frontier,
        "choice": None if found.choice is None else found.choice.to_json(),
        "warnings": list(found.warnings),
        "made_with": {
            "command": found.command,
            "hardware": found.machine,
            "versions": dict(found.versions),
        },
    }


def _system(system: Measured, found: Compared, told: dict[str, Any]) -> dict[str, Any]:
    cascade = system.spec.cascade
    body: dict[str, Any] = {
        "system": system.name,
        "run": system.spec.run,
        "index": None if cascade is None else system.spec.index,
        "cascade": None if cascade is None else to_toml(cascade),
        **told,
    }
    if system.name in found.equivalences:
        tests = found.equivalences[system.name]
        body["equivalence"] = {name: test.to_json() for name, test in tests.items()}
    if system.costs is not None:
        body["costs"] = asdict(system.costs)
        body["index_bytes"] = dict(system.index_bytes)
        body["model_bytes"] = dict(system.model_bytes)
    if system.name in found.examples:
        body["examples"] = [
            {**asdict(example), "delta": example.delta} for example in found.examples[system.name]
        ]
    return body
