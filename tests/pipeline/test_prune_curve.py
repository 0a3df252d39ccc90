"""The curve of pruning: each point is what a pruned build, a search and an evaluation would say."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.core.errors import (
    BadArguments,
    BadData,
    FailedWhileRunning,
    Mismatch,
    UnknownComponent,
)
from tamis.core.protocols import Candidates
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.records import Passage, Query, Ranking
from tamis.encoders.hashing import HashingEncoder
from tamis.encoders.quality.chance import RandomQuality
from tamis.encoders.quality.length import LengthQuality
from tamis.eval.discrimination import area_under_roc
from tamis.eval.evaluate import evaluate
from tamis.pipeline.build import build
from tamis.pipeline.cascade import reranker_of
from tamis.pipeline.cli import app
from tamis.pipeline.comparing.curve_report import as_json, write_report
from tamis.pipeline.comparing.desk import Desk
from tamis.pipeline.comparing.measuring import Measures
from tamis.pipeline.comparing.pipelines import Answered
from tamis.pipeline.comparing.prune_curve import PruneCurve, prune_curve
from tamis.pipeline.comparing.remembering import RememberingReranker
from tamis.pipeline.search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Encoded, Role
    from tamis.core.records import Float32Array
    from tamis.eval.pruning_curve import Curve, Estimate

pytest.importorskip("faiss")
WORDS = "flea wine sieve river stone bread cloud salt iron leaf moon road fish ship".split()  # noqa: SIM905
PASSAGES = 90
RELEVANT = {"q0": {3: 2, 11: 1}, "q1": {20: 1}, "q2": {41: 1, 42: 0}, "q3": {60: 1}, "q4": {88: 1}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus.jsonl, queries.tsv, qrels.tsv; a query shares words with what is relevant to it."""
    home = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(5)
    texts = [" ".join([*rng.choice(WORDS, rng.integers(3, 12)), f"w{n}"]) for n in range(PASSAGES)]
    texts[31] = texts[30]  # the same twice, so that scores tie
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(texts)]
    (home / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    asked, judged = [], ["query-id\tcorpus-id\tscore"]
    for query, grades in RELEVANT.items():
        first = next(iter(grades))
        asked.append(f"{query}\t{' '.join(texts[first].split()[-4:])} {rng.choice(WORDS)}")
        judged += [f"{query}\tp{row}\t{grade}" for row, grade in grades.items()]
    asked.append("unjudged\tflea")
    (home / "queries.tsv").write_text("\n".join(asked), "utf-8")
    (home / "qrels.tsv").write_text("\n".join(judged), "utf-8")
    np.save(home / "given.npy", rng.random(PASSAGES).astype(np.float32))
    return home


class Overlap:
    """A reranker by shared letters; remembers how many pairs it was asked for."""

    name = "overlap"

    def __init__(self, *, keep: int = 20, pointwise: bool = True) -> None:
        self.keep = keep
        self.pointwise = pointwise
        self.asked = 0

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        self.asked += sum(len(each.passages) for each in batch)
        return [
            np.array(
                [
                    len({*each.ranking.query.text.split()} & {*p.full_text.split()})
                    + len(p.text) / 1000
                    for p in each.passages
                ],
                np.float32,
            )
            for each in batch
        ]


class Counted(HashingEncoder):
    """Counts the passages it encodes, and is killed after ``lives`` calls."""

    def __init__(self, lives: int = 10**9) -> None:
        super().__init__()
        self.passages = 0
        self._lives = lives

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        self._lives -= 1
        if self._lives < 0:
            raise KeyboardInterrupt
        self.passages += len(texts) if role == "passage" else 0
        return super().encode(texts, role)


def curve_over(data: Path, report: Path, **more: Any) -> PruneCurve:
    chosen = {
        "encoder": "hashing",
        "qualities": ["perplexity", data / "given.npy"],
        "shares": (0.1, 0.4, 0.7),
        "seeds": 2,
        "measures": ("nDCG@10",),
    }
    return prune_curve(
        data / "corpus.jsonl",
        report,
        queries=str(data / "queries.tsv"),
        qrels=str(data / "qrels.tsv"),
        **{**chosen, **more},
    )


@pytest.fixture(scope="module")
def found(data: Path, tmp_path_factory: pytest.TempPathFactory) -> PruneCurve:
    report = tmp_path_factory.mktemp("report") / "r"
    return curve_over(data, report, rerank=[Overlap()])


def one(found: PruneCurve, quality: str, pipeline: str, seed: int | None = None) -> Curve:
    (curve,) = (
        each
        for each in found.curves
        if (each.quality, each.pipeline, each.seed) == (quality, pipeline, seed)
    )
    return curve


def estimate(curve: Curve, share: float, measure: str) -> Estimate:
    return next(point for point in curve.points if point.share == share).estimates[measure]


class TestACurvePointIsATrueBuild:
    @pytest.mark.parametrize("share", [0.1, 0.7])
    @pytest.mark.parametrize("quality", ["perplexity", "given.npy", "length", "random"])
    def test_in_every_pipeline(
        self, found: PruneCurve, data: Path, tmp_path: Path, quality: str, share: float
    ) -> None:
        """random's first seed is what ``tamis build --quality random`` takes."""
        named = data / quality if quality.endswith(".npy") else quality
        keep = {0.1: 0.9, 0.7: 0.3}[share]
        index = build(
            data / "corpus.jsonl", tmp_path / "i", encoder="hashing", quality=named, keep=keep
        )
        queries = [q for q in read_queries(data / "queries.tsv") if q.id in RELEVANT]
        judged = read_qrels(data / "qrels.tsv").judgments
        for pipeline in ("dense", "lexical", "hybrid", "cascade"):
            rerank = [Overlap()] if pipeline == "cascade" else []
            mode: Any = "hybrid" if pipeline == "cascade" else pipeline
            run = index.searcher(1000, mode=mode, rerank=rerank).run(queries)
            true = evaluate(run.scores(), judged, ["nDCG@10", "R@100"])
            curve = one(found, quality, pipeline, 0 if quality == "random" else None)
            for measure in ("nDCG@10", "R@100"):
                assert estimate(curve, share, measure).value == pytest.approx(true.value(measure))
            assert curve.points[-1].kept == 27

    def test_unpruned_is_a_build_without_keep(
        self, found: PruneCurve, data: Path, tmp_path: Path
    ) -> None:
        index = build(data / "corpus.jsonl", tmp_path / "i", encoder="hashing")
        queries = [q for q in read_queries(data / "queries.tsv") if q.id in RELEVANT]
        run = index.searcher(1000, mode="hybrid").run(queries)
        true = evaluate(run.scores(), read_qrels(data / "qrels.tsv").judgments, ["nDCG@10"])
        assert one(found, "length", "hybrid").unpruned["nDCG@10"] == pytest.approx(
            true.value("nDCG@10")
        )

    def test_costs_are_those_of_the_index_that_a_build_writes(
        self, found: PruneCurve, data: Path, tmp_path: Path
    ) -> None:
        build(
            data / "corpus.jsonl", tmp_path / "i", encoder="hashing", quality="perplexity", keep=0.6
        )
        cost = found.costs[2]
        assert (found.costs_of, cost.share, cost.passages) == ("perplexity", 0.4, 54)
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "i").iterdir()}
        lexical = sum(path.stat().st_size for path in (tmp_path / "i" / "lexical").iterdir())
        assert cost.bytes == {
            "vectors": sizes["index"],
            "bm25": lexical,
            "texts": sizes["passages.arrow"] + sizes["docid"],
        }
        assert all(cost.checked[name] < 1e-9 for name in ("dense", "lexical", "hybrid"))
        assert set(cost.milliseconds) == {"dense", "lexical", "hybrid"}
        assert set(found.rerank_milliseconds) == {"overlap"}
        assert found.costs[0].seconds["score"] == 0
        assert cost.seconds["score"] > 0
        tokens = 1 - cost.tokens / found.costs[0].tokens
        assert found.tokens_pruned["perplexity"][1] == pytest.approx(tokens)


class TestTheColumns:
    def test_the_oracle_prunes_no_relevant_passage(self, found: PruneCurve) -> None:
        oracle = one(found, "oracle", "lexical")
        assert [point.kept for point in oracle.points] == [81, 54, 27]
        recalls = [point.estimates["R@100"].value for point in oracle.points]
        assert min(recalls) >= oracle.unpruned["R@100"]
        assert oracle.kind == "oracle"

    def test_areas_are_those_of_scores_and_judgments(self, found: PruneCurve, data: Path) -> None:
        lines = (data / "corpus.jsonl").read_text("utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        relevant = {row for grades in RELEVANT.values() for row, grade in grades.items() if grade}
        labels = [row in relevant for row in range(PASSAGES)]
        areas = found.areas.by_quality
        assert areas["length"]["value"] == area_under_roc(LengthQuality().score(texts), labels)
        drawn = [area_under_roc(RandomQuality(seed=n).score(texts), labels) for n in range(2)]
        assert areas["random"]["value"] == pytest.approx(np.mean(drawn))
        assert (found.areas.positives, found.areas.base_rate) == (6, 6 / 90)
        assert areas["perplexity"]["over_length"]["delta"] == pytest.approx(
            areas["perplexity"]["value"] - areas["length"]["value"]
        )
        assert "oracle" not in areas

    def test_further_judgments_are_for_the_areas_alone(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "train.tsv").write_text("t1\t0\tp7\t1\nt1\t0\tp8\t0\n", "utf-8")
        more = {"modes": ["lexical"], "qualities": ["itn"], "seeds": 1}
        plain = curve_over(data, tmp_path / "r", **more)
        further = curve_over(data, tmp_path / "r", area_qrels=[str(tmp_path / "train.tsv")], **more)
        assert (plain.areas.positives, further.areas.positives) == (6, 7)
        assert plain.areas.by_quality["itn"] != further.areas.by_quality["itn"]
        assert as_json(plain)["curves"] == as_json(further)["curves"]

    def test_queries_without_a_judgment_are_told_and_left_out(self, found: PruneCurve) -> None:
        assert [query.id for query in found.collection.queries] == sorted(RELEVANT)
        assert found.collection.warnings[0].startswith("1 of 6 queries have no judgment")


SMALL: dict[str, Any] = {"modes": [], "qualities": ["itn"], "shares": (0.1, 0.7)}
"""The cascade alone, five cuts and the whole."""


class TestNothingIsDoneTwice:
    def test_another_call_computes_what_is_new(self, data: Path, tmp_path: Path) -> None:
        encoder, reranker = Counted(), Overlap()
        once = curve_over(data, tmp_path / "r", encoder=encoder, rerank=[reranker], **SMALL)
        asked = reranker.asked
        assert encoder.passages == PASSAGES
        assert asked < 5 * 20 * 6, "a pair is scored once, not in each of 11 cuts; 5 are timed"
        again = curve_over(data, tmp_path / "r", encoder=encoder, rerank=[reranker], **SMALL)
        assert (encoder.passages, reranker.asked) == (PASSAGES, asked)
        assert again.reused > once.reused
        assert as_json(again)["curves"] == as_json(once)["curves"]
        assert again.costs == once.costs, "seconds too are those that were measured"
        more = {**SMALL, "shares": (0.1, 0.2)}
        other = curve_over(data, tmp_path / "r", encoder=encoder, rerank=[reranker], **more)
        assert encoder.passages == PASSAGES
        assert one(other, "length", "cascade").points[0] == one(once, "length", "cascade").points[0]

    def test_a_killed_run_goes_on(self, data: Path, tmp_path: Path) -> None:
        class Mortal(Overlap):
            def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
                if self.asked > 150:
                    raise KeyboardInterrupt
                return super().score(batch)

        with pytest.raises(KeyboardInterrupt):
            curve_over(data, tmp_path / "r", rerank=[Mortal()], **SMALL)
        kept = len(list((tmp_path / "r" / "work" / "values").glob("*.npy")))
        assert kept > 1
        fresh = Overlap()
        resumed = curve_over(data, tmp_path / "r", rerank=[fresh], **SMALL)
        whole = Overlap()
        direct = curve_over(data, tmp_path / "other", rerank=[whole], **SMALL)
        assert as_json(resumed)["curves"] == as_json(direct)["curves"]
        assert 0 < fresh.asked < whole.asked

    def test_a_reranker_that_looks_at_its_company_is_asked_in_every_cut(
        self, data: Path, tmp_path: Path
    ) -> None:
        remembered, alone = Overlap(), Overlap(pointwise=False)
        first = curve_over(data, tmp_path / "a", rerank=[remembered], **SMALL)
        second = curve_over(data, tmp_path / "b", rerank=[alone], **SMALL)
        assert first.pipelines == ["cascade"]
        assert alone.asked > 2 * remembered.asked
        assert as_json(first)["curves"] == as_json(second)["curves"]

    def test_other_judgments_are_other_values(self, data: Path, tmp_path: Path) -> None:
        once = curve_over(data, tmp_path / "r", **{**SMALL, "modes": ["lexical"]})
        other = tmp_path / "other.tsv"
        other.write_text("q0\t0\tp5\t1\nq1\t0\tp20\t1\n", "utf-8")
        again = prune_curve(
            data / "corpus.jsonl",
            tmp_path / "r",
            queries=str(data / "queries.tsv"),
            qrels=str(other),
            shares=(0.1,),
            modes=["lexical"],
            seeds=1,
        )
        assert again.curves[0].unpruned["nDCG@10"] != once.curves[0].unpruned["nDCG@10"]
        assert again.encoders == {}
        assert again.tokens_pruned == {}


class TestTheReport:
    def test_files_for_people_and_programs(self, found: PruneCurve, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        written = write_report(found, tmp_path, command="tamis compare ...")
        assert [path.name for path in written] == [
            "report.json",
            "report.md",
            "figure.svg",
            "figure.pdf",
        ]
        body = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert len(body["curves"]) == 4 * (2 + 1 + 2 + 1)
        point = body["curves"][0]["points"][0]["measures"]["nDCG@10"]
        assert {"value", "low", "high", "test"} == set(point)
        assert point["test"]["margin"] == pytest.approx(0.05 * point["test"]["baseline_mean"])
        told = (tmp_path / "report.md").read_text("utf-8")
        for wanted in (
            "| cascade",
            "oracle (sees the judgments)",
            "`tamis compare ...`",
            "## dense: R@100",
            "base rate 0.067",
            "figure.svg",
        ):
            assert wanted in told
        assert (tmp_path / "figure.svg").read_bytes().startswith(b"<?xml")
        assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")

    def test_without_matplotlib_one_line_says_how_to_have_the_figure(
        self,
        found: PruneCurve,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        written = write_report(found, tmp_path)
        assert [path.name for path in written] == ["report.json", "report.md"]
        assert "figure.svg" not in (tmp_path / "report.md").read_text("utf-8")
        (record,) = caplog.records
        assert "pip install 'tamis[plots]'" in record.message

    def test_the_command_prints_and_writes(self, data: Path, tmp_path: Path) -> None:
        call = ["compare", str(data / "corpus.jsonl"), "-o", str(tmp_path / "r")]
        call += ["--queries", str(data / "queries.tsv"), "--qrels", str(data / "qrels.tsv")]
        small = ["--prune-curve", "--mode", "lexical", "--share", "0.2", "--seeds", "1"]
        done = CliRunner().invoke(app, [*call, *small, "--quality", "itn"])
        assert done.exit_code == 0, done.output
        assert "| BM25     | itn" in done.stdout
        assert (tmp_path / "r" / "report.json").is_file()
        done = CliRunner().invoke(app, [*call, *small, "--quality", "itn", "--json"])
        assert json.loads(done.stdout)["summary"][0]["quality"] == "itn"
        with pytest.raises(BadArguments, match="say --prune-curve"):
            CliRunner().invoke(app, call, catch_exceptions=False)


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"shares": (0.5, 1.0)}, r"the share pruned is 1\.0"),
            ({"shares": ()}, "the share pruned is not given"),
            ({"modes": ["sparse"]}, "no mode is called 'sparse'"),
            ({"modes": []}, "no mode is given"),
            ({"seeds": 0}, "seeds is 0"),
            ({"qualities": ["itn", "itn"]}, "two qualities are called 'itn'"),
            ({"measures": ("nDGC@10",)}, "no measure is called 'nDGC'"),
        ],
    )
    def test_before_anything_is_read(
        self, wrong: dict[str, Any], message: str, data: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(BadArguments, match=message):
            curve_over(data, tmp_path / "r", **wrong)
        assert not (tmp_path / "r").exists()

    def test_scores_of_another_corpus(self, data: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "few.npy", np.ones(3, np.float32))
        with pytest.raises(Mismatch, match=r"few\.npy holds 3 scores"):
            curve_over(data, tmp_path / "r", qualities=[tmp_path / "few.npy"])

    def test_judgments_of_another_collection(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_text("other\t0\tp5\t1\n", "utf-8")
        (tmp_path / "b.tsv").write_text("q1\t0\tstranger\t1\n", "utf-8")
        for name, message in (("a", "none of the 6 queries"), ("b", "no passage that")):
            with pytest.raises(Mismatch, match=message):
                prune_curve(
                    data / "corpus.jsonl",
                    tmp_path / "r",
                    queries=str(data / "queries.tsv"),
                    qrels=str(tmp_path / f"{name}.tsv"),
                    modes=["lexical"],
                )

    def test_a_corpus_with_errors(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "c.jsonl").write_text('{"id": "a", "text": ""}\n', "utf-8")
        with pytest.raises(BadData, match="has errors"):
            prune_curve(
                tmp_path / "c.jsonl",
                tmp_path / "r",
                queries=str(data / "queries.tsv"),
                qrels=str(data / "qrels.tsv"),
                modes=["lexical"],
            )

    def test_a_folder_that_holds_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(BadArguments, match=r"holds 'thesis\.tex'"):
            Desk(tmp_path).__enter__()
        with Desk(tmp_path / "r"), pytest.raises(FailedWhileRunning, match="is locked"):
            Desk(tmp_path / "r").__enter__()


def test_a_ranking_is_never_cut_between_equal_scores(found: PruneCurve) -> None:
    """The tie rule puts p9 before p10; cut by row at 10, p9 alone would be looked at."""
    ids = [f"p{n}" for n in range(12)]
    collection: Any = type("C", (), {})()
    collection.ids, collection.judgments = ids, {"q": {"p9": 1}}
    query = Query("q", "x")
    collection.queries = [query]
    scores = np.array([9.0] * 8 + [1.0] * 4, np.float32)
    ranking = Ranking(query, np.arange(12), scores)
    measures = Measures.named(["P@9"])
    assert measures.depth == 100
    shallow = Measures(measures.measures[:1])
    values = shallow.values(collection, [ranking])
    whole = evaluate({"q": dict(zip(ids, scores.tolist(), strict=True))}, {"q": {"p9": 1}}, ["P@9"])
    assert values[0, 0] == whole.values["P@9"][0] == pytest.approx(1 / 9)
    nothing = [Ranking(query, np.empty(0, np.int64), np.empty(0, np.float32))]
    assert shallow.values(collection, nothing).tolist() == [[0.0]]


def test_known_rankings_answer_in_any_batches() -> None:
    queries = [Query(f"q{n}", f"text {n}") for n in range(5)]
    scores = np.array([0.5, 0.2], np.float32)
    rankings = [Ranking(each, np.array([n, n + 1]), scores) for n, each in enumerate(queries)]
    search = Search(dense=Answered("dense", None, rankings))  # type: ignore[arg-type]
    for at_once in (1, 2, 256):
        found = search.run(queries[1:], at_once=at_once)
        assert [(r.query.id, r.rows.tolist()) for r in found] == [
            (f"q{n}", [n, n + 1]) for n in range(1, 5)
        ]


def test_a_stage_is_read_as_a_search_reads_it(data: Path, tmp_path: Path) -> None:
    made = reranker_of("maxsim=tamis-tiny:7")
    assert (made.name, made.keep) == ("maxsim (tamis-tiny)", 7)
    with pytest.raises(UnknownComponent, match="no reranker is called 'nothing'"):
        curve_over(data, tmp_path / "report", rerank=["nothing:5"])
    assert not (tmp_path / "report").exists()


def test_a_remembered_pair_is_not_scored_again(tmp_path: Path) -> None:
    reranker = Overlap()
    passages = [Passage(str(n), f"a b {n}") for n in range(4)]

    def batch(*rows: int) -> list[Candidates]:
        ranking = Ranking(
            Query("1", "a 3"), np.array(rows), -np.arange(len(rows), dtype=np.float32)
        )
        return [Candidates(ranking, [passages[row] for row in rows])]

    first = RememberingReranker(reranker, tmp_path)
    assert first.score(batch(2, 0))[0].tolist() == Overlap().score(batch(2, 0))[0].tolist()
    assert first.score(batch(0, 3))[0].tolist() == Overlap().score(batch(0, 3))[0].tolist()
    assert reranker.asked == 3
    second = RememberingReranker(reranker, tmp_path)
    assert second.score(batch(3, 2))[0].tolist() == Overlap().score(batch(3, 2))[0].tolist()
    assert reranker.asked == 3
    assert second.score([]) == []
