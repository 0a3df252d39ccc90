"""``tamis tune-cold``: thresholds from real queries, and what they buy where those are judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ...core.errors import BadArguments, BadData
from ...core.progress import Silent
from ...core.qrels import read_qrels
from ...core.queries import read_queries
from ...eval.evaluate import evaluate
from ...eval.intervals import Interval, bootstrap_intervals
from ...eval.measures import parse_measure
from ..opening import Mode, open_index
from .signals import sureness
from .thresholds import BUDGET, fewest, rule
from .tier import best_below, remembering, without_sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.progress import Progress
    from ...core.records import Float64Array, Judgments, Query
    from ..opening import Index

MEASURE = "R@100"
DEPTH = 100


@dataclass(frozen=True, slots=True)
class Bought:
    """What one mode is worth with its new threshold; a measure's value and its 95 % interval.

    ``hot`` is the hot tier alone, ``tiered`` the search with the threshold, ``whole`` both tiers
    for every query; all None where the queries were not judged.
    """

    mode: str
    rule: dict[str, Any]
    hot: tuple[float, Interval] | None = None
    tiered: tuple[float, Interval] | None = None
    whole: tuple[float, Interval] | None = None

    @property
    def kept(self) -> float | None:
        """``tiered`` as a share of ``whole``; None where there is nothing to share."""
        if self.tiered is None or self.whole is None or self.whole[0] == 0:
            return None
        return self.tiered[0] / self.whole[0]

    def to_json(self) -> dict[str, Any]:
        """JSON values: the stored rule, and {value, low, high} of each system."""
        body: dict[str, Any] = {"mode": self.mode, **self.rule, "kept": self.kept}
        for name in ("hot", "tiered", "whole"):
            found = getattr(self, name)
            body[name] = None
            if found is not None:
                value, interval = found
                body[name] = {"value": value, "low": interval.low, "high": interval.high}
        return body


def tune_cold(
    folder: Path | str,
    queries: str,
    qrels: str | None = None,
    *,
    budget: float | None = None,
    target_recall: float | None = None,
    measure: str = MEASURE,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[Bought]:
    """Set the thresholds of an index's cold tier on these queries, for every mode it answers in.

    ``budget`` is the largest share of the queries that may go cold (0.3 where nothing is said, 1
    beside a target). ``target_recall`` needs judgments: of the thresholds within the budget the one
    that sends fewest queries there while the mean of ``measure`` is at least that share of the
    whole collection's; the whole budget where none does. Judged queries without a relevant passage
    say nothing and are left out. The manifest is rewritten, whole or not at all. Never tune on the
    queries that are reported. Raises BadArguments, BadData, MissingResource.
    """
    index = open_index(folder, device=device)
    manifest = index.folder.manifest
    if manifest is None or manifest.cold is None:
        raise BadArguments(f"{folder} has no cold tier: build it with --keep and --cold")
    if index.folder.sketch is None:
        raise BadArguments(without_sketch(index.folder.path))
    if target_recall is not None and qrels is None:
        raise BadArguments("a target needs judgments: name --qrels, or give --budget alone")
    share = budget if budget is not None else (BUDGET if target_recall is None else 1.0)
    if not 0 <= share <= 1:
        raise BadArguments(f"the budget is {share}; it is a share of queries, from 0 to 1")
    parse_measure(measure)
    judged = None if qrels is None else read_qrels(qrels).judgments
    asked = _asked(read_queries(queries), judged, queries)
    source = f"{_last(queries)} by {_last(qrels)}" if qrels is not None else _last(queries)
    watched = progress or Silent()
    tuned = [
        _tuned(index, mode, asked, judged, share, target_recall, measure, source, watched)
        for mode in get_args(Mode)
        if manifest.lexical is not None or mode == "dense"
    ]
    thresholds = {bought.mode: bought.rule for bought in tuned}
    replace(manifest, cold={**manifest.cold, "thresholds": thresholds}).write(index.folder.path)
    return tuned


def _asked(queries: Sequence[Query], judged: Judgments | None, source: str) -> list[Query]:
    """The queries that can tell something."""
    if judged is not None:
        telling = {id_ for id_, own in judged.items() if any(grade > 0 for grade in own.values())}
        queries = [query for query in queries if query.id in telling]
    if not queries:
        told = "no query" if judged is None else "no query with a relevant passage"
        raise BadData(f"{source} holds {told}: nothing can be learned from it")
    return list(queries)


def _tuned(
    index: Index,
    mode: Mode,
    queries: list[Query],
    judged: Judgments | None,
    share: float,
    target: float | None,
    measure: str,
    source: str,
    progress: Progress,
) -> Bought:
    most = int(share * len(queries))
    with progress.stage(f"tune {mode}", len(queries)) as advance:
        stages = remembering(
            [
                *([index.dense(1)] if mode != "lexical" else []),
                *([index.lexical(1)] if mode != "dense" else []),
            ]
        )
        found = {stage.name: stage.retrieve(queries) for stage in stages}
        assert index.folder.sketch is not None, "tune_cold asks"
        sure = sureness(found, best_below(index.folder.sketch, stages, queries))
        if judged is None:
            advance(len(queries))
            return Bought(mode, rule(mode, sure, most, source))
        hot = _values(index, mode, "never", queries, judged, measure)
        whole = _values(index, mode, "always", queries, judged, measure)
        advance(len(queries))
    if target is not None:
        most = fewest(sure, hot, whole, target, most)
    chosen = rule(mode, sure, most, source)
    unsure = np.zeros(len(sure), np.bool_)
    if chosen["threshold"] is not None:
        unsure = sure <= chosen["threshold"]
    values = np.stack([hot, np.where(unsure, whole, hot), whole])
    means = [float(mean) for mean in values.mean(axis=1)]
    bounds = bootstrap_intervals(values)
    return Bought(mode, chosen, *zip(means, bounds, strict=True))


def _values(
    index: Index, mode: Mode, when: Any, queries: list[Query], judged: Judgments, measure: str
) -> Float64Array:
    """[queries]: the measure of each, in the order of the queries."""
    run = index.searcher(DEPTH, mode=mode, cold=when).run(queries)
    asked = {query.id: judged[query.id] for query in queries}
    found = evaluate(run.scores(), asked, [measure])
    by_id = dict(zip(found.queries, next(iter(found.values.values())).tolist(), strict=True))
    return np.array([by_id[query.id] for query in queries])


def _last(source: str) -> str:
    """The last part of a path; bytes that are no UTF-8 become question marks."""
    return Path(source).name.encode("utf-8", "replace").decode("utf-8")
