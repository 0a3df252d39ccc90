"""Lists to learn from: a query, its candidates, their grades; and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ...core.records import Float32Array, Int64Array, Judgments, Passage, Query

    Negatives = Callable[[Sequence[Query]], Sequence[Sequence[str]]]
    """Queries to the ids of their candidates, best first: what the first stage finds."""


@dataclass(frozen=True, slots=True)
class GradedList:
    """One query's candidates, in the order of their ids, and what each is worth.

    grades [n] int64, 0 where nobody judged; ``teacher`` [n] float32, another ranker's scores,
    where there is one.
    """

    query: Query
    passages: tuple[Passage, ...]
    grades: Int64Array
    teacher: Float32Array | None = None


def judged_candidates(judgments: Judgments) -> Negatives:
    """The passages that were judged, as candidates."""
    return lambda queries: [list(judgments[query.id]) for query in queries]


def graded_lists(
    queries: Sequence[Query],
    judgments: Judgments,
    candidates: Negatives,
    passages: Mapping[str, Passage],
    *,
    depth: int = 0,
    add_relevant: bool = True,
) -> list[GradedList]:
    """The candidates of every query that has one of two grades at least, so that it can teach.

    ``depth`` cuts what ``candidates`` gives (0: nothing). ``add_relevant``: relevant passages that
    the first stage did not find join the list, as training wants them; a list to measure by must
    not have them. Candidates that are not among ``passages`` are left out, their number is small
    where judgments and corpus belong together. BadData when no list is left.
    """
    asked = [query for query in queries if any(g > 0 for g in judgments.get(query.id, {}).values())]
    lists = []
    for query, found in zip(asked, candidates(asked), strict=True):
        grades = judgments[query.id]
        ids = set(found[:depth] if depth else found)
        if add_relevant:
            ids |= {passage for passage, grade in grades.items() if grade > 0}
        known = sorted(ids & passages.keys())
        worth = np.array([max(grades.get(passage, 0), 0) for passage in known], np.int64)
        if not add_relevant or len(set(worth.tolist())) > 1:
            lists.append(GradedList(query, tuple(passages[each] for each in known), worth))
    if not any(len(each.passages) for each in lists):
        raise BadData(
            f"of {len(queries)} queries none has candidates of different grades; give more "
            f"judgments, or deeper candidates"
        )
    return lists


def epoch_batches(sizes: Int64Array, budget: int, seed: int, epoch: int) -> Iterator[Int64Array]:
    """Lists of an epoch, shuffled, [lists of the batch] rows at a time, as many batches as
    ``batches_per_epoch`` says: each holds about ``budget`` word pieces, one list at least."""
    order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
    number = batches_per_epoch(sizes, budget)
    ends = np.cumsum(sizes[order])
    # the batch in which a list's middle lies, moved where one would be left without a list
    place = ((ends - sizes[order] / 2) * number / ends[-1]).astype(np.int64)
    later = np.arange(1, number)
    starts = np.maximum(np.searchsorted(place, later), later)
    starts = np.maximum.accumulate(starts - later) + later
    yield from np.split(order, np.minimum(starts, len(order) - number + later))


def batches_per_epoch(sizes: Int64Array, budget: int) -> int:
    """One at least, no more than there are lists."""
    return int(min(len(sizes), max(1, -(-int(sizes.sum()) // budget))))
