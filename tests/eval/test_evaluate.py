"""Measures worked by hand, what counts, and what is refused."""

from __future__ import annotations

import math
import random
import shutil

import ir_measures
import pytest

from tamis.core.errors import BadArguments, BadData, Mismatch, MissingDependency
from tamis.eval.evaluate import evaluate

GRADES = {"q": {"a": 3, "b": 1, "c": 0, "d": 2}}
# a, b and d share a score; inserted so that neither rule's order is the order of insertion
RUN = {"q": {"c": 1.0, "b": 4.0, "d": 4.0, "a": 4.0, "x": 5.0}}
IDEAL = 3 + 2 / math.log2(3) + 1 / math.log2(4)
BY_HAND = {
    # order: x d b a c
    "trec": {
        "nDCG@10": (2 / math.log2(3) + 1 / math.log2(4) + 3 / math.log2(5)) / IDEAL,
        "nDCG@2": (2 / math.log2(3)) / (3 + 2 / math.log2(3)),
        "RR@10": 1 / 2,
        "RR(rel=3)@10": 1 / 4,
        "RR(rel=3)@3": 0,
        "RR(rel=3)": 1 / 4,
        "AP": (1 / 2 + 2 / 3 + 3 / 4) / 3,
        "AP(rel=2)": (1 / 2 + 2 / 4) / 2,
        "R@3": 2 / 3,
        "R(rel=3)@3": 0,
        "P@2": 1 / 2,
        "Success(rel=3)@3": 0,
        "Judged@3": 2 / 3,
        "RBP(p=0.5,rel=3)": 0.5 * 0.5**3,
    },
    # order: x a b d c
    "msmarco": {
        "nDCG@10": (3 / math.log2(3) + 1 / math.log2(4) + 2 / math.log2(5)) / IDEAL,
        "nDCG@2": (3 / math.log2(3)) / (3 + 2 / math.log2(3)),
        "RR@10": 1 / 2,
        "RR(rel=3)@10": 1 / 2,
        "RR(rel=3)@3": 1 / 2,
        "RR(rel=3)": 1 / 2,
        "AP": (1 / 2 + 2 / 3 + 3 / 4) / 3,
        "AP(rel=2)": (1 / 2 + 2 / 4) / 2,
        "R@3": 2 / 3,
        "R(rel=3)@3": 1,
        "P@2": 1 / 2,
        "Success(rel=3)@3": 1,
        "Judged@3": 2 / 3,
        "RBP(p=0.5,rel=3)": 0.5 * 0.5,
    },
}


@pytest.mark.parametrize("ties", ["trec", "msmarco"])
def test_measures_by_hand_with_ties(ties: str) -> None:
    found = evaluate(RUN, GRADES, list(BY_HAND[ties]), ties=ties)
    assert found.ties == ties
    values = {name: found.value(name) for name in found.values}
    assert values == pytest.approx(BY_HAND[ties], abs=1e-12)


def test_error_refuses_these_ties() -> None:
    with pytest.raises(BadData, match="query 'q' has 3 candidates"):
        evaluate(RUN, GRADES, ["AP"], ties="error")


def test_all_judged_queries_count_and_no_other() -> None:
    """Missing ones, one with no candidate and one with nothing relevant count with 0."""
    judgments = {**GRADES, "absent": {"a": 1}, "empty": {"a": 1}, "barren": {"a": 0}}
    run = {**RUN, "empty": {}, "barren": {"a": 2.0, "b": 1.0}, "stranger": {"a": 1.0, "b": 0.0}}
    found = evaluate(run, judgments, ["RR@10", "AP", "nDCG@10", "Judged@10", "RBP(rel=1)"])
    assert found.queries == ("absent", "barren", "empty", "q")
    assert found.values["RR@10"].tolist() == [0, 0, 0, 0.5]
    assert found.value("RR@10") == 0.125
    for values in found.values.values():
        assert values[0] == values[2] == 0
    assert found.values["Judged@10"].tolist() == [0, 0.5, 0, 0.8]
    assert (found.missing, found.unjudged) == (2, 1)
    assert "2 of 4 judged queries are not in the run: they count with 0" in found.warnings
    assert "1 queries of the run have no judgment and are ignored" in found.warnings


def test_a_query_without_judgments_is_not_a_judged_query() -> None:
    assert evaluate(RUN, {**GRADES, "r": {}}, ["AP"]).queries == ("q",)


def test_queries_with_nothing_to_find_are_counted_per_grade() -> None:
    judgments = {**GRADES, "r": {"a": 1}, "s": {"a": 0, "b": -2}}
    warnings = evaluate(RUN, judgments, ["AP", "nDCG@10", "AP(rel=2)", "Judged@10"]).warnings
    assert warnings[1:3] == (
        "1 of 3 judged queries have no passage of grade 1 or more: they count with 0 in "
        "AP, nDCG@10",
        "2 of 3 judged queries have no passage of grade 2 or more: they count with 0 in AP(rel=2)",
    )


def test_insertion_order_changes_nothing() -> None:
    rng = random.Random(0)
    judgments = {str(q): {str(d): rng.randrange(4) for d in range(8)} for q in range(9)}
    run = {str(q): {str(d): float(rng.randrange(4)) for d in range(12)} for q in range(9)}
    measures = ["nDCG@10", "RR@10", "AP", "R@5", "Judged@3", "RBP"]
    first = evaluate(run, judgments, measures)
    again = evaluate(_shuffled(run, rng), _shuffled(judgments, rng), measures)
    for name in first.values:
        assert first.values[name].tolist() == again.values[name].tolist()
        assert first.value(name) == again.value(name)


def _shuffled(
    nested: dict[str, dict[str, float]], rng: random.Random
) -> dict[str, dict[str, float]]:
    outer = rng.sample(sorted(nested), len(nested))
    return {
        key: {k: nested[key][k] for k in rng.sample(sorted(nested[key]), len(nested[key]))}
        for key in outer
    }


def test_a_measure_named_twice_is_taken_once() -> None:
    assert list(evaluate(RUN, GRADES, ["MRR@10", "RR@10", "AP"]).values) == ["RR@10", "AP"]


def test_passages_with_the_query_id_are_dropped_on_demand_only() -> None:
    run = {"q": {"q": 9.0, "a": 1.0}, "r": {"r": 1.0}}
    judgments = {"q": {"a": 1}, "r": {"b": 1}}
    kept = evaluate(run, judgments, ["RR"])
    assert (kept.values["RR"].tolist(), kept.identical) == ([0.5, 0], 0)
    dropped = evaluate(run, judgments, ["RR", "Judged"], ignore_identical_ids=True)
    assert (dropped.values["RR"].tolist(), dropped.identical) == ([1, 0], 2)
    assert dropped.missing == 0
    assert "2 candidates with the id of their query were dropped" in dropped.warnings


@pytest.mark.parametrize("ties", ["trec", "msmarco"])
def test_a_constant_scorer_is_refused(ties: str) -> None:
    run = {"q": dict.fromkeys("abcd", 0.0), "r": dict.fromkeys("abc", 7.0), "s": {"a": 1.0}}
    judgments = {query: {"a": 1} for query in run}
    with pytest.raises(BadData, match=r"each of the 2 queries .* order would be the tie rule's"):
        evaluate(run, judgments, ["RR"], ties=ties)


def test_one_constant_query_is_told_not_refused() -> None:
    run = {"q": dict.fromkeys("abcd", 0.0), "r": {letter: ord(letter) for letter in "abcdefgh"}}
    warnings = evaluate(run, {query: {"a": 1} for query in run}, ["RR"]).warnings
    assert warnings == (
        "1 of 2 queries give all their candidates one score: their order is the tie rule's",
        "4 of 12 candidates (33%) share their score with another of their query: the tie rule "
        "decides their order",
    )


def test_single_candidates_are_no_constant_scorer() -> None:
    assert evaluate({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["RR"]).value("RR") == 1


@pytest.mark.parametrize("ties", [2, 3])
def test_ties_are_told_from_a_tenth_on(ties: int) -> None:
    scores = {str(place): float(max(place, ties - 1)) for place in range(20)}
    warnings = evaluate({"q": scores}, {"q": {"1": 1}}, ["RR"]).warnings
    assert len(warnings) == (1 if ties == 3 else 0)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_without_place_in_an_order_is_refused(score: float) -> None:
    with pytest.raises(BadData, match="query 'r' gives passage 'b' the score"):
        evaluate({**RUN, "r": {"a": 1.0, "b": score}}, GRADES, ["RR"])


@pytest.mark.parametrize("run", [{}, {"7": {"a": 1.0}}, {"q": {}}])
def test_a_run_of_other_queries_is_refused(run: dict[str, dict[str, float]]) -> None:
    with pytest.raises(Mismatch, match="none of the 1 judged"):
        evaluate(run, GRADES, ["RR"])


def test_no_judgment_no_measure() -> None:
    with pytest.raises(BadData, match="no query"):
        evaluate(RUN, {"q": {}}, ["RR"])
    with pytest.raises(BadArguments, match="no measure"):
        evaluate(RUN, GRADES, [])


def test_an_absurd_grade_is_refused_before_it_takes_the_memory() -> None:
    with pytest.raises(BadData, match="grade 999999999"):
        evaluate(RUN, {"q": {"a": 999_999_999}}, ["nDCG"])
    with pytest.raises(BadData, match="grade 21"):
        evaluate(RUN, {"q": {"a": 21}}, ["nDCG(dcg='exp-log2')@10"])


def test_counts_are_summed_not_averaged() -> None:
    judgments = {**GRADES, "r": {"a": 1}}
    found = evaluate({**RUN, "r": {"a": 2.0, "b": 1.0}}, judgments, ["NumRet", "NumRelRet", "AP"])
    assert found.totals == {"NumRet", "NumRet(rel=1)"}
    assert (found.value("NumRet"), found.value("NumRet(rel=1)")) == (7, 4)


def test_exponential_gains_by_hand() -> None:
    name = "nDCG(dcg='exp-log2')@3"
    ideal = 7 + 3 / math.log2(3) + 1 / 2  # gains 2^grade - 1 of the grades 3, 2, 1
    found = evaluate(RUN, GRADES, [name], ties="trec").value(name)
    assert found == pytest.approx((3 / math.log2(3) + 1 / 2) / ideal, abs=1e-12)


@pytest.mark.skipif(not shutil.which("perl"), reason="gdeval is a Perl program")
def test_exponential_gains_agree_with_gdeval() -> None:
    rng = random.Random(1)
    judgments = {str(q): {str(d): rng.randrange(5) for d in range(20)} for q in range(1, 9)}
    run = {str(q): {str(d): rng.random() for d in range(5, 30)} for q in range(1, 9)}
    measure = ir_measures.nDCG(dcg="exp-log2") @ 10
    theirs = {
        each.query_id: each.value
        for each in ir_measures.gdeval.iter_calc([measure], judgments, run)
    }
    ours = evaluate(run, judgments, [measure])
    wanted = [theirs[query] for query in ours.queries]
    assert ours.values[str(measure)].tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.skipif(not shutil.which("perl"), reason="gdeval is a Perl program")
def test_query_ids_that_gdeval_would_confuse() -> None:
    """It keeps what follows the last hyphen, and reads numbers only."""
    judgments = {"a-1": {"x": 1}, "b-1": {"x": 4}, "c": {"x": 2}}
    run = {query: {"x": 2.0, "y": 1.0} for query in judgments}
    found = evaluate(run, judgments, ["ERR@10"])
    assert found.values["ERR@10"].tolist() == [1 / 16, 15 / 16, 3 / 16]


def test_measures_do_not_change_one_another() -> None:
    """Given together, ir_measures may give plain nDCG another one's gains, by hash order."""
    for cutoff in range(2, 10):
        plain, odd = f"nDCG@{cutoff}", f"nDCG(gains={{1:5,2:0,3:1}})@{cutoff}"
        exponential = f"nDCG(dcg='exp-log2')@{cutoff}"
        names = [odd, exponential, plain, "NumRet", f"P(judged_only=True)@{cutoff}"]
        together = evaluate(RUN, GRADES, names)
        for name in names:
            alone = evaluate(RUN, GRADES, [name])
            (key,) = alone.values
            assert together.value(key) == alone.value(key), key


def test_gains_that_equal_the_exponential_ones_are_another_measure() -> None:
    same = "nDCG(gains={1:1,2:3,3:7})@10"
    found = evaluate(RUN, GRADES, [same, "nDCG(dcg='exp-log2')@10"])
    first, second = found.values.values()
    assert first.tolist() == second.tolist()
    assert first[0] > 0


def test_a_measure_that_nothing_installed_computes_names_the_package() -> None:
    with pytest.raises(MissingDependency, match="pip install"):
        evaluate(RUN, GRADES, ["SDCG(max_rel=3)@10"])
    with pytest.raises(BadArguments, match="nothing that ir_measures knows computes ERR"):
        evaluate(RUN, GRADES, ["ERR"])
