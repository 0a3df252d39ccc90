"""The same values from ir_measures asked directly, and from a second implementation."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, nDCG

from tamis.eval.evaluate import evaluate

IDS = ["1", "2", "9", "10", "11", "100", "A", "a", "b", "é", "日", "z-1"]
QUERIES = ["1", "2", "10", "q"]
ANCHOR = {"anchor": {"1": 2.0, "2": 1.0}}  # one query without ties: no run is a constant scorer


@st.composite
def runs(draw: st.DrawFn) -> dict[str, dict[str, float]]:
    """Few distinct scores, so ties are many; each is exact in float32, as trec_eval keeps them."""
    scores = st.dictionaries(st.sampled_from(IDS), st.integers(-2, 2).map(lambda n: n / 4))
    return {**draw(st.dictionaries(st.sampled_from(QUERIES), scores)), **ANCHOR}


@st.composite
def judgments(draw: st.DrawFn) -> dict[str, dict[str, int]]:
    grades = st.dictionaries(st.sampled_from(IDS), st.integers(0, 3), min_size=1)
    found = draw(st.dictionaries(st.sampled_from(QUERIES), grades, min_size=1))
    return {**found, "anchor": {"1": 0, "2": 2, "b": 1}}


def ranking(scores: dict[str, float], ties: str) -> list[str]:
    """Best first: ids to places by NumPy's sort, then a sort by score and place."""
    ids = np.array(sorted(scores), dtype=object)
    place = np.arange(len(ids)) * (-1 if ties == "trec" else 1)
    return [str(i) for i in ids[np.lexsort((place, [-scores[str(i)] for i in ids]))]]


def ndcg_at_10(order: list[str], grades: dict[str, int]) -> float:
    gains = np.array([grades.get(passage, 0) for passage in order[:10]], dtype=float)
    ideal = np.sort(np.array(list(grades.values()), dtype=float))[::-1][:10]
    discount = 1 / np.log2(np.arange(2, 12))
    best = float(ideal @ discount[: len(ideal)])
    return float(gains @ discount[: len(gains)]) / best if best else 0.0


def rr_at_10(order: list[str], grades: dict[str, int]) -> float:
    hits = np.flatnonzero([grades.get(passage, 0) >= 1 for passage in order[:10]])
    return 1 / (hits[0] + 1) if len(hits) else 0.0


@pytest.mark.parametrize("ties", ["trec", "msmarco"])
@given(run=runs(), judged=judgments())
@settings(max_examples=150, deadline=None)
def test_a_second_implementation(
    ties: str, run: dict[str, dict[str, float]], judged: dict[str, dict[str, int]]
) -> None:
    found = evaluate(run, judged, ["nDCG@10", "RR@10"], ties=ties)
    for place, query in enumerate(found.queries):
        order = ranking(run.get(query, {}), ties)
        assert abs(found.values["nDCG@10"][place] - ndcg_at_10(order, judged[query])) < 1e-9
        assert abs(found.values["RR@10"][place] - rr_at_10(order, judged[query])) < 1e-9


@given(run=runs(), judged=judgments())
@settings(max_examples=100, deadline=None)
def test_trec_eval_itself_breaks_ties_as_our_trec_rule(
    run: dict[str, dict[str, float]], judged: dict[str, dict[str, int]]
) -> None:
    measures = [nDCG @ 10, nDCG @ 3, AP, AP(rel=2), RR, P @ 3, R(rel=2) @ 4]
    agrees(ir_measures.pytrec_eval, measures, run, judged, "trec")


@given(run=runs(), judged=judgments())
@settings(max_examples=100, deadline=None)
def test_the_ms_marco_script_breaks_ties_as_our_msmarco_rule(
    run: dict[str, dict[str, float]], judged: dict[str, dict[str, int]]
) -> None:
    agrees(ir_measures.msmarco, [RR @ 10, RR(rel=2) @ 3], run, judged, "msmarco")


def agrees(
    provider: ir_measures.Provider,
    measures: list[ir_measures.Measure],
    run: dict[str, dict[str, float]],
    judged: dict[str, dict[str, int]],
    ties: str,
) -> None:
    """Per query, and their own mean."""
    ours = evaluate(run, judged, measures, ties=ties)
    theirs, per_query = provider.calc(measures, judged, run)
    for measure in measures:
        assert abs(ours.value(str(measure)) - theirs[measure]) < 1e-9
    for metric in per_query:
        if metric.query_id in judged:
            place = ours.queries.index(metric.query_id)
            assert abs(ours.values[str(metric.measure)][place] - metric.value) < 1e-9
