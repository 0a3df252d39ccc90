"""From a search through its run file to ir_measures: our values, with ties by both rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, nDCG

import tamis
from tamis.core.runs import read_run, write_run
from tamis.pipeline.evaluation import evaluate_files

pytest.importorskip("faiss")

if TYPE_CHECKING:
    from pathlib import Path

QUERIES = [
    tamis.Query("1", "flea in a sieve by the river"),
    tamis.Query("2", "music train at night"),
    tamis.Query("10", "lion and stone"),
]


@pytest.fixture
def run_file(index_folder: Path, tmp_path: Path) -> Path:
    """Written by a search over passages of which ten have the same text."""
    run = tamis.open_index(index_folder).searcher(30).run(QUERIES)
    run.write(tmp_path / "a.run")
    return tmp_path / "a.run"


@pytest.fixture
def qrels_file(tmp_path: Path) -> Path:
    """Grades 0 to 3 for every third passage, one query more than was run."""
    lines = [
        f"{query} 0 p{number:02} {(number // 3 + shift) % 4}\n"
        for shift, query in enumerate(["1", "2", "10", "unasked"])
        for number in range(0, 60, 3)
    ]
    (tmp_path / "qrels.txt").write_text("".join(lines))
    return tmp_path / "qrels.txt"


def our_values(run: Path, qrels: Path, ties: str) -> dict[str, float]:
    comparison = evaluate_files([run], str(qrels), ["nDCG@10", "RR@10"], ties=ties)
    sums: dict[str, list[float]] = {}
    for _run, _query, measure, value in comparison.per_query():
        sums.setdefault(measure, []).append(value)
    return {measure: float(np.mean(values)) for measure, values in sums.items()}


def their_values(run: Path, qrels: Path) -> dict[str, float]:
    judged = list(ir_measures.read_trec_qrels(str(qrels)))
    ranked = list(ir_measures.read_trec_run(str(run)))
    found = ir_measures.calc_aggregate([nDCG @ 10, RR @ 10], judged, ranked)
    return {str(measure): value for measure, value in found.items()}


def without_ties(run: Path, path: Path, ties: str) -> Path:
    """The run with its ties broken by hand: scores 1000, 999, 998..."""
    ranked = list(ir_measures.read_trec_run(str(run)))
    lines = []
    for query in ["1", "2", "10"]:
        mine = [each for each in ranked if each.query_id == query]
        mine.sort(key=lambda each: each.doc_id, reverse=ties == "trec")
        mine.sort(key=lambda each: -each.score)
        lines += [f"{query} Q0 {m.doc_id} 1 {1000 - n} t\n" for n, m in enumerate(mine)]
    path.write_text("".join(lines))
    return path


def test_six_columns(run_file: Path) -> None:
    rows = [line.split(" ") for line in run_file.read_text().splitlines()]
    assert {len(row) for row in rows} == {6}
    assert {(row[1], row[5]) for row in rows} == {("Q0", "tamis")}
    assert [int(row[3]) for row in rows[:30]] == list(range(1, 31))
    scores = [row[4] for row in rows if row[0] == "1"]
    assert len(set(scores)) < len(scores), "the run should hold ties"


def test_reading_gives_the_search_again(index_folder: Path, run_file: Path) -> None:
    run = tamis.open_index(index_folder).searcher(30).run(QUERIES)
    read = read_run(run_file)
    assert list(read) == [query.id for query in QUERIES]
    for ranking, passages, found in zip(run, run.ids(), read.values(), strict=True):
        assert list(found) == passages
        assert np.array_equal(np.array(list(found.values()), np.float32), ranking.scores)


@pytest.mark.parametrize("ties", ["trec", "msmarco"])
def test_ir_measures_agrees_once_ties_are_broken(
    run_file: Path, qrels_file: Path, tmp_path: Path, ties: str
) -> None:
    theirs = their_values(without_ties(run_file, tmp_path / "b.run", ties), qrels_file)
    assert our_values(run_file, qrels_file, ties) == pytest.approx(theirs, abs=1e-9)


def test_ir_measures_agrees_on_the_file_itself(run_file: Path, qrels_file: Path) -> None:
    """It asks trec_eval for nDCG@10 and the MS MARCO script for RR@10: one rule each."""
    theirs = their_values(run_file, qrels_file)
    trec, msmarco = (our_values(run_file, qrels_file, ties) for ties in ("trec", "msmarco"))
    assert trec["nDCG@10"] == pytest.approx(theirs["nDCG@10"], abs=1e-9)
    assert msmarco["RR@10"] == pytest.approx(theirs["RR@10"], abs=1e-9)
    assert trec != msmarco, "the ties should make a difference"


def test_no_tie_appears_and_none_is_lost(tmp_path: Path) -> None:
    near: Any = np.nextafter(np.float32(0.1), np.float32(1))
    scores = np.array([near, 0.1, 0.1, 1e-38, 1e-45], np.float32)
    write_run(tmp_path / "r", [("q", ["a", "b", "c", "d", "e"], scores)], "t")
    read = [each.score for each in ir_measures.read_trec_run(str(tmp_path / "r"))]
    assert np.array_equal(np.array(read, np.float32), scores)
