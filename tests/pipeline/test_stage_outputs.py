"""Outputs of stages are taken over only where everything that made them is the same."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments
from tamis.core.protocols import EncoderCard
from tamis.core.records import Passage, Query, Ranking
from tamis.pipeline.early_exit import EarlyExit
from tamis.pipeline.search import Search
from tamis.pipeline.stage_outputs import StageOutputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates

QUERIES = [Query(f"q{n}", f"text {n}") for n in range(5)]


class Table:
    has_texts = True

    def passages(self, rows: np.ndarray) -> list[Passage]:
        return [Passage(f"p{row}", f"text {row}") for row in rows]


TABLE = Table()


@dataclass(frozen=True)
class Named:
    """As much of an encoder as a key reads."""

    fingerprint: str

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("named", self.fingerprint, "space", 4, "cosine", "mean", 0)


@dataclass
class Retriever:
    name: str
    encoder: Named | None = None
    k: int = 6
    calls: int = 0
    passages: Table = field(default_factory=lambda: TABLE)

    def retrieve(self, queries: Sequence[Query], clock: Any) -> list[Ranking]:
        self.calls += len(queries)
        with clock.stage(self.name):
            rows = np.arange(self.k, dtype=np.int64)[::-1]
            if self.name == "lexical":
                rows = rows[: self.k // 2] + 1
            scores = np.linspace(1, 0.5, len(rows), dtype=np.float32)
            return [Ranking(query, rows, scores) for query in queries]


@dataclass
class Judge:
    name: str
    fingerprint: str = "one"
    keep: int = 5
    calls: int = 0

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.calls += len(batch)
        return [np.cos(each.ranking.rows * 3.0).astype(np.float32) for each in batch]


@dataclass
class Nameless:
    """A reranker without a fingerprint."""

    name: str = "nameless"
    keep: int = 3
    calls: int = 0

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.calls += len(batch)
        return [each.ranking.rows.astype(np.float32) for each in batch]


def search(*rerank: Any, **parts: Any) -> Search:
    given = {
        "dense": Retriever("dense", Named("e1")),
        "lexical": Retriever("lexical"),
        "origin": "index one",
    }
    return Search(**{**given, "rerank": rerank, **parts})


@pytest.fixture
def kept(tmp_path: Path) -> StageOutputs:
    return StageOutputs(tmp_path / "outputs")


def same(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.query == b.query
        np.testing.assert_array_equal(a.rows, b.rows)
        np.testing.assert_array_equal(a.scores, b.scores)
        assert a.rows.dtype == np.int64
        assert a.scores.dtype == np.float32
        assert list(a.stages) == list(b.stages)
        for name in a.stages:
            np.testing.assert_array_equal(a.stages[name], b.stages[name])


def test_a_second_run_computes_nothing_and_says_so(kept: StageOutputs) -> None:
    judge = Judge("judge")
    whole = search(judge)
    first = whole.run(QUERIES, kept=kept)
    again = whole.run(QUERIES, kept=kept)
    same(first, again)
    same(first, search(Judge("judge")).run(QUERIES))
    assert whole.dense.calls == whole.lexical.calls == judge.calls == len(QUERIES)  # type: ignore[union-attr]
    assert list(again.times) == list(first.times)
    for name, time in again.times.items():
        assert time.stored.all()
        np.testing.assert_array_equal(time.seconds, first.times[name].seconds)
    assert not first.times["judge"].stored.any()


def test_another_last_stage_leaves_the_first_ones_alone(kept: StageOutputs) -> None:
    first, second, other = Judge("first"), Judge("second", keep=4), Judge("other", keep=4)
    search(first, second).run(QUERIES, kept=kept)
    changed = search(first, other)
    run = changed.run(QUERIES, kept=kept)
    assert changed.dense.calls == 0  # type: ignore[union-attr]
    assert (first.calls, other.calls) == (5, 5)
    assert run.times["first"].stored.all()
    assert not run.times["other"].stored.any()
    same(run, search(Judge("first"), Judge("other", keep=4)).run(QUERIES))


@pytest.mark.parametrize(
    ("change", "retrieved"),
    [
        ({"origin": "index two"}, True),
        ({"dense": Retriever("dense", Named("e2"))}, True),
        ({"dense": Retriever("dense", Named("e1"), k=7)}, True),
        ({"fuse": "minmax"}, False),
        ({"weights": {"dense": 0.3}}, False),
        ({"rerank": [Judge("judge", "another model")]}, False),
        ({"rerank": [Judge("judge", keep=4)]}, False),
        ({"exits": [EarlyExit(0.5)]}, False),
        ({"exits": [EarlyExit(0.6, "raw")]}, False),
    ],
)
def test_whatever_changes_a_ranking_is_computed_again(
    kept: StageOutputs, change: dict[str, Any], retrieved: bool
) -> None:
    search(Judge("judge")).run(QUERIES, kept=kept)
    changed = search(**{"rerank": [Judge("judge")], **change})
    run = changed.run(QUERIES, kept=kept)
    assert changed.rerank[0].calls > 0  # type: ignore[attr-defined]
    assert (changed.dense.calls > 0) is retrieved  # type: ignore[union-attr]
    same(run, changed.run(QUERIES))


def test_other_queries_are_other_outputs(kept: StageOutputs) -> None:
    whole = search(Judge("judge"))
    whole.run(QUERIES, kept=kept)
    for asked in (QUERIES[:4], QUERIES[::-1], [*QUERIES[:4], Query("q4", "changed")]):
        before = whole.rerank[0].calls  # type: ignore[attr-defined]
        whole.run(asked, kept=kept)
        assert whole.rerank[0].calls == before + len(asked)  # type: ignore[attr-defined]


def test_a_run_goes_on_at_the_batch_where_it_broke_off(kept: StageOutputs) -> None:
    whole = search(Judge("judge"))
    whole.run(QUERIES[:4], at_once=2, kept=kept)
    assert whole.rerank[0].calls == 4  # type: ignore[attr-defined]
    run = whole.run(QUERIES, at_once=2, kept=kept)
    assert whole.rerank[0].calls == 5  # type: ignore[attr-defined]
    assert run.times["judge"].stored.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied"])
def test_a_damaged_output_is_computed_again(kept: StageOutputs, where: float, how: str) -> None:
    whole = search(Judge("judge"))
    first = whole.run(QUERIES, kept=kept)
    for path in kept.folder.iterdir():
        body = bytearray(path.read_bytes())
        place = int(where * len(body))
        if how == "flipped":
            body[place] ^= 0x55
        path.write_bytes(body[:place] if how == "cut" else b"" if how == "emptied" else body)
    again = whole.run(QUERIES, kept=kept)
    same(first, again)
    assert whole.dense.calls == 2 * len(QUERIES)  # type: ignore[union-attr]
    whole.run(QUERIES, kept=kept)
    assert whole.dense.calls == 2 * len(QUERIES), "the damaged one was replaced"  # type: ignore[union-attr]


def test_without_a_fingerprint_nothing_is_kept_from_there_on(kept: StageOutputs) -> None:
    judge, nameless, last = Judge("judge"), Nameless(), Judge("last", keep=2)
    whole = search(judge, nameless, last)
    for _ in range(2):
        whole.run(QUERIES, kept=kept)
    assert (judge.calls, nameless.calls, last.calls) == (5, 10, 10)
    foreign = replace(whole, origin="")
    foreign.run(QUERIES, kept=kept)
    assert judge.calls == 10


def test_the_folder_stays_within_its_room(tmp_path: Path) -> None:
    whole = search(Judge("judge"))
    whole.run(QUERIES[:1], kept=StageOutputs(tmp_path))
    files = sorted(tmp_path.glob("*.stage"))
    one = sum(path.stat().st_size for path in files)
    for path in files:
        os.utime(path, (1, 1))
    small = StageOutputs(tmp_path, room=int(1.5 * one))
    whole.run(QUERIES[1:2], kept=small)
    left = list(tmp_path.iterdir())
    assert sum(path.stat().st_size for path in left) <= small.room
    assert len(set(files) & set(left)) < len(files), "the oldest went"
    before = whole.rerank[0].calls  # type: ignore[attr-defined]
    whole.run(QUERIES[1:2], kept=small)
    assert whole.rerank[0].calls == before, "the newest stayed"  # type: ignore[attr-defined]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadArguments, match="taken cannot hold"):
        StageOutputs(tmp_path / "taken")


def test_batches_do_not_change_answers() -> None:
    whole = search(Judge("judge"))
    one_by_one = whole.run(QUERIES, at_once=1)
    same(whole.run(QUERIES), one_by_one)
    assert one_by_one.times["judge"].summary(alone=True)["p95_ms"] is not None
    told = whole.run(QUERIES).times["judge"].summary(alone=False)
    assert told["p50_ms"] is None
    assert (told["queries"], told["passages"]) == (5, 25)
    with pytest.raises(BadArguments, match="0 queries at once"):
        whole.run(QUERIES, at_once=0)
