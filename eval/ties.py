"""Equal scores are put in one order before any measure sees a run, so that all tools agree.

trec_eval and the MS MARCO script break ties in opposite directions, and ir_measures hands some
measures to one and some to the other: on a run with ties, nDCG@10 and RR@10 would look at two
different rankings.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..core.errors import BadArguments, BadData

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.records import RunScores

RULES = {
    "trec": "equal scores by passage id descending, as trec_eval",
    "msmarco": "equal scores by passage id ascending, as the MS MARCO script",
    "error": "equal scores are refused",
}
"""Name -> meaning. Ids are compared as text (by code point, which is UTF-8's byte order)."""


def settle_ties(run: RunScores, rule: str = "trec") -> dict[str, dict[str, float]]:
    """The same candidates, best first, with strictly falling scores: n, n-1, ... 1.

    Scores are compared as the float64 they are; trec_eval itself rounds them to float32 first.
    Raises BadData with rule "error" when a query has equal scores; BadArguments.
    """
    if rule not in RULES:
        raise BadArguments(f"no tie rule is called {rule!r}; known: {', '.join(RULES)}")
    if rule == "error":
        _refuse_ties(run)
    settled = {}
    for query, scores in run.items():
        order = _order(scores, rule)
        settled[query] = {id_: float(len(order) - place) for place, id_ in enumerate(order)}
    return settled


def tied(scores: Mapping[str, float]) -> int:
    """How many candidates share their score with another."""
    counts = Counter(scores.values())
    if len(counts) == len(scores):
        return 0
    return sum(count for count in counts.values() if count > 1)


def _order(scores: Mapping[str, float], rule: str) -> list[str]:
    ids = sorted(scores, reverse=rule == "trec")
    return sorted(ids, key=scores.__getitem__, reverse=True)  # a stable sort keeps the ids' order


def _refuse_ties(run: RunScores) -> None:
    found = {query: count for query, scores in run.items() if (count := tied(scores))}
    if not found:
        return
    query, count = next(iter(sorted(found.items())))
    raise BadData(
        f"query {query!r} has {count} candidates that share their score with another, and "
        f"{len(found)} of {len(run)} queries have such ties; expected none with --ties error: "
        f"write scores with more digits, or choose --ties trec or msmarco"
    )
