"""A search is checked when it is made, sorts by score and row, and trusts no reranker blindly."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, FailedWhileRunning
from tamis.core.records import Passage, Query, Ranking
from tamis.core.runs import read_run
from tamis.pipeline.build import build
from tamis.pipeline.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates
    from tamis.core.stopwatch import Stopwatch
    from tamis.pipeline.opening import Index

QUERIES = [Query("q1", "one"), Query("q2", "two")]


class Table:
    """Row n is passage pn."""

    has_texts = True

    def __len__(self) -> int:
        return 10

    def ids(self, rows: np.ndarray) -> list[str]:
        return [f"p{row}" for row in rows]

    def passages(self, rows: np.ndarray) -> list[Passage]:
        return [Passage(f"p{row}", f"text {row}") for row in rows]


TABLE = Table()


@dataclass
class Fixed:
    """The same answer to every query."""

    name: str
    scores: dict[int, float]
    k: int = 10
    passages: Table = field(default_factory=lambda: TABLE)

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch) -> list[Ranking]:
        rows = np.array(list(self.scores), np.int64)
        scores = np.array(list(self.scores.values()), np.float32)
        with clock.stage(self.name):
            return [Ranking(query, rows, scores).top(self.k) for query in queries]


@dataclass
class Judge:
    """A reranker: a score for a passage's row."""

    name: str
    keep: int
    score_of: Callable[[int], float] = float
    seen: list[list[list[str]]] = field(default_factory=list)

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.seen.append([[passage.id for passage in each.passages] for each in batch])
        return [
            np.array([self.score_of(int(row)) for row in each.ranking.rows], np.float32)
            for each in batch
        ]


DENSE = Fixed("dense", {4: 0.9, 2: 0.5, 7: 0.1})
LEXICAL = Fixed("lexical", {2: 9.0, 8: 4.0})


def search(**parts: object) -> Search:
    return Search(**{"dense": DENSE, **parts})  # type: ignore[arg-type]


class TestMisfits:
    def test_all_are_told_at_once(self) -> None:
        elsewhere = Fixed("lexical", {1: 1.0}, k=5, passages=Table())
        with pytest.raises(BadArguments) as failure:
            search(
                lexical=elsewhere,
                fuse="magic",
                weights={"sparse": 1.0},
                k=0,
                rerank=[Judge("wide", 11), Judge("fine", 8), Judge("wider", 9), Judge("none", 0)],
            )
        told = str(failure.value)
        for part in (
            "different indexes",
            "no fusion is called 'magic'; known: rrf, minmax, zscore",
            "weights for sparse",
            "k is 0",
            "wide wants 11 candidates, at most 10 reach it",
            "wider wants 9 candidates, at most 8 reach it",
            "none wants 0",
        ):
            assert part in told
        assert "fine wants" not in told

    def test_no_retriever(self) -> None:
        with pytest.raises(BadArguments, match="no retriever"):
            Search()

    def test_fused_rankings_are_cut_so_no_reranker_gets_more(self) -> None:
        search(lexical=LEXICAL, rerank=[Judge("fits", 10)])
        with pytest.raises(BadArguments, match="wants 11 candidates, at most 10"):
            search(lexical=LEXICAL, rerank=[Judge("deep", 11)])
        with pytest.raises(BadArguments, match="wants 9 candidates, at most 8"):
            search(lexical=LEXICAL, rerank=[Judge("a", 8), Judge("b", 9)])

    def test_weights_without_a_fusion(self) -> None:
        with pytest.raises(BadArguments, match="dense is alone"):
            search(weights={"dense": 0.5})


class TestRun:
    def test_one_retriever(self) -> None:
        run = search(k=2).run(QUERIES)
        assert len(run) == 2
        assert [ranking.query.id for ranking in run] == ["q1", "q2"]
        assert run.ids() == [["p4", "p2"], ["p4", "p2"]]
        assert run.scores()["q2"] == {"p4": pytest.approx(0.9), "p2": 0.5}
        first = run.hits(1)[0]
        assert (first.rank, first.row, first.passage) == (1, 4, Passage("p4", "text 4"))
        assert first.stages == {"dense": pytest.approx(0.9)}
        assert list(run.seconds) == ["dense"]

    def test_hybrid_keeps_both_scores(self) -> None:
        run = search(lexical=LEXICAL).run(QUERIES[:1])
        assert run.ids() == [["p2", "p4", "p8", "p7"]]
        hits = run.hits(0)
        assert hits[0].stages == {"dense": 0.5, "lexical": 9.0}
        assert hits[2].stages == {"lexical": 4.0}

    def test_reranked_ties_are_in_row_order(self) -> None:
        judge = Judge("judge", 3, lambda row: 1.0 if row != 4 else 0.5)
        run = search(rerank=[judge]).run(QUERIES[:1])
        assert run.ids() == [["p2", "p7", "p4"]]
        assert judge.seen == [[["p4", "p2", "p7"]]]
        assert run.hits(0)[0].stages == {"dense": 0.5, "judge": 1.0}

    def test_a_cascade_narrows(self) -> None:
        first, second = Judge("first", 3), Judge("second", 2, lambda row: -row)
        run = search(rerank=[first, second], k=1).run(QUERIES)
        assert first.seen == [[["p4", "p2", "p7"]] * 2]
        assert second.seen == [[["p7", "p4"]] * 2]
        assert run.ids() == [["p4"]] * 2
        assert run.hits(0)[0].stages == {"dense": pytest.approx(0.9), "first": 4, "second": -4}
        assert list(run.seconds) == ["dense", "texts", "first", "second"]

    def test_no_query(self, tmp_path: Path) -> None:
        judge = Judge("judge", 3)
        run = search(lexical=LEXICAL, rerank=[judge], k=3).run([])
        assert (len(run), run.ids(), run.scores(), list(run)) == (0, [], {}, [])
        run.write(tmp_path / "run")
        assert (tmp_path / "run").read_text() == ""

    def test_no_candidate(self) -> None:
        nothing = Fixed("dense", {})
        run = search(dense=nothing, rerank=[Judge("judge", 3)]).run(QUERIES)
        assert run.ids() == [[], []]
        assert run.hits(0) == []

    def test_a_run_file_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        run = search(lexical=LEXICAL, fuse="minmax").run(QUERIES)
        for name in ("run", "run.gz"):
            run.write(tmp_path / name, "mine")
            assert read_run(tmp_path / name) == run.scores()
        line = (tmp_path / "run").read_text().splitlines()[0].split()
        assert line[:4] == ["q1", "Q0", "p2", "1"]
        assert line[5] == "mine"


class TestARerankerThatBreaksItsContract:
    @pytest.mark.parametrize(
        "scores",
        [
            [np.zeros(2, np.float32), np.zeros(3, np.float32)],
            [np.zeros(3, np.float32), np.zeros((3, 1), np.float32)],
            [np.zeros(3, np.float32), np.array([0, math.nan, 1], np.float32)],
            [np.array([0, math.inf, 1], np.float32), np.zeros(3, np.float32)],
            [np.zeros(3, np.float32)],
            [np.zeros(3, np.float32)] * 3,
        ],
    )
    def test_is_named(self, scores: list[np.ndarray]) -> None:
        judge = Judge("judge", 3)
        judge.score = lambda _batch: scores  # type: ignore[method-assign]
        with pytest.raises(FailedWhileRunning, match="reranker judge"):
            search(rerank=[judge]).run(QUERIES)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("search")
    texts = ["the flea lives long", "wine", "the flea lives long", "cheese", "wine", "wine"]
    records = [{"id": f"p{n}", "text": text} for n, text in enumerate(texts)]
    (folder / "c.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return build(folder / "c.jsonl", folder / "index", encoder="hashing")


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_equal_texts_come_in_corpus_order(index: Index, mode: str) -> None:
    found = [hit.row for hit in index.search("wine", k=2, mode=mode)]
    assert found == [1, 4]
    deep = index.search("wine", k=99, mode=mode)
    assert [hit.row for hit in deep][:3] == [1, 4, 5]
    assert len(deep) == (3 if mode == "lexical" else 6)


def test_wrong_calls(index: Index) -> None:
    for call in ({"mode": "sparse"}, {"k": 0}, {"mode": "hybrid", "fuse": "magic"}):
        with pytest.raises(BadArguments):
            index.search("wine", **call)


def test_the_command_line_prints_json(
    index: Index, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamis.pipeline.cli import main

    call = ["tamis", "search", str(index.folder.path), "wine", "--json", "-k", "2"]
    monkeypatch.setattr(sys, "argv", [*call, "--mode", "hybrid"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code in (0, None)
    body = json.loads(capsys.readouterr().out)
    assert (body["query"], body["mode"]) == ("wine", "hybrid")
    assert [hit["id"] for hit in body["hits"]] == ["p1", "p4"]
    assert set(body["hits"][0]["stages"]) == {"dense", "lexical"}
    assert "dense" in body["milliseconds"]
