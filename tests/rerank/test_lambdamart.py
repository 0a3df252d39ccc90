"""The LambdaMART reranker and its training: planted truth, repeatability, refused files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, CorruptFile, MissingDependency, MissingResource
from tamis.core.fingerprints import of_file
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank import lambdamart
from tamis.rerank.features import FEATURES
from tamis.rerank.lambdamart import PACKAGED, SHA256, LambdamartReranker
from tamis.rerank.training.lambdamart import Trained, train_lambdamart

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("lightgbm", reason="the extra ltr is not installed")

COLOURS = ["red", "green", "blue", "white", "black"]
BEASTS = ["fox", "owl", "cat", "dog", "bee", "ant"]


def planted(queries: int, seed: int) -> tuple[list[Candidates], dict[str, dict[str, int]]]:
    """Ten candidates a query in random order; the one that holds the query's phrase is relevant.

    The others hold both words, apart: only the phrase tells, the scores of the stages do not.
    """
    random = np.random.default_rng(seed)
    rankings, judgments = [], {}
    for number in range(queries):
        colour, beast = random.choice(COLOURS), random.choice(BEASTS)
        right = int(random.integers(10))
        texts = [
            f"the {colour} {beast} runs" if place == right else f"{beast} and {colour} snow"
            for place in range(10)
        ]
        scores = np.sort(random.random(10).astype(np.float32))[::-1]
        passages = [Passage(f"{number}-{place}", text) for place, text in enumerate(texts)]
        ranking = Ranking(
            Query(f"q{number}", f"{colour} {beast}"), np.arange(10), scores, {"dense": scores}
        )
        rankings.append(Candidates(ranking, passages))
        judgments[f"q{number}"] = {f"{number}-{right}": 1}
    return rankings, judgments


@pytest.fixture(scope="module")
def trained() -> Trained:
    rankings, judgments = planted(300, seed=1)
    return train_lambdamart(rankings, judgments, trees=10, threads=1)


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    (tmp_path / "model.txt").write_text(trained.text, "utf-8")
    return tmp_path / "model.txt"


def test_training_finds_the_planted_rule(trained: Trained, model: Path) -> None:
    rankings, judgments = planted(30, seed=2)
    for candidates, scores in zip(
        rankings, LambdamartReranker(model=model).score(rankings), strict=True
    ):
        best = candidates.passages[int(np.argmax(scores))].id
        assert judgments[candidates.ranking.query.id] == {best: 1}
    assert trained.dev_ndcg == pytest.approx(1.0)
    assert (trained.queries, trained.dev_queries) == (240, 60)
    assert next(iter(trained.gains)) in (
        *("phrase", "longest_run", "pairs_covered", "ordered_pairs"),
    )


def test_the_same_call_gives_the_same_text(trained: Trained) -> None:
    again = train_lambdamart(*planted(300, seed=1), trees=10, threads=1)
    assert again.text == trained.text
    other = train_lambdamart(*planted(300, seed=1), trees=10, threads=1, seed=5)
    assert other.text != trained.text


def test_the_text_names_the_features_and_no_path(trained: Trained) -> None:
    assert f"\nfeature_names={' '.join(FEATURES)}\n" in trained.text
    assert "parameters" not in trained.text
    assert trained.trees <= 10


def test_rankings_of_one_query_stay_on_one_side_of_the_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tamis.rerank.training import lambdamart as recipe

    sides: list[set[str]] = []
    build = recipe._dataset

    def watched(lightgbm: object, examples: list, names: list[str]) -> object:
        sides.append({example.query for example in examples})
        return build(lightgbm, examples, names)

    monkeypatch.setattr(recipe, "_dataset", watched)
    rankings, judgments = planted(60, seed=1)
    train_lambdamart([*rankings, *rankings], judgments, trees=2, threads=1)
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 60


def test_folds_give_the_mean_of_their_forests(tmp_path: Path) -> None:
    import lightgbm

    from tamis.rerank.features import features
    from tamis.rerank.forest_file import mean_of_forests

    rankings, judgments = planted(80, seed=1)
    one, other = (
        train_lambdamart(rankings, judgments, trees=4, threads=1, seed=seed).text for seed in (0, 1)
    )
    joined = mean_of_forests([one, other])
    table = features(planted(1, seed=9)[0][0])
    alone = [lightgbm.Booster(model_str=text).predict(table) for text in (one, other)]
    (tmp_path / "mean.txt").write_text(joined, "utf-8")
    mean = LambdamartReranker(model=tmp_path / "mean.txt")._booster.predict(table)
    np.testing.assert_allclose(mean, (alone[0] + alone[1]) / 2, rtol=1e-12)
    assert np.ptp(alone[0] - alone[1]) > 0


def test_with_folds_every_query_is_held_out_once_and_more_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tamis.rerank.training import lambdamart as recipe

    sides: list[list[str]] = []
    build = recipe._dataset

    def watched(lightgbm: object, examples: list, names: list[str]) -> object:
        sides.append([example.query for example in examples])
        return build(lightgbm, examples, names)

    monkeypatch.setattr(recipe, "_dataset", watched)
    own = recipe.examples(*planted(12, seed=1))
    more = [
        recipe.Example(f"more {each.query}", each.table, each.grades)
        for each in recipe.examples(*planted(5, seed=2))
    ]
    trained = recipe.train_on(
        own, more=more, trees=2, folds=3, threads=1, parameters={"min_data_in_leaf": 1}
    )
    taught, held_out = sides[::2], sides[1::2]
    assert sorted(query for fold in held_out for query in fold) == sorted(e.query for e in own)
    for fold, others in zip(held_out, taught, strict=True):
        assert {*fold, *others} == {each.query for each in (*own, *more)}
        assert {each.query for each in more} <= set(others)
    assert (trained.queries, trained.dev_queries) == (12, 12)
    with pytest.raises(BadArguments, match="folds is 0"):
        recipe.train_on(own, folds=0)


def test_a_model_trained_on_a_stage_reads_that_stage(tmp_path: Path) -> None:
    rankings, _judgments = planted(100, seed=1)
    random = np.random.default_rng(3)
    known = [
        Candidates(
            Ranking(
                each.ranking.query,
                each.ranking.rows,
                each.ranking.scores,
                {"maxsim (tiny)": random.permutation(10).astype(np.float32)},
            ),
            each.passages,
        )
        for each in rankings
    ]
    judged = {
        each.ranking.query.id: {
            p.id: int(score > 7)
            for p, score in zip(
                each.passages, each.ranking.stages["maxsim (tiny)"].tolist(), strict=True
            )
        }
        for each in known
    }
    trained = train_lambdamart(known, judged, trees=5, threads=1, stages=["maxsim"])
    (tmp_path / "stacked.txt").write_text(trained.text, "utf-8")
    reranker = LambdamartReranker(model=tmp_path / "stacked.txt")
    assert reranker.stages == ("maxsim",)
    (scores,) = reranker.score(known[:1])
    best = known[0].ranking.stages["maxsim (tiny)"] > 7
    assert scores[best].min() > scores[~best].max()
    told = reranker.explain(known[0])
    assert told[0].parts[0].name.startswith("maxsim_")


def test_rankings_that_teach_nothing_are_left_out() -> None:
    rankings, judgments = planted(60, seed=1)
    known = {query: judged for query, judged in judgments.items() if int(query[1:]) < 50}
    trained = train_lambdamart(rankings, known, trees=2, threads=1)
    assert trained.queries + trained.dev_queries == 50
    with pytest.raises(BadData, match="0 queries have candidates of different grades"):
        train_lambdamart(rankings, {}, trees=2)


def test_equal_predictions_keep_the_order_so_far(model: Path) -> None:
    text = "one text for all"
    scores = np.linspace(1, 0, 700, dtype=np.float32)
    rows = np.arange(700)[::-1].copy()  # row numbers alone would turn the order upside down
    ranking = Ranking(Query("q", "red fox"), rows, scores)
    given = Candidates(ranking, [Passage(f"p{i}", text) for i in rows])
    found = LambdamartReranker(model=model).score([given])[0]
    assert (np.diff(found) < 0).all()
    assert np.ptp(found) <= np.ptp(_predictions(model, given)) + 1e-3


def _predictions(model: Path, given: Candidates) -> np.ndarray:
    import lightgbm

    from tamis.rerank.features import features

    return lightgbm.Booster(model_file=str(model)).predict(features(given))


def test_scores_are_the_boosters_own(model: Path) -> None:
    rankings, _ = planted(5, seed=3)
    found = LambdamartReranker(model=model).score(rankings)
    for candidates, scores in zip(rankings, found, strict=True):
        np.testing.assert_allclose(scores, _predictions(model, candidates), rtol=0, atol=1.1e-3)


def test_nothing_is_printed(model: Path) -> None:
    code = (
        "import sys; from tamis.rerank.lambdamart import LambdamartReranker; "
        "LambdamartReranker(model=sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(model)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


class TestThePackagedModel:
    def test_it_is_the_one_that_was_measured_and_small(self) -> None:
        assert of_file(PACKAGED) == SHA256
        assert PACKAGED.stat().st_size < 300_000
        card = PACKAGED.with_name("README.md").read_text("utf-8")
        assert SHA256 in card

    def test_another_file_in_its_place_is_corrupt(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lambdamart, "PACKAGED", model)
        with pytest.raises(CorruptFile, match=f"expected {SHA256}"):
            LambdamartReranker()

    def test_it_prefers_the_passage_that_answers(self) -> None:
        texts = [
            "The Norman conquest of England began in 1066 at Hastings.",
            "A cake is baked of flour, sugar and eggs.",
        ]
        scores = np.array([0.016, 0.016], np.float32)
        stages = {
            "dense": np.array([0.6, 0.1], np.float32),
            "lexical": np.array([9, 2], np.float32),
        }
        ranking = Ranking(
            Query("q", "when did the Norman conquest begin"), np.arange(2), scores, stages
        )
        passages = [Passage(str(place), text) for place, text in enumerate(texts)]
        found = LambdamartReranker().score([Candidates(ranking, passages)])[0]
        assert found[0] > found[1]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match=r"none\.txt is not there"):
        LambdamartReranker(model=tmp_path / "none.txt")


def test_without_lightgbm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tamis\[ltr\]'"):
        LambdamartReranker()
