"""Thresholds learned on dev keep their promise on other queries, and extremes take all or none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData
from tamis.core.records import Passage, Query, Ranking
from tamis.eval.evaluate import evaluate
from tamis.pipeline import cascade as cascades
from tamis.pipeline.cascade import Cascade, RerankStage, stages_fingerprint
from tamis.pipeline.cascade_file import read_cascade, write_cascade
from tamis.pipeline.exit_calibration import SHARES, Calibrator
from tamis.pipeline.search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates

DEPTH = 12


class Table:
    has_texts = True

    def passages(self, rows: np.ndarray) -> list[Passage]:
        return [Passage(f"p{row}", f"text {row}") for row in rows]

    def ids(self, rows: np.ndarray) -> list[str]:
        return [f"p{row}" for row in rows]


TABLE = Table()


@dataclass
class World:
    """Every query has one relevant row; a first stage that often likes it, a judge that knows it.

    ``noise`` is the first stage's: 0, and the relevant row always comes first.
    """

    noise: float
    relevant: dict[str, int] = field(default_factory=dict)
    pairs: int = 0

    def queries(self, count: int, seed: int) -> list[Query]:
        rng = np.random.default_rng(seed)
        found = [Query(f"{seed}.{n}", f"query {seed} {n}") for n in range(count)]
        self.relevant |= {query.id: int(rng.integers(DEPTH)) for query in found}
        return found

    def judgments(self, queries: Sequence[Query]) -> dict[str, dict[str, int]]:
        return {query.id: {f"p{self.relevant[query.id]}": 1} for query in queries}


@dataclass
class First:
    world: World
    name: str = "dense"
    k: int = DEPTH
    passages: Table = field(default_factory=lambda: TABLE)

    def retrieve(self, queries: Sequence[Query], clock: object) -> list[Ranking]:
        del clock
        found = []
        for query in queries:
            rng = np.random.default_rng(list(query.text.encode()))
            scores = rng.random(DEPTH) * self.world.noise
            scores[self.world.relevant[query.id]] += 1
            order = np.argsort(-scores, kind="stable")
            found.append(Ranking(query, order, scores[order].astype(np.float32)))
        return found


@dataclass
class Knowing:
    world: World
    keep: int = DEPTH
    name: str = "judge"

    @property
    def fingerprint(self) -> str:
        return "judge"

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.world.pairs += sum(len(each.passages) for each in batch)
        return [
            (each.ranking.rows == self.world.relevant[each.ranking.query.id]).astype(np.float32)
            for each in batch
        ]


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cascades run over a world: the index that is handed round is the world itself."""

    def become(cascade: Cascade, world: World, *, device: str = "cpu") -> Search:
        del device
        stages = [Knowing(world, stage.keep) for stage in cascade.rerank]
        exits = [stage.exit for stage in cascade.rerank]
        return Search(dense=First(world), rerank=stages, exits=exits, k=cascade.k)  # type: ignore[arg-type]

    monkeypatch.setattr(cascades.Cascade, "over", become)


CASCADE = Cascade(dense=DEPTH, rerank=(RerankStage("judge", DEPTH),))


def mean(cascade: Cascade, world: World, queries: list[Query]) -> float:
    run = cascade.over(world).run(queries)  # type: ignore[arg-type]
    return evaluate(run.scores(), world.judgments(queries), ["nDCG@10"]).value("nDCG@10")


@pytest.mark.usefixtures("over")
class TestCalibration:
    @pytest.mark.parametrize("seed", range(4))
    def test_the_loss_on_new_queries_stays_within_the_bound(self, seed: int) -> None:
        world = World(noise=1.5)
        dev, new = world.queries(400, seed), world.queries(2000, 100 + seed)
        asked = Calibrator(world, dev, world.judgments(dev), loss=0.05)  # type: ignore[arg-type]
        found = asked.calibrate(CASCADE)
        rule = found.cascade.rerank[0].exit
        assert rule is not None
        accepted = [step for step in found.steps if step.accepted]
        assert accepted[-1].scored < 0.7, "a rule that leaves nothing out tests nothing"
        assert mean(CASCADE, world, new) - mean(found.cascade, world, new) <= 0.05
        assert accepted[-1].threshold == rule.threshold
        assert not found.steps[-1].accepted
        assert all(step.loss <= step.bound for step in found.steps)

    def test_steps_come_in_their_order_and_stop_at_the_first_failure(self) -> None:
        world = World(noise=1.5)
        dev = world.queries(300, 1)
        found = Calibrator(world, dev, world.judgments(dev), loss=0.05).calibrate(CASCADE)  # type: ignore[arg-type]
        thresholds = [step.threshold for step in found.steps]
        assert thresholds == sorted(thresholds, reverse=True)
        assert [step.accepted for step in found.steps] == [True] * (len(found.steps) - 1) + [False]
        assert found.mean == pytest.approx(1.0)

    def test_a_first_stage_that_knows_all_needs_no_judge(self) -> None:
        world = World(noise=0.0)
        dev = world.queries(600, 2)
        found = Calibrator(world, dev, world.judgments(dev), loss=0.01).calibrate(CASCADE)  # type: ignore[arg-type]
        assert found.steps[-1].scored == SHARES[-1] == 0
        assert found.steps[-1].accepted
        world.pairs = 0
        found.cascade.over(world).run(dev)  # type: ignore[arg-type]
        assert world.pairs == 0

    def test_too_few_queries_prove_nothing(self) -> None:
        world = World(noise=0.0)
        dev = world.queries(20, 3)
        found = Calibrator(world, dev, world.judgments(dev), loss=0.01).calibrate(CASCADE)  # type: ignore[arg-type]
        assert found.cascade == CASCADE
        assert [step.accepted for step in found.steps] == [False]

    def test_two_stages_share_the_bound(self, tmp_path: Path) -> None:
        world = World(noise=1.5)
        dev = world.queries(400, 4)
        two = replace(CASCADE, rerank=(*CASCADE.rerank, RerankStage("judge", 6)), k=5)
        found = Calibrator(world, dev, world.judgments(dev), loss=0.06).calibrate(two)  # type: ignore[arg-type]
        rules = [stage.exit for stage in found.cascade.rerank]
        assert [rule.margin for rule in rules if rule] == ["first-stages", "scaled"]
        assert mean(two, world, dev) - mean(found.cascade, world, dev) <= 0.06
        assert found.cascade.k == 5
        for number, rule in enumerate(rules):
            assert rule is not None
            assert rule.calibration["confidence"] == 0.975
            assert rule.calibration["loss_at_most"] <= 0.03
            assert rule.calibration["stages"] == stages_fingerprint(found.cascade, number)
        write_cascade(found.cascade, tmp_path / "c.toml")
        assert read_cascade(tmp_path / "c.toml") == found.cascade

    def test_wrong_calls(self) -> None:
        world = World(noise=1.0)
        dev = world.queries(5, 5)
        judged = world.judgments(dev)
        with pytest.raises(BadArguments, match="no rerank stage"):
            Calibrator(world, dev, judged).calibrate(Cascade(dense=5))  # type: ignore[arg-type]
        for wrong in ({"loss": 0.0}, {"alpha": 0.9}, {"measure": "nothing"}, {"margin": "sclaed"}):
            with pytest.raises(BadArguments):
                Calibrator(world, dev, judged, **wrong)  # type: ignore[arg-type]
        with pytest.raises(BadData, match="none of the queries is judged"):
            Calibrator(world, dev, {"other": {"p1": 1}})  # type: ignore[arg-type]
