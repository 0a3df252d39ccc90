"""The demo's figures are those of the public library, and its JSON keeps its shape."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tamis.core.errors import BadArguments
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.eval.equivalence import equivalence
from tamis.eval.evaluate import evaluate
from tamis.pipeline.build import build
from tamis.pipeline.commands.demo import demo as command
from tamis.pipeline.components import reranker
from tamis.pipeline.demo import BASELINE, COLLECTION, MEASURES, SAMPLES, Demo, labels, run_demo
from tamis.pipeline.evaluation import evaluate_runs
from tamis.pipeline.opening import Index, open_index

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.core.records import Query

SYSTEMS = ["bm25", "dense", "rrf", "minmax", "zscore", "reranked", "pruned"]
APP = typer.Typer()
APP.command()(command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "index"


@pytest.fixture(scope="module")
def found(folder: Path) -> Demo:
    return run_demo(folder, encoder="hashing")


@pytest.fixture(scope="module")
def index(found: Demo, folder: Path) -> Index:
    return open_index(folder)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The pruned index, built a second time with its settings spelled out."""
    folder = tmp_path_factory.mktemp("demo") / "pruned"
    settings = {"quality": "recurrent", "keep": 0.75, "near_duplicates": 0.8}
    return build(COLLECTION, folder, encoder="hashing", **settings)


def asked(found: Demo) -> list[Query]:
    test = set(found.comparison.queries)
    return [query for query in read_queries(COLLECTION / "queries.jsonl") if query.id in test]


def call(*options: str) -> Result:
    result = CliRunner().invoke(APP, options)
    assert result.exception is None, result.output
    return result


def test_seven_systems_are_measured_on_the_test_split(found: Demo) -> None:
    comparison = found.comparison
    assert list(comparison.evaluations) == SYSTEMS
    assert comparison.baseline == BASELINE
    assert set(comparison.queries) == set(read_qrels(COLLECTION / "qrels" / "test.tsv").judgments)
    assert all(tuple(each.values) == MEASURES for each in comparison.evaluations.values())
    assert 0.1 < comparison.evaluations["bm25"].value("nDCG@10") < 0.9


def test_figures_are_those_of_a_batch_through_the_searcher(
    found: Demo, index: Index, pruned: Index
) -> None:
    judgments = read_qrels(COLLECTION / "qrels" / "test.tsv").judgments
    queries = asked(found)
    weights = {"dense": found.dense_weights["zscore"], "lexical": 1 - found.dense_weights["zscore"]}
    batch = {
        "bm25": index.searcher(100, mode="lexical"),
        "rrf": index.searcher(100, mode="hybrid"),
        "zscore": index.searcher(100, mode="hybrid", fuse="zscore", weights=weights),
        "reranked": index.searcher(100, mode="hybrid", rerank=[reranker("lambdamart", keep=100)]),
        "pruned": pruned.searcher(100, mode="hybrid"),
    }
    runs = {name: search.run(queries).scores() for name, search in batch.items()}
    for name, evaluation in evaluate_runs(runs, judgments, MEASURES).evaluations.items():
        for measure, values in evaluation.values.items():
            ours = found.comparison.evaluations[name].values[measure]
            np.testing.assert_array_equal(ours, values)


def test_weights_are_the_best_of_eleven_on_dev(found: Demo, index: Index) -> None:
    judgments = read_qrels(COLLECTION / "qrels" / "dev.tsv").judgments
    queries = [q for q in read_queries(COLLECTION / "queries.jsonl") if q.id in judgments]
    assert set(found.dense_weights) == {"minmax", "zscore"}
    for method, chosen in found.dense_weights.items():
        values = {}
        for weight in (step / 10 for step in range(11)):
            weights = {"dense": weight, "lexical": 1 - weight}
            search = index.searcher(100, mode="hybrid", fuse=method, weights=weights)
            run = search.run(queries).scores()
            values[weight] = evaluate(run, judgments, ["nDCG@10"]).value("nDCG@10")
        assert values[chosen] == max(values.values())


def test_junk_is_counted_by_hand(found: Demo, index: Index, pruned: Index) -> None:
    kinds = labels()
    searches = {
        "dense": index.searcher(10, mode="dense"),
        "pruned": pruned.searcher(10, mode="hybrid"),
    }
    for name, search in searches.items():
        best = search.run(asked(found)).ids()
        shares = [len([id_ for id_ in ids if kinds[id_] != "good"]) / 10 for ids in best]
        assert found.junk[name] == pytest.approx(np.mean(shares), abs=0.005)  # ties may swap


def test_the_pruned_index_lacks_what_is_said_to_be_left_out(found: Demo, pruned: Index) -> None:
    kinds = labels()
    stay = pruned.passages.ids(np.arange(len(pruned)))
    told = found.pruning
    assert told.passages == len(set(stay)) == len(pruned) < len(kinds)
    assert told.near_duplicates + told.cut + told.passages == len(kinds) == found.passages
    assert told.near_duplicates == 18  # of 24 copies 9, of 8 more the later original, and a notice
    assert told.passages == 365 == -(-3 * (504 - 18) // 4)
    assert told.quality == "recurrent"
    assert told.junk == len([id_ for id_ in stay if kinds[id_] != "good"])
    assert told.junk_before == sum(kind != "good" for kind in kinds.values())
    assert told.junk / told.passages < told.junk_before / found.passages / 2
    assert found.junk["pruned"] < found.junk["rrf"]


def test_equivalence_is_that_of_pruned_with_rrf_in_ndcg(found: Demo) -> None:
    values = {
        name: found.comparison.evaluations[name].values["nDCG@10"] for name in ("pruned", "rrf")
    }
    assert found.pruning.equivalence == equivalence(values["pruned"], values["rrf"], margin=0.05)
    assert found.pruning.equivalence.delta == pytest.approx(
        values["pruned"].mean() - values["rrf"].mean()
    )


def test_reranking_moves_passages_and_loses_none(found: Demo) -> None:
    before, after = (found.comparison.evaluations[name] for name in ("rrf", "reranked"))
    np.testing.assert_array_equal(before.values["R@100"], after.values["R@100"])
    assert (before.values["nDCG@10"] != after.values["nDCG@10"]).any()


def parts(folder: Path) -> tuple[int, int]:
    """Bytes of BM25 and of the vectors."""
    lexical = sum(path.stat().st_size for path in (folder / "lexical").iterdir())
    return lexical, (folder / "index").stat().st_size


def test_a_system_needs_the_bytes_of_its_parts(found: Demo, folder: Path, pruned: Index) -> None:
    lexical, dense = parts(folder)
    both = dict.fromkeys(("rrf", "zscore", "reranked"), dense + lexical)
    expected = {"bm25": lexical, "dense": dense, **both, "pruned": sum(parts(pruned.folder.path))}
    assert expected["pruned"] < 0.8 * expected["rrf"]
    assert {name: found.costs[name].index_bytes for name in expected} == expected
    assert found.passage_bytes >= (folder / "passages.arrow").stat().st_size
    assert found.pruning.passage_bytes < found.passage_bytes
    assert all(cost.milliseconds > 0 for cost in found.costs.values())


def test_samples_show_every_system_once_with_its_grade(found: Demo, index: Index) -> None:
    dev = read_qrels(COLLECTION / "qrels" / "dev.tsv").judgments
    assert [sample.query.id for sample in found.samples] == list(SAMPLES)
    for sample in found.samples:
        assert sorted(name for each in sample.answers for name in each.systems) == sorted(SYSTEMS)
        for answer in sample.answers:
            assert answer.passage is not None
            assert answer.grade == dev[sample.query.id].get(answer.passage.id)
            if "bm25" in answer.systems:
                [hit] = index.search(sample.query.text, 1, mode="lexical")
                assert answer.passage == hit.passage


def test_json_is_that_of_eval_with_costs_beside_each_run() -> None:
    body = json.loads(call("--json").stdout)
    assert [run["run"] for run in body["runs"]] == SYSTEMS
    for run in body["runs"]:
        for measure in MEASURES:
            value = run["measures"][measure]
            assert value["low"] <= value["value"] <= value["high"]
        assert 0 <= run["junk@10"] <= 1
        assert run["milliseconds_per_query"] > 0
        assert run["index_bytes"] > 0
        assert (run["dense_weight"] is not None) == (run["run"] in ("minmax", "zscore"))
    assert body["split"] == "test"
    assert body["tuned_on"] == {"split": "dev", "queries": 36}
    assert body["queries"] == 72
    assert body["judgments"] == "qrels/test.tsv"
    assert body["baseline"] == BASELINE
    assert body["encoder"] == "tamis-small"
    assert body["query_encoder"] in ("minilm", "tamis-small")
    assert [sample["query"]["id"] for sample in body["samples"]] == list(SAMPLES)
    assert body["reranker"] == "lambdamart"
    assert body["left_out"] == {}
    pruning = body["pruning"]
    assert pruning["settings"] == {"near_duplicates": 0.8, "keep": 0.75}
    assert pruning["quality"] == "recurrent"
    assert pruning["passages"] + pruning["near_duplicates"] + pruning["cut"] == body["passages"]
    assert pruning["junk"] < pruning["junk_before"]
    values = {run["run"]: run["measures"]["nDCG@10"]["value"] for run in body["runs"]}
    test = pruning["equivalence"]
    assert (test["with"], test["measure"], test["queries"]) == ("rrf", "nDCG@10", 72)
    assert test["delta"] == pytest.approx(values["pruned"] - values["rrf"])
    assert test["equivalent"] == (test["p_lower"] < 0.05 and test["p_upper"] < 0.05)
    assert body["samples"][0]["answers"][0]["passage"]["text"]


def test_one_table_of_at_most_100_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    result = call("--keep", str(tmp_path / "kept"))
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if "tamis search" not in line) <= 100
    for name in SYSTEMS:
        assert len([line for line in lines if line.split()[:1] == [name]]) == 1
    assert "…" not in result.stdout
    assert "\x1b" not in result.stdout
    for told in (
        "dense: tamis-small",
        "72 queries",
        "trec",
        "thread",
        "365 stay",
        "for show",
        "tamis build",
    ):
        assert told in result.stdout
    assert "ask dense" in result.stderr
    assert "ask dense" not in result.stdout
    assert len(open_index(tmp_path / "kept")) == len(labels())
    refused = CliRunner().invoke(APP, ["--keep", str(tmp_path / "kept")])
    assert isinstance(refused.exception, BadArguments)


def test_without_lightgbm_nothing_is_reranked_and_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.setattr("tamis.pipeline.demo.run_demo", partial(run_demo, encoder="hashing"))
    result = call()
    told = " ".join(result.stdout.split())
    assert "reranked: left out; the reranker 'lambdamart' needs lightgbm: pip install" in told
    assert "'tamis[ltr]'" in told
    first = [line.split()[0] for line in result.stdout.splitlines() if line.split()]
    assert [name for name in SYSTEMS if name in first] == [n for n in SYSTEMS if n != "reranked"]
