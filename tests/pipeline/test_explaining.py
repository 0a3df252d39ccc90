"""--explain: contributions that add up to the score, ranks by stage, and what nobody explains."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.protocols import Contribution, Explains, Explanation
from tamis.core.records import Query, Ranking
from tamis.pipeline.candidates import candidates
from tamis.pipeline.cli import app
from tamis.pipeline.explaining import SHOWN, Why, explained_stages, why
from tamis.rerank.features import FEATURES
from tamis.rerank.training.lambdamart import train_lambdamart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates, Reranker
    from tamis.pipeline.opening import Index

pytest.importorskip("lightgbm", reason="the extra ltr is not installed")

WORDS = ["flea", "dog", "cat", "sea", "wind", "bread", "wine", "salt", "days", "moon"]


class Longest:
    """Longer passages first; explains nothing."""

    name, keep = "longest", 5

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        return [np.array([len(p.text) for p in each.passages], np.float32) for each in batch]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("explaining")
    random = np.random.default_rng(0)
    rows = [
        {"_id": f"p{n}", "text": " ".join(random.choice(WORDS, int(random.integers(3, 20))))}
        for n in range(60)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tamis.build(folder / "corpus.jsonl", folder / "idx", encoder="hashing")


@pytest.fixture(scope="module")
def model(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learns that long passages are relevant."""
    asked = [*WORDS, *(" ".join(pair) for pair in pairwise(WORDS))]
    queries = [Query(f"q{number}", text) for number, text in enumerate(asked)]
    seen = candidates(index.passages, index.searcher(40, mode="hybrid").run(queries).rankings)
    judged = {
        each.ranking.query.id: {p.id: int(len(p.text.split()) > 12) for p in each.passages}
        for each in seen
    }
    trained = train_lambdamart(
        seen, judged, trees=12, threads=1, parameters={"min_data_in_leaf": 10}
    )
    path = tmp_path_factory.mktemp("model") / "model.txt"
    path.write_text(trained.text, "utf-8")
    return path


@pytest.fixture(scope="module")
def reranker(model: Path) -> Reranker:
    return tamis.reranker("lambdamart", model=str(model), keep=20)


QUESTION = Query("1", "flea days")


def test_the_contributions_of_lambdamart_add_up_to_its_score(
    index: Index, reranker: Reranker
) -> None:
    assert isinstance(reranker, Explains)
    seen = candidates(index.passages, index.searcher(20, mode="hybrid").run([QUESTION]).rankings)
    (scores,) = reranker.score(seen)
    told = reranker.explain(seen[0])
    assert len(told) == 20
    for score, each in zip(scores.tolist(), told, strict=True):
        assert each.score == pytest.approx(score, abs=1e-6)
        total = each.base + sum(part.amount for part in each.parts)
        assert total == pytest.approx(score, abs=1e-5)
        assert {part.name for part in each.parts} == {*FEATURES, "order_so_far"}
        amounts = [abs(part.amount) for part in each.parts]
        assert amounts == sorted(amounts, reverse=True)
        assert all(part.meaning for part in each.parts)
    assert any(told[0].parts[0].amount != each.parts[0].amount for each in told)


def test_what_a_feature_saw_is_told(index: Index, reranker: Reranker) -> None:
    (seen,) = candidates(index.passages, index.searcher(5, mode="dense").run([QUESTION]).rankings)
    assert isinstance(reranker, Explains)
    for passage, each in zip(seen.passages, reranker.explain(seen), strict=True):
        known = {part.name: part.value for part in each.parts}
        assert known["passage_words"] == len(passage.text.split())
        assert np.isnan(known["lexical_score"])


def test_no_candidates_no_explanations(index: Index, reranker: Reranker) -> None:
    assert isinstance(reranker, Explains)
    nothing = Ranking(QUESTION, np.empty(0, np.int64), np.empty(0, np.float32))
    (empty,) = candidates(index.passages, [nothing])
    assert reranker.explain(empty) == []


def test_ranks_are_those_of_each_stage(index: Index, reranker: Reranker) -> None:
    search = tamis.Search(
        dense=index.dense(30), lexical=index.lexical(30), rerank=[reranker, Longest()], k=3
    )
    found = search.run([QUESTION]).rankings[0]
    reasons = why(search, QUESTION)
    assert set(found.rows.tolist()) <= set(reasons)
    assert explained_stages(search) == ["lambdamart"]
    dense = index.dense(30).retrieve([QUESTION])[0]
    before = tamis.Search(dense=index.dense(30), lexical=index.lexical(30)).run([QUESTION])
    fused = before.rankings[0].rows.tolist()
    once = tamis.Search(dense=index.dense(30), lexical=index.lexical(30), rerank=[reranker])
    middle = once.run([QUESTION]).rankings[0]
    for place, row in enumerate(found.rows.tolist()):
        told = reasons[row].stages
        assert list(told)[-2:] == ["lambdamart", "longest"]
        assert told["longest"][0] == pytest.approx(found.scores[place])
        higher = int((middle.scores > told["lambdamart"][0]).sum())
        assert told["lambdamart"][1] == 1 + higher
        assert told["fused"][1] <= 1 + fused.index(row)
        if "dense" in told:
            assert told["dense"][1] == 1 + int((dense.scores > told["dense"][0]).sum())
        assert reasons[row].explanations["lambdamart"].score == pytest.approx(told["lambdamart"][0])


def test_a_program_gets_everything_and_nothing_seen_is_null() -> None:
    parts = tuple(Contribution(f"f{n}", "a meaning", np.nan, 1 / (n + 1)) for n in range(SHOWN + 2))
    reason = Why({"dense": (0.5, 2)}, {"x": Explanation(3.0, 0.25, parts)})
    body = json.loads(json.dumps(reason.to_json()))
    assert body["stages"] == {"dense": {"score": 0.5, "rank": 2}}
    assert len(body["explanations"]["x"]["parts"]) == SHOWN + 2
    assert body["explanations"]["x"]["parts"][0] == {
        "name": "f0",
        "meaning": "a meaning",
        "value": None,
        "amount": 1.0,
    }
    lines = list(reason.lines())
    assert lines[0] == "dense 0.5000 (rank 2)"
    assert lines[-1].endswith("2 others")
    assert len(lines) == 2 + SHOWN + 1


def asked(index: Index, *options: str) -> Any:
    done = CliRunner().invoke(
        app, ["search", str(index.folder.path), "flea days", "-k", "3", "--explain", *options]
    )
    assert done.exit_code == 0, done.output
    return done


def test_the_command_shows_the_sum_in_json(index: Index, model: Path) -> None:
    body = json.loads(
        asked(index, "--mode", "hybrid", "--rerank", f"lambdamart={model}:20", "--json").stdout
    )
    assert body["explained"] == (
        "explained: scores and ranks by stage, and the score of lambdamart"
    )
    for hit in body["hits"]:
        told = hit["why"]["explanations"]["lambdamart"]
        total = told["base"] + sum(part["amount"] for part in told["parts"])
        assert total == pytest.approx(hit["score"], abs=1e-5)
        assert {"fused", "lambdamart"} <= set(hit["why"]["stages"])


def test_the_command_shows_words_to_people(index: Index, model: Path) -> None:
    done = asked(index, "--mode", "hybrid", "--rerank", f"lambdamart={model}:20")
    assert any(meaning in done.stdout for meaning in FEATURES.values())
    assert "(rank 1)" in done.stdout
    assert "others" in done.stdout


def test_without_a_stage_that_explains_the_command_says_so(index: Index) -> None:
    done = asked(index, "--mode", "hybrid")
    assert "scores and ranks by stage; no stage explains its score" in done.stderr
    assert "dense" in done.stdout
    assert "(rank " in done.stdout


def test_a_run_file_cannot_be_explained(index: Index, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("1\tflea\n", "utf-8")
    options = ["--queries", str(tmp_path / "q.tsv"), "-o", str(tmp_path / "run"), "--explain"]
    done = CliRunner().invoke(app, ["search", str(index.folder.path), *options])
    assert done.exit_code != 0
    assert not (tmp_path / "run").exists()
