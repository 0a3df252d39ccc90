"""Several runs side by side."""

from __future__ import annotations

import json
import random

import pytest
from rich.console import Console

from tamis.core.errors import BadArguments, BadData, Mismatch
from tamis.eval.comparison import Comparison, evaluate_runs

QUERIES = [f"q{n}" for n in range(12)]
JUDGMENTS = {query: {"a": 2, "b": 1, "c": 0} for query in QUERIES}
GOOD = {query: {"a": 3.0, "b": 2.0, "c": 1.0} for query in QUERIES}
BAD = {query: {"c": 9.0, "x": 8.0, "b": 2.0, "a": 1.0} for query in QUERIES}
MIXED = {query: (GOOD if n % 2 else BAD)[query] for n, query in enumerate(QUERIES)}
RUNS = {"bad": BAD, "good": GOOD, "mixed": MIXED}
MEASURES = ["nDCG@10", "RR(rel=2)@10", "NumRet"]


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return evaluate_runs(RUNS, JUDGMENTS, MEASURES, baseline="bad")


def shown(comparison: Comparison) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(comparison.table())
    return capture.get()


def test_json_holds_the_contract(compared: Comparison) -> None:
    answer = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert [run["run"] for run in answer["runs"]] == ["bad", "good", "mixed"]
    bad, good, mixed = answer["runs"]
    assert list(mixed["measures"]) == ["nDCG@10", "RR(rel=2)@10", "NumRet"]
    assert set(mixed["measures"]["RR(rel=2)@10"]) == {"value", "low", "high"}
    # half of the queries 1, half of them 1/4
    assert mixed["measures"]["RR(rel=2)@10"]["value"] == 0.625
    assert 0.25 < mixed["measures"]["RR(rel=2)@10"]["low"] < 0.625
    assert 0.625 < mixed["measures"]["RR(rel=2)@10"]["high"] < 1
    constant = {"low": None, "high": None, "reason": "every query has the same value"}
    assert good["measures"]["nDCG@10"] == {"value": 1.0, **constant}
    assert bad["measures"]["NumRet"] == {
        "value": 48.0,
        "low": None,
        "high": None,
        "reason": "a total, not a mean",
    }
    assert (answer["ties"], answer["queries"], answer["baseline"]) == ("trec", 12, "bad")
    assert answer["interval"] == {"confidence": 0.95, "resamples": 10_000, "seed": 0}


def test_tests_are_against_the_baseline_in_one_family(compared: Comparison) -> None:
    bad, good, mixed = compared.to_json()["runs"]
    assert "tests" not in bad
    assert set(good["tests"]) == {"nDCG@10", "RR(rel=2)@10"}  # a total is not tested
    assert set(good["tests"]["nDCG@10"]) == {"delta", "p_randomisation", "p_t", "p_holm"}
    assert good["tests"]["RR(rel=2)@10"]["delta"] == 0.75
    assert mixed["tests"]["RR(rel=2)@10"]["delta"] == 0.375
    # 12 queries are enumerated: all 12 better, or 6 better and 6 equal
    assert good["tests"]["RR(rel=2)@10"]["p_randomisation"] == 2 / 2**12
    assert mixed["tests"]["RR(rel=2)@10"]["p_randomisation"] == 2 / 2**6
    # Holm over four p values: 2/4096 twice, then 2/64 twice
    assert good["tests"]["RR(rel=2)@10"]["p_holm"] == 4 * 2 / 2**12
    assert mixed["tests"]["RR(rel=2)@10"]["p_holm"] == 2 * 2 / 2**6


def test_a_run_equal_to_the_baseline_has_p_1() -> None:
    answer = evaluate_runs({"a": MIXED, "b": MIXED}, JUDGMENTS, ["AP"], baseline="a").to_json()
    assert answer["runs"][1]["tests"]["AP"] == {
        "delta": 0.0,
        "p_randomisation": 1.0,
        "p_t": 1.0,
        "p_holm": 1.0,
    }


def test_the_table_shows_values_bounds_marks_and_the_tie_rule(compared: Comparison) -> None:
    text = shown(compared)
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    low, high = (
        compared.intervals["mixed"]["RR(rel=2)@10"].low,
        compared.intervals["mixed"]["RR(rel=2)@10"].high,
    )
    assert f"0.625 [{low:.3f}, {high:.3f}]" in rows["mixed"]
    assert "1.000 [none]*" in rows["good"]
    assert rows["bad"].rstrip().endswith("48")
    assert "*" not in rows["bad"]
    assert "*" not in rows["mixed"]  # p = .0625 after Holm
    assert "ties: trec" in text
    assert "12 judged queries" in text
    assert "differs from bad" in text


def test_without_a_baseline_nothing_is_marked() -> None:
    comparison = evaluate_runs(RUNS, JUDGMENTS, ["AP"])
    assert "*" not in shown(comparison)
    assert all("tests" not in run for run in comparison.to_json()["runs"])


def test_names_are_shown_as_they_are() -> None:
    assert "[red]x[/red]" in shown(evaluate_runs({"[red]x[/red]": MIXED}, JUDGMENTS, ["AP"]))


def test_warnings_name_their_runs_unless_all_share_them() -> None:
    less = {query: MIXED[query] for query in QUERIES[1:]}
    judgments = {**JUDGMENTS, "barren": {"a": 0}}
    warnings = evaluate_runs({"x": MIXED, "y": less, "z": less}, judgments, ["AP"]).warnings
    assert warnings == (
        "x: 1 of 13 judged queries are not in the run: they count with 0",
        "1 of 13 judged queries have no passage of grade 1 or more: they count with 0 in AP",
        "y, z: 2 of 13 judged queries are not in the run: they count with 0",
    )


def test_a_missing_interval_is_told(compared: Comparison) -> None:
    reason = "has no interval: every query has the same value"
    assert compared.warnings == (
        f"bad, good: nDCG@10 {reason}",
        f"bad, good: RR(rel=2)@10 {reason}",
    )


def test_errors_name_the_run() -> None:
    constant = {query: dict.fromkeys("abc", 1.0) for query in QUERIES}
    with pytest.raises(BadData, match=r"^flat: each of the 12 queries"):
        evaluate_runs({"good": GOOD, "flat": constant}, JUDGMENTS, ["AP"])
    with pytest.raises(Mismatch, match=r"^other: "):
        evaluate_runs({"good": GOOD, "other": {"7": {"a": 1.0}}}, JUDGMENTS, ["AP"])


def test_wrong_arguments() -> None:
    with pytest.raises(BadArguments, match=r"'best' is neither .* runs: bad, good, mixed"):
        evaluate_runs(RUNS, JUDGMENTS, ["AP"], baseline="best")
    with pytest.raises(BadArguments, match="no run"):
        evaluate_runs({}, JUDGMENTS, ["AP"])


def test_the_same_seed_gives_the_same_answer_whatever_the_company() -> None:
    rng = random.Random(0)
    judgments = {str(q): {str(d): rng.randrange(3) for d in range(20)} for q in range(40)}
    runs = {
        name: {str(q): {str(d): rng.random() for d in range(30)} for q in range(40)}
        for name in "ab"
    }
    both = evaluate_runs(runs, judgments, ["AP"], baseline="a", seed=3)
    again = evaluate_runs(runs, judgments, ["AP"], baseline="a", seed=3)
    assert both.to_json() == again.to_json()
    other = evaluate_runs(runs, judgments, ["AP"], baseline="a", seed=4)
    assert both.to_json()["runs"] != other.to_json()["runs"]
    alone = evaluate_runs({"b": runs["b"]}, judgments, ["AP"], seed=3)
    assert alone.intervals["b"]["AP"].low == pytest.approx(both.intervals["b"]["AP"].low, abs=1e-12)


def test_per_query_values_in_order() -> None:
    rows = list(evaluate_runs({"m": MIXED}, JUDGMENTS, ["RR(rel=2)", "P@1"]).per_query())
    assert rows[:4] == [
        ("m", "q0", "RR(rel=2)", 0.25),
        ("m", "q0", "P@1", 0.0),
        ("m", "q1", "RR(rel=2)", 1.0),
        ("m", "q1", "P@1", 1.0),
    ]
    assert [row[1] for row in rows[::2]] == sorted(QUERIES)
