"""One suite for every reranker: order, company, duplicates, the empty case, depth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments
from tamis.core.protocols import Candidates, Fingerprinted
from tamis.core.records import Passage, Query, Ranking
from tamis.encoders.quality.language_model import load_language_model
from tamis.pipeline.components import token_encoder
from tamis.rerank.cross import CrossReranker
from tamis.rerank.hypencoder.reranker import HypencoderReranker
from tamis.rerank.lambdamart import LambdamartReranker
from tamis.rerank.likelihood import LikelihoodReranker
from tamis.rerank.llm import LlmReranker
from tamis.rerank.maxsim import MaxsimReranker
from tamis.rerank.monot5 import MonoT5Reranker
from tamis.rerank.neural.reranker import NeuralReranker
from tamis.rerank.neural.spec import MODELS
from tamis.rerank.whole_vectors import EncoderReranker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tamis.core.protocols import Reranker
    from tamis.pipeline.opening import Index
    from tamis.rerank.hypencoder.scorer import HypencoderScorer
    from tamis.rerank.neural.scorer import Scorer

TEXTS = [
    "A flea lives for a hundred days.",
    "The cat sleeps, the dog does not.",
    "A recipe for bread: flour, water, salt and 3 days.",
    "How long does a flea live on a cat? Days, weeks, months.",
    "Wind over the sea.",
    "Fleas of the cat and of the dog",
    "Long days at sea, and how the wind blows for 100 days in 1900",
    "Bread and salt",
]
QUERIES = [
    Query("1", "how long does a flea live?"),
    Query("2", "bread recipe"),
    Query("3", "100 days of wind"),
]
TOLERANCE = 1e-5
RELATIVE = 3e-7  # a log-likelihood of -146 has neighbours 1.5e-5 away in float32


@pytest.fixture(
    params=[
        "cross",
        "cross in windows",
        "encoder",
        "lambdamart",
        "likelihood, causal",
        "likelihood, seq2seq",
        "llm",
        "hypencoder",
        "maxsim",
        "monot5",
        *MODELS,
    ]
)
def make(  # noqa: PLR0911
    request: pytest.FixtureRequest,
    tiny_cross: Path,
    tiny_t5: Path,
    tiny_gpt2: Path,
    neural_scorer: Callable[..., Scorer],
    stub_endpoint: Any,
    hypencoder_scorer: Callable[..., HypencoderScorer],
) -> Callable[..., Reranker]:
    """keep -> a reranker."""
    if request.param == "cross":
        return lambda keep=100: CrossReranker(model=tiny_cross, keep=keep)
    if request.param == "cross in windows":
        return lambda keep=100: CrossReranker(model=tiny_cross, keep=keep, words=4, stride=3)
    if request.param.startswith("likelihood"):
        folder = tiny_gpt2 if "causal" in request.param else tiny_t5
        language = load_language_model("likelihood", folder, "cpu", lambda *_: None)
        return lambda keep=100: LikelihoodReranker(language=language, keep=keep)
    if request.param == "llm":
        options = {"model": "stub", "url": stub_endpoint.url, "window": 4, "stride": 2}
        return lambda keep=100: LlmReranker(keep=keep, **options)
    if request.param == "hypencoder":
        return lambda keep=100: HypencoderReranker(
            hypencoder_scorer(), name="hypencoder", keep=keep
        )
    if request.param in MODELS:
        scorer = neural_scorer(request.param)
        return lambda keep=100: NeuralReranker(scorer, name=request.param, keep=keep)
    if request.param == "encoder":
        whole = tamis.encoder("tamis-tiny")
        return lambda keep=100: EncoderReranker(whole_encoder=whole, keep=keep)
    if request.param == "maxsim":
        encoder = token_encoder("tamis-tiny")
        return lambda keep=100: MaxsimReranker(encoder=encoder, keep=keep)
    if request.param == "monot5":
        return lambda keep=100: MonoT5Reranker(model=tiny_t5, keep=keep)
    pytest.importorskip("lightgbm", reason="the extra ltr is not installed")
    return lambda keep=100: LambdamartReranker(keep=keep)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("contract")
    lines = [json.dumps({"_id": f"p{i}", "text": text}) for i, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    return tamis.build(folder / "corpus.jsonl", folder / "idx", encoder="hashing")


def candidates(query: Query, texts: list[str]) -> Candidates:
    """Scores that fall slowly; every third passage was not found by the lexical stage."""
    n = len(texts)
    scores = np.linspace(0.9, 0.1, n, dtype=np.float32)
    lexical = np.where(np.arange(n) % 3 == 2, np.nan, 10 * scores[::-1]).astype(np.float32)
    stages = {"dense": scores, "lexical": lexical}
    ranking = Ranking(query, np.arange(n, dtype=np.int64), scores, stages)
    return Candidates(ranking, [Passage(f"p{i}", text) for i, text in enumerate(texts)])


def reordered(given: Candidates, order: np.ndarray) -> Candidates:
    old = given.ranking
    stages = {name: values[order] for name, values in old.stages.items()}
    ranking = Ranking(old.query, old.rows[order], old.scores[order], stages)
    return Candidates(ranking, [given.passages[place] for place in order])


class TestRerankerContract:
    def test_it_has_a_name_and_a_depth(self, make: Callable[..., Reranker]) -> None:
        assert make(7).keep == 7
        assert make().name

    def test_it_can_be_told_from_another(self, make: Callable[..., Reranker]) -> None:
        one, other = make(), make(7)
        assert isinstance(one, Fingerprinted), "or its outputs could not be kept"
        assert isinstance(other, Fingerprinted)
        assert one.fingerprint == other.fingerprint != ""

    def test_a_score_a_passage_float32_and_finite(self, make: Callable[..., Reranker]) -> None:
        batch = [candidates(query, TEXTS) for query in QUERIES]
        scores = make().score(batch)
        assert [(s.dtype, s.shape) for s in scores] == [(np.float32, (len(TEXTS),))] * 3
        assert np.isfinite(scores).all()
        assert all(np.ptp(s) > 0 for s in scores), "one score for all is no order"

    def test_no_queries_no_arrays(self, make: Callable[..., Reranker]) -> None:
        assert make().score([]) == []

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_query_without_candidates_gets_an_empty_array(
        self, make: Callable[..., Reranker], place: int
    ) -> None:
        batch = [candidates(QUERIES[0], TEXTS), candidates(QUERIES[1], TEXTS[:3])]
        expected = make().score(batch)
        batch.insert(place, candidates(QUERIES[2], []))
        found = make().score(batch)
        assert found[place].shape == (0,)
        assert found[place].dtype == np.float32
        for scores, alone in zip(found[:place] + found[place + 1 :], expected, strict=True):
            np.testing.assert_allclose(scores, alone, rtol=RELATIVE, atol=TOLERANCE)
        assert [s.shape for s in make().score([candidates(QUERIES[0], [])])] == [(0,)]

    def test_the_order_of_candidates_does_not_matter(self, make: Callable[..., Reranker]) -> None:
        reranker, given = make(), candidates(QUERIES[0], TEXTS)
        expected = reranker.score([given])[0]
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(TEXTS))
            found = reranker.score([reordered(given, order)])[0]
            np.testing.assert_allclose(found, expected[order], rtol=RELATIVE, atol=TOLERANCE)

    def test_the_other_queries_of_a_batch_do_not_matter(
        self, make: Callable[..., Reranker]
    ) -> None:
        reranker = make()
        batch = [candidates(query, TEXTS * times) for times, query in enumerate(QUERIES, 3)]
        for scores, each in zip(reranker.score(batch), batch, strict=True):
            alone = reranker.score([each])[0]
            np.testing.assert_allclose(scores, alone, rtol=RELATIVE, atol=TOLERANCE)

    def test_equal_candidates_get_equal_scores(self, make: Callable[..., Reranker]) -> None:
        given = candidates(QUERIES[0], [TEXTS[3], TEXTS[1], TEXTS[3]])
        scores = np.array([0.5, 0.2, 0.5], np.float32)
        ranking = Ranking(QUERIES[0], given.ranking.rows, scores, {"dense": scores})
        found = make().score([Candidates(ranking, given.passages)])[0]
        assert found[0] == pytest.approx(found[2], rel=RELATIVE, abs=TOLERANCE)

    def test_the_input_stays_untouched(self, make: Callable[..., Reranker]) -> None:
        given = candidates(QUERIES[0], TEXTS)
        for array in (given.ranking.rows, given.ranking.scores, *given.ranking.stages.values()):
            array.flags.writeable = False
        before = (list(given.passages), sorted(given.ranking.stages))
        make().score([given])
        assert (list(given.passages), sorted(given.ranking.stages)) == before

    def test_a_passage_may_be_odd(self, make: Callable[..., Reranker]) -> None:
        odd = [" ", "?!", "日本語の文", "flea " * 3000, "\u200b", "a\nb\tc"]
        assert np.isfinite(make().score([candidates(QUERIES[0], odd)])).all()
        assert np.isfinite(make().score([candidates(Query("q", "???"), odd)])).all()


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
class TestThroughSearch:
    def test_none_lost_and_none_added(
        self, make: Callable[..., Reranker], index: Index, mode: str
    ) -> None:
        before = index.searcher(len(TEXTS), mode=mode).run(QUERIES)
        after = index.searcher(len(TEXTS), mode=mode, rerank=[make(len(TEXTS))]).run(QUERIES)
        assert [sorted(r.rows) for r in after] == [sorted(r.rows) for r in before]
        assert all((np.diff(r.scores) <= 0).all() for r in after)

    def test_a_depth_keeps_the_best_of_the_stage_before(
        self, make: Callable[..., Reranker], index: Index, mode: str
    ) -> None:
        before = index.searcher(len(TEXTS), mode=mode).run(QUERIES)
        after = index.searcher(len(TEXTS), mode=mode, rerank=[make(2)]).run(QUERIES)
        assert [sorted(r.rows) for r in after] == [sorted(r.rows[:2]) for r in before]

    def test_a_depth_beyond_the_candidates_takes_them_all(
        self, make: Callable[..., Reranker], index: Index, mode: str
    ) -> None:
        deep = index.searcher(3, mode=mode, rerank=[make(500)]).run(QUERIES)
        assert all(1 <= len(ranking) <= 3 for ranking in deep)


def test_a_depth_of_nothing_is_refused_before_the_search(
    make: Callable[..., Reranker], index: Index
) -> None:
    with pytest.raises(BadArguments, match="0 candidates"):
        tamis.Search(dense=index.dense(5), rerank=[make(0)])
