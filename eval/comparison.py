"""Several runs on the same judgments: intervals, and tests against a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadArguments, BadData
from .evaluate import Evaluation, evaluate
from .intervals import Interval, bootstrap_intervals
from .measures import DEFAULT_MEASURES
from .presenting import as_json, as_table
from .significance import PairedTest, holm, paired_tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.table import Table

    from ..core.records import Judgments, RunScores
    from .measures import Measure


@dataclass(frozen=True, slots=True)
class Comparison:
    """What several runs are worth; all is keyed by run, then by measure.

    ``tests`` and ``p_holm`` hold every run but the baseline, and the measures that are averaged;
    one Holm family of randomisation tests spans them all. ``judged_by`` says where the judgments
    came from. ``warnings`` are sentences for people.
    """

    evaluations: Mapping[str, Evaluation]
    intervals: Mapping[str, Mapping[str, Interval]]
    tests: Mapping[str, Mapping[str, PairedTest]]
    p_holm: Mapping[str, Mapping[str, float]]
    baseline: str | None
    seed: int
    warnings: tuple[str, ...]
    judged_by: str = ""

    @property
    def queries(self) -> tuple[str, ...]:
        """The judged queries, the same for every run."""
        return next(iter(self.evaluations.values())).queries

    @property
    def ties(self) -> str:
        return next(iter(self.evaluations.values())).ties

    def to_json(self) -> dict[str, Any]:
        return as_json(self)

    def table(self) -> Table:
        return as_table(self)

    def per_query(self) -> Iterator[tuple[str, str, str, float]]:
        """(run, query, measure, value), all of a run together, queries sorted as text."""
        for name, evaluation in self.evaluations.items():
            for place, query in enumerate(evaluation.queries):
                for measure, values in evaluation.values.items():
                    yield name, query, measure, float(values[place])


def evaluate_runs(
    runs: Mapping[str, RunScores],
    judgments: Judgments,
    measures: Sequence[str | Measure] = DEFAULT_MEASURES,
    *,
    ties: str = "trec",
    baseline: str | None = None,
    ignore_identical_ids: bool = False,
    seed: int = 0,
) -> Comparison:
    """Runs in memory, by name. Raises what ``evaluate`` raises, naming the run; BadArguments."""
    evaluations = {
        name: evaluate_named(name, run, judgments, measures, ties, ignore_identical_ids)
        for name, run in runs.items()
    }
    return compare(evaluations, baseline=baseline, seed=seed)


def evaluate_named(
    name: str,
    run: RunScores,
    judgments: Judgments,
    measures: Sequence[str | Measure],
    ties: str,
    ignore_identical_ids: bool,
) -> Evaluation:
    """``evaluate`` whose complaints about data name the run."""
    try:
        return evaluate(
            run, judgments, measures, ties=ties, ignore_identical_ids=ignore_identical_ids
        )
    except BadData as wrong:
        raise type(wrong)(f"{name}: {wrong}") from wrong


def compare(
    evaluations: Mapping[str, Evaluation],
    *,
    baseline: str | None = None,
    seed: int = 0,
    judged_by: str = "",
    warnings: Sequence[str] = (),
) -> Comparison:
    """Evaluations on the same judgments with the same measures, side by side.

    ``warnings`` come first. BadArguments when there is no run or the baseline is not one of them.
    """
    if not evaluations:
        raise BadArguments("no run is given; expected at least one")
    if baseline is not None and baseline not in evaluations:
        raise unknown_baseline(baseline, evaluations)
    intervals = _intervals(evaluations, seed)
    tests = _tests(evaluations, baseline, seed)
    return Comparison(
        evaluations=evaluations,
        intervals=intervals,
        tests=tests,
        p_holm=_adjusted(tests),
        baseline=baseline,
        seed=seed,
        warnings=(*warnings, *_warnings(evaluations, intervals)),
        judged_by=judged_by,
    )


def unknown_baseline(baseline: str, names: Iterable[str]) -> BadArguments:
    return BadArguments(
        f"the baseline {baseline!r} is neither a run's name nor a file; runs: {', '.join(names)}"
    )


def _intervals(evaluations: Mapping[str, Evaluation], seed: int) -> dict[str, dict[str, Interval]]:
    """All runs and measures at once, so that the resamples are drawn once."""
    keys = [(name, measure) for name, each in evaluations.items() for measure in each.values]
    rows = np.stack([evaluations[name].values[measure] for name, measure in keys])
    found: dict[str, dict[str, Interval]] = {name: {} for name in evaluations}
    for (name, measure), interval in zip(keys, bootstrap_intervals(rows, seed=seed), strict=True):
        summed = measure in evaluations[name].totals
        found[name][measure] = Interval(None, None, "a total, not a mean") if summed else interval
    return found


def _tests(
    evaluations: Mapping[str, Evaluation], baseline: str | None, seed: int
) -> dict[str, dict[str, PairedTest]]:
    if baseline is None:
        return {}
    base = evaluations[baseline]
    averaged = [measure for measure in base.values if measure not in base.totals]
    others = [name for name in evaluations if name != baseline]
    keys = [(name, measure) for name in others for measure in averaged]
    found: dict[str, dict[str, PairedTest]] = {name: {} for name in others}
    if not keys:
        return found
    systems = np.stack([evaluations[name].values[measure] for name, measure in keys])
    bases = np.stack([base.values[measure] for _, measure in keys])
    for (name, measure), test in zip(keys, paired_tests(systems, bases, seed=seed), strict=True):
        found[name][measure] = test
    return found


def _adjusted(tests: Mapping[str, Mapping[str, PairedTest]]) -> dict[str, dict[str, float]]:
    keys = [(name, measure) for name, each in tests.items() for measure in each]
    family = holm([tests[name][measure].p_randomisation for name, measure in keys])
    found: dict[str, dict[str, float]] = {name: {} for name in tests}
    for (name, measure), p in zip(keys, family, strict=True):
        found[name][measure] = p
    return found


def _warnings(
    evaluations: Mapping[str, Evaluation], intervals: Mapping[str, Mapping[str, Interval]]
) -> list[str]:
    """Each warning once, led by the names of its runs unless it holds for all of them."""
    runs: dict[str, list[str]] = {}
    for name, evaluation in evaluations.items():
        without = [
            f"{measure} has no interval: {interval.reason}"
            for measure, interval in intervals[name].items()
            if interval.reason and measure not in evaluation.totals
        ]
        for warning in (*evaluation.warnings, *without):
            runs.setdefault(warning, []).append(name)
    return [
        warning if len(names) == len(evaluations) else f"{', '.join(names)}: {warning}"
        for warning, names in runs.items()
    ]
