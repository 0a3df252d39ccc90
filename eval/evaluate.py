"""A run and judgments to one value per measure and judged query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from . import guards
from .computing import values_by_query
from .measures import parse_measure
from .ties import settle_ties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.records import Float64Array, Judgments, RunScores
    from .measures import Measure


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one run is worth: a value for every measure and judged query.

    ``queries``: all judged ones, sorted as text. ``values``: the measure's canonical name ->
    float64 [queries]. ``totals`` names the measures that are summed over queries (NumRet), not
    averaged. ``missing`` judged queries have no candidate in the run and count with 0;
    ``unjudged`` queries of the run are ignored; ``identical`` candidates were dropped for having
    the query's own id.
    """

    queries: tuple[str, ...]
    values: Mapping[str, Float64Array]
    totals: frozenset[str]
    ties: str
    missing: int
    unjudged: int
    identical: int
    warnings: tuple[str, ...]

    def value(self, measure: str) -> float:
        """The mean over all judged queries (a sum for ``totals``)."""
        values = self.values[measure]
        return float(values.sum() if measure in self.totals else values.mean())


def evaluate(
    run: RunScores,
    judgments: Judgments,
    measures: Sequence[str | Measure],
    *,
    ties: str = "trec",
    ignore_identical_ids: bool = False,
) -> Evaluation:
    """Every measure on every judged query, as trec_eval ``-c`` and ir_measures count them.

    A query counts when it has a judgment, be it of grade 0: without a relevant passage it counts
    with 0, and so does a query that the run lacks. Equal scores are ordered by the rule ``ties``
    (see ``ties.py``) before any measure is taken. ``ignore_identical_ids`` drops candidates whose
    id is the query's, as BEIR does.

    Raises BadData for scores that are not finite and for a run that gives all candidates one
    score; Mismatch when run and judgments share no query; BadArguments.
    """
    chosen = distinct(measures)
    guards.refuse_odd_grades(judgments)
    judged = {query: dict(judgments[query]) for query in sorted(judgments) if judgments[query]}
    guards.refuse_endless_scores(run)
    guards.refuse_strangers(run, judged)
    answered = {query: run[query] for query in judged if run.get(query)}
    identical = 0
    if ignore_identical_ids:
        identical = sum(query in scores for query, scores in answered.items())
        answered = {query: _without(query, scores) for query, scores in answered.items()}
    guards.refuse_constant_scorer(answered)
    found = values_by_query(chosen, judged, settle_ties(answered, ties))
    missing = len(judged) - len(answered)
    unjudged = sum(query not in judged for query in run)
    warnings = [
        *_coverage_warnings(missing, len(judged), unjudged, identical),
        *guards.judgment_warnings(judged, chosen),
        *guards.tie_warnings(answered),
    ]
    return Evaluation(
        queries=tuple(judged),
        values={
            str(measure): np.array([values[query] for query in judged], dtype=np.float64)
            for measure, values in found.items()
        },
        totals=frozenset(str(measure) for measure in chosen if _summed(measure)),
        ties=ties,
        missing=missing,
        unjudged=unjudged,
        identical=identical,
        warnings=tuple(warnings),
    )


def distinct(measures: Sequence[str | Measure]) -> list[Measure]:
    """The measures as objects, in the order given, each once under whatever name."""
    parsed = [parse_measure(each) if isinstance(each, str) else each for each in measures]
    if not parsed:
        raise BadArguments("no measure is asked for; expected at least one, such as nDCG@10")
    return list(dict.fromkeys(parsed))


def _without(query: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {passage: score for passage, score in scores.items() if passage != query}


def _summed(measure: Measure) -> bool:
    from ir_measures import SumAgg

    return isinstance(measure.aggregator(), SumAgg)


def _coverage_warnings(missing: int, judged: int, unjudged: int, identical: int) -> list[str]:
    found = []
    if missing:
        found.append(f"{missing} of {judged} judged queries are not in the run: they count with 0")
    if unjudged:
        found.append(f"{unjudged} queries of the run have no judgment and are ignored")
    if identical:
        found.append(f"{identical} candidates with the id of their query were dropped")
    return found
