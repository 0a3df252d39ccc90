"""Who passes a stage by: gaps set by hand, nested in the threshold, the extremes as they must."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.records import Passage, Query, Ranking
from tamis.pipeline.early_exit import MARGINS, EarlyExit, gaps
from tamis.pipeline.search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.protocols import Candidates

NAN = math.nan


class Table:
    has_texts = True

    def passages(self, rows: np.ndarray) -> list[Passage]:
        return [Passage(f"p{row}", f"text {row}") for row in rows]

    def ids(self, rows: np.ndarray) -> list[str]:
        return [f"p{row}" for row in rows]


TABLE = Table()


@dataclass
class Drawn:
    """Rows 0 to 19 with scores that a query's text seeds."""

    name: str
    k: int = 20
    passages: Table = field(default_factory=lambda: TABLE)

    def retrieve(self, queries: Sequence[Query], clock: object) -> list[Ranking]:
        del clock
        found = []
        for query in queries:
            rng = np.random.default_rng([len(self.name), *query.text.encode()])
            scores = np.sort(rng.gamma(1.0, size=self.k).astype(np.float32))[::-1]
            found.append(Ranking(query, rng.permutation(self.k).astype(np.int64), scores))
        return found


@dataclass
class Judge:
    """Scores by row alone; counts pairs."""

    name: str = "judge"
    keep: int = 20
    pairs: int = 0

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.pairs += sum(len(each.passages) for each in batch)
        return [np.sin(each.ranking.rows * 7.0).astype(np.float32) for each in batch]


QUERIES = [Query(str(n), f"query {n}") for n in range(12)]


def search(*exits: EarlyExit | None, judges: Sequence[Judge] | None = None) -> Search:
    judges = judges or [Judge()]
    both = {"dense": Drawn("dense"), "lexical": Drawn("lexical")}
    return Search(**both, rerank=judges, exits=exits)  # type: ignore[arg-type]


def ranking(scores: list[float], **stages: list[float]) -> Ranking:
    told = {name: np.array(values, np.float32) for name, values in stages.items()}
    rows = np.arange(len(scores), dtype=np.int64)
    return Ranking(QUERIES[0], rows, np.array(scores, np.float32), told)


def test_gaps_set_by_hand() -> None:
    given = ranking([3, 2, 1], dense=[0.9, 0.5, NAN], lexical=[4, 8, 6])
    assert gaps("scaled", given).tolist() == [0, 0.5, 1]
    assert gaps("raw", given).tolist() == [0, 1, 2]
    # dense: 0, 1, 1 (not found); lexical: 1, 0, .5; the means .5, .5, .75 less the best's
    assert gaps("first-stages", given) == pytest.approx([0, 0, 0.25])
    assert gaps("first-stages", ranking([3, 2, 1])).tolist() == [0, 0.5, 1]
    assert gaps("scaled", ranking([2, 2])).tolist() == [0, 0]
    assert gaps("raw", ranking([])).tolist() == []


def test_a_settled_top_leaves_nobody_to_score() -> None:
    rule = EarlyExit(0.3, "raw")
    assert rule.scored(ranking([5, 4.8, 4.6])).tolist() == [True, True, False]
    assert rule.scored(ranking([5, 4, 4])).tolist() == [False, False, False]
    assert rule.scored(ranking([5])).tolist() == [True]


@pytest.mark.parametrize("margin", MARGINS)
@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=12),
    found=st.lists(st.booleans(), min_size=12, max_size=12),
    thresholds=st.tuples(st.floats(-0.1, 1.2), st.floats(-0.1, 1.2)),
)
def test_a_higher_threshold_scores_the_same_and_more(
    margin: str, scores: list[float], found: list[bool], thresholds: tuple[float, float]
) -> None:
    stage = [s if f else NAN for s, f in zip(scores[::-1], found, strict=False)]
    given = ranking(sorted(scores, reverse=True), dense=stage)
    narrow, wide = (EarlyExit(each, margin).scored(given) for each in sorted(thresholds))
    assert (wide >= narrow).all()
    gap = gaps(margin, given)
    assert gap.min() == 0
    assert np.isfinite(gap).all()


@pytest.mark.parametrize("margin", MARGINS)
def test_never_leaving_is_as_without_a_rule(margin: str) -> None:
    plain = search().run(QUERIES)
    for threshold in (math.inf, 1e9):
        ruled = search(EarlyExit(threshold, margin)).run(QUERIES)
        for one, other in zip(plain, ruled, strict=True):
            np.testing.assert_array_equal(one.rows, other.rows)
            np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("margin", MARGINS)
def test_always_leaving_is_as_without_the_stage(margin: str) -> None:
    judge = Judge(keep=7)
    ruled = search(EarlyExit(-1.0, margin), judges=[judge]).run(QUERIES)
    for one, other in zip(_without().run(QUERIES), ruled, strict=True):
        np.testing.assert_array_equal(one.rows[:7], other.rows)
        np.testing.assert_array_equal(one.scores[:7], other.scores)
        assert np.isnan(other.stages["judge"]).all()
    assert judge.pairs == 0


def _without() -> Search:
    return Search(dense=Drawn("dense"), lexical=Drawn("lexical"))  # type: ignore[arg-type]


def test_who_is_not_scored_stays_behind_in_the_order_so_far() -> None:
    rule, judge = EarlyExit(0.25), Judge()
    before = {r.query.id: r.top(20) for r in _without().run(QUERIES)}
    run = search(rule, judges=[judge]).run(QUERIES)
    shares = []
    for after in run:
        head = before[after.query.id]
        inside = rule.scored(head)
        shares.append(inside.mean())
        n = int(inside.sum())
        assert sorted(after.rows[:n]) == sorted(head.rows[inside])
        assert after.rows[n:].tolist() == head.rows[~inside].tolist()
        assert (np.diff(after.scores[n:]) < 0).all()
        assert (np.diff(after.scores) <= 0).all()
        assert n == 0 or len(after) == n or after.scores[n] < after.scores[n - 1]
        np.testing.assert_array_equal(np.isnan(after.stages["judge"]), np.arange(len(after)) >= n)
        places = {row: place for place, row in enumerate(head.rows.tolist())}
        moved = [places[row] for row in after.rows.tolist()]
        np.testing.assert_array_equal(after.stages["dense"], head.stages["dense"][moved])
    assert 0 < np.mean(shares) < 1, "a rule that takes all or nothing tests nothing"
    assert (
        run.times["judge"].passages.sum()
        == judge.pairs
        == sum(int(rule.scored(head).sum()) for head in before.values())
    )


def test_fewer_pairs_at_a_lower_threshold() -> None:
    pairs = []
    for threshold in (-1.0, 0.1, 0.2, 0.4, 0.8, math.inf):
        judge = Judge()
        search(EarlyExit(threshold), judges=[judge]).run(QUERIES)
        pairs.append(judge.pairs)
    assert pairs == sorted(pairs)
    assert pairs[0] == 0 < pairs[2] < pairs[-1] == 20 * len(QUERIES)


def test_an_exit_for_every_stage() -> None:
    first, second = Judge("first"), Judge("second", keep=10)
    run = search(None, EarlyExit(-1.0, "scaled"), judges=[first, second]).run(QUERIES)
    assert (first.pairs, second.pairs) == (20 * len(QUERIES), 0)
    assert all(len(each) == 10 for each in run)
    assert run.times["second"].ran.sum() == 0
    with pytest.raises(BadArguments, match="1 exits for 2 rerankers"):
        search(EarlyExit(1.0), judges=[first, second])


def test_one_reranker_twice_has_two_names() -> None:
    run = search(judges=[Judge(), Judge(keep=10)]).run(QUERIES[:2])
    assert {"judge", "judge (2)"} <= set(run.times)
    assert {"judge", "judge (2)"} <= set(run.rankings[0].stages)
