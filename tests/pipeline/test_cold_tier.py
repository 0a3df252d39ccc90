"""A cold tier: what it holds, when it is asked, and that both tiers together are the whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments, CorruptFile, Mismatch, MissingResource
from tamis.core.manifest import read_manifest
from tamis.core.protocols import Encoded, Encoder, EncoderCard, QualityCard
from tamis.core.records import Query, Ranking
from tamis.pipeline.build import build
from tamis.pipeline.cold.signals import SIGNALS, sureness
from tamis.pipeline.cold.tier import LastQueries, best_below
from tamis.pipeline.fusion import fuse
from tamis.pipeline.index_parts import records_of
from tamis.pipeline.opening import open_index
from tamis.pipeline.search import Search
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates, Role
    from tamis.core.records import Float32Array
    from tamis.pipeline.opening import Index, Mode

ROWS = 40
MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
QUERIES = [Query(f"q{n}", f"word{n} thing{n % 7} other{n % 3}") for n in range(12)]


class Hashed(Encoder):
    """Two whole numbers a text, so that every product is exact; remembers what it was asked."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self._card = EncoderCard("hashed", "hashed", "space", 2, "dot", "none", 0)
        self.passages: list[str] = []
        self.queries: list[str] = []
        self._left = fails_after

    @property
    def card(self) -> EncoderCard:
        return self._card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        seen = self.passages if role == "passage" else self.queries
        if role == "passage" and len(seen) + len(texts) > self._left:
            raise KeyboardInterrupt
        seen += texts
        rows = [[sum(map(ord, text)) % 31, sum(map(ord, text[::2])) % 37] for text in texts]
        return Encoded(np.array(rows, np.float32).reshape(-1, 2), self.count_tokens(texts, role))

    def count_tokens(self, texts: Sequence[str], role: Role) -> Any:
        del role
        return np.array([len(text.split()) for text in texts], np.int32)


class Scores:
    """A score in every text's third word; remembers what it scored."""

    def __init__(self) -> None:
        self.card = QualityCard("third", "third")
        self.seen: list[str] = []

    def score(self, texts: Sequence[str]) -> Float32Array:
        self.seen += texts
        return np.array([int(text.split()[2][1:]) for text in texts], np.float32)


def text_of(row: int) -> str:
    score = (7 * row) % ROWS  # every score once
    return f"word{row % 12} thing{row % 7} s{score} " + "other1 " * (row % 4) + f"only{row}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [json.dumps({"id": f"p{row}", "text": text_of(row)}) for row in range(ROWS)]
    path = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiered") / "i"
    build(corpus, folder, encoder=Hashed(), quality=Scores(), keep=0.75, cold=True)
    return folder


@pytest.fixture
def tiered(built: Path, tmp_path: Path) -> Index:
    """A copy in ``tmp_path / "i"``, to be changed at will."""
    shutil.copytree(built, tmp_path / "i")
    return open_index(tmp_path / "i", encoder=Hashed())


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build(corpus, tmp_path_factory.mktemp("whole") / "i", encoder=Hashed())


def is_cold(row: int) -> bool:
    return (7 * row) % ROWS < ROWS // 4


def docids(folder: Path) -> list[int]:
    return [int(name[1:]) for name in (folder / "docid").read_text("utf-8").split()]


def parts(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def with_thresholds(folder: Path, **thresholds: float | None) -> None:
    manifest = read_manifest(folder)
    assert manifest.cold is not None
    rules = {
        mode: {**manifest.cold["thresholds"][mode], "threshold": threshold}
        for mode, threshold in thresholds.items()
    }
    told = {**manifest.cold["thresholds"], **rules}
    replace(manifest, cold={**manifest.cold, "thresholds": told}).write(folder)


def asked(index: Index, mode: Mode, when: Any, k: int = 10) -> list[dict[str, float]]:
    """Passage id -> score, query by query."""
    run = index.searcher(k, mode=mode, cold=when).run(QUERIES)
    return [
        dict(zip(ids, ranking.scores.tolist(), strict=True))
        for ids, ranking in zip(run.ids(), run, strict=True)
    ]


class TestTheFolder:
    def test_holds_the_pruned_passages_in_an_index_of_their_own(self, tiered: Index) -> None:
        rows = docids(tiered.folder.path)
        cold_rows = docids(tiered.folder.path / "cold")
        assert rows == [row for row in range(ROWS) if not is_cold(row)]
        assert cold_rows == [row for row in range(ROWS) if is_cold(row)]
        at = tiered.folder.path / "cold"
        assert np.load(at / "corpus_row.npy").tolist() == cold_rows
        assert np.load(at / "quality.npy").tolist() == [(7 * row) % ROWS for row in cold_rows]
        assert check_index(tiered.folder.path).ok
        assert check_index(at).ok
        assert len(tiered) == 30
        assert len(tiered.passages) == ROWS
        everything = tiered.passages.passages(np.arange(ROWS))
        assert [p.text for p in everything] == [text_of(row) for row in rows + cold_rows]

    def test_opens_alone(self, tiered: Index) -> None:
        alone = open_index(tiered.folder.path / "cold", encoder=Hashed())
        cold_row = docids(tiered.folder.path / "cold")[3]
        assert alone.search(f"only{cold_row}", k=1, mode="lexical")[0].passage.id == f"p{cold_row}"
        assert len(alone.search("word1", k=99)) == 10

    def test_is_counted_in_the_manifest_of_the_outer_one(self, tiered: Index) -> None:
        manifest = read_manifest(tiered.folder.path)
        assert "cold/tamis.json" in manifest.files
        assert "cold/lexical/vocab.index.json" in manifest.files
        assert manifest.cold is not None
        assert manifest.cold["passages"] == 10
        assert set(manifest.cold["thresholds"]) == set(MODES)
        for mode, rule in manifest.cold["thresholds"].items():
            assert rule["signal"] == SIGNALS[mode]
            assert 30 <= rule["queries"] <= ROWS
            assert 0 < rule["share"] <= 0.3
        assert read_manifest(tiered.folder.path / "cold").cold is None

    def test_an_index_without_one_says_nothing_of_it(self, whole: Index) -> None:
        manifest = (whole.folder.path / "tamis.json").read_text("utf-8")
        assert "cold" not in json.loads(manifest)
        assert whole.cold("auto") is whole.cold("never") is None
        with pytest.raises(BadArguments, match="has no cold tier"):
            whole.cold("always")
        with pytest.raises(BadArguments, match="known: auto, always, never"):
            whole.cold("sometimes")  # type: ignore[arg-type]

    def test_without_it_bm25_counts_the_kept_passages_alone(
        self, corpus: Path, tmp_path: Path, tiered: Index
    ) -> None:
        pruned = build(corpus, tmp_path / "pruned", encoder=Hashed(), quality=Scores(), keep=0.75)
        assert not (tmp_path / "pruned" / "cold").exists()
        assert asked(pruned, "dense", "never") == asked(tiered, "dense", "never")
        assert asked(pruned, "lexical", "never") != asked(tiered, "lexical", "never")

    def test_an_adapted_encoder_lies_in_both_tiers(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Adapting:
            def __init__(self, *asked: object) -> None:
                pass

            def adapted(self, _table: object, place: Any, _progress: object) -> Any:
                (place.draft / "encoder").mkdir()
                (place.draft / "encoder" / "spec.json").write_text("{}")
                return Hashed(), {"teacher": "t"}

        monkeypatch.setattr("tamis.pipeline.build.Adapter", Adapting)
        build(
            corpus, tmp_path / "i", encoder=Hashed(), quality=Scores(), keep=0.5, cold=True, adapt=9
        )
        assert (tmp_path / "i" / "cold" / "encoder" / "spec.json").is_file()
        assert read_manifest(tmp_path / "i" / "cold").adaptation == {"teacher": "t"}
        assert check_index(tmp_path / "i").ok


class TestBothTiersAreTheWhole:
    @pytest.mark.parametrize("mode", MODES[:2])
    @pytest.mark.parametrize("k", [5, ROWS])
    def test_with_the_same_scores(self, tiered: Index, whole: Index, mode: Mode, k: int) -> None:
        found, expected = asked(tiered, mode, "always", k), asked(whole, mode, "never", k)
        for together, alone in zip(found, expected, strict=True):
            assert sorted(together.values()) == sorted(alone.values())
            tied = list(alone.values())[-1]  # the cut may fall between equal scores
            assert {name: s for name, s in together.items() if s > tied} == {
                name: s for name, s in alone.items() if s > tied
            }
        assert any(is_cold(int(name[1:])) for answer in found for name in answer)

    def test_hybrid_fuses_the_completed_lists(self, tiered: Index) -> None:
        dense, lexical, hybrid = (
            tiered.searcher(ROWS, mode=mode, cold="always").run(QUERIES) for mode in MODES
        )
        for one, other, both in zip(dense, lexical, hybrid, strict=True):
            expected = fuse("rrf", {"dense": one, "lexical": other}).top(ROWS)
            assert both.rows.tolist() == expected.rows.tolist()
            assert both.scores.tolist() == expected.scores.tolist()

    def test_equal_scores_come_by_row_hot_first(self, tiered: Index) -> None:
        run = tiered.searcher(ROWS, cold="always").run(QUERIES)
        ties = 0
        for ranking in run:
            pairs = list(zip((-ranking.scores).tolist(), ranking.rows.tolist(), strict=True))
            assert pairs == sorted(pairs)
            ties += len(pairs) - len({score for score, _ in pairs})
        assert ties > 0


class TestWhenItIsAsked:
    def test_never_gives_the_hot_tier_and_reads_nothing_of_the_cold(self, tiered: Index) -> None:
        (tiered.folder.path / "cold" / "index").unlink()
        (tiered.folder.path / "cold" / "passages.arrow").unlink()
        index = open_index(tiered.folder.path, encoder=Hashed())
        for mode in MODES:
            found = asked(index, mode, "never")
            assert not any(is_cold(int(name[1:])) for answer in found for name in answer)
            assert index.searcher(3, mode=mode, cold="never").run(QUERIES).cold is None
        with pytest.raises(MissingResource, match="cold/index is missing"):
            asked(index, "dense", "always")

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("k", [1, 10])
    def test_auto_completes_the_unsure_and_leaves_the_sure(
        self, tiered: Index, mode: Mode, k: int
    ) -> None:
        stages = [getattr(tiered, name)(5) for name in MODES[:2] if mode in (name, "hybrid")]
        sketch = tiered.folder.sketch
        assert sketch is not None
        found = {stage.name: stage.retrieve(QUERIES) for stage in stages}
        sure = sureness(found, best_below(sketch, stages, QUERIES))
        assert len(set(sure.tolist())) > 4
        threshold = float(np.sort(sure)[4])
        with_thresholds(tiered.folder.path, **{mode: threshold})
        index = open_index(tiered.folder.path, encoder=Hashed())
        run = index.searcher(k, mode=mode).run(QUERIES)
        unsure = sure <= threshold
        assert run.cold is not None
        assert run.cold.tolist() == unsure.tolist()
        answers = asked(index, mode, "auto", k)
        never, always = (asked(index, mode, when, k) for when in ("never", "always"))
        assert answers == [always[n] if unsure[n] else never[n] for n in range(len(QUERIES))]

    def test_no_threshold_is_never(self, tiered: Index) -> None:
        with_thresholds(tiered.folder.path, dense=None)
        run = open_index(tiered.folder.path, encoder=Hashed()).searcher(5).run(QUERIES)
        assert run.cold is not None
        assert not run.cold.any()

    def test_queries_are_encoded_once(self, tiered: Index) -> None:
        encoder = Hashed()
        run = (
            open_index(tiered.folder.path, encoder=encoder).searcher(5, cold="always").run(QUERIES)
        )
        assert encoder.queries == [query.text for query in QUERIES]
        assert list(run.seconds) == ["encode", "dense", "dense (cold)", "join tiers"]

    def test_a_second_run_encodes_again(self, tiered: Index) -> None:
        # what is measured twice must cost twice
        search = tiered.searcher(5, cold="always")
        for _ in range(2):
            search.run(QUERIES)
        assert isinstance(tiered.encoder, Hashed)
        assert tiered.encoder.queries == 2 * [query.text for query in QUERIES]

    def test_a_memory_of_one_batch(self) -> None:
        encoder = Hashed()
        remembering = LastQueries(encoder)
        first = remembering.encode_queries(["a", "b", "a"])
        assert remembering.encode_queries(["b"]).tolist() == first[1:2].tolist()
        assert encoder.queries == ["a", "b", "a"]
        remembering.encode_queries(["b", "c"])
        remembering.encode_queries(["a"])
        assert encoder.queries == ["a", "b", "a", "b", "c", "a"]
        assert remembering.encode_queries([]).shape == (0, 2)
        assert remembering.encode_passages(["a"]).shape == (1, 2)
        assert remembering.card is encoder.card

    def test_no_queries_no_answers(self, tiered: Index) -> None:
        for mode in MODES:
            run = tiered.searcher(5, mode=mode).run([])
            assert len(run) == 0
            assert run.cold is not None
            assert len(run.cold) == 0

    def test_a_threshold_on_another_signal_is_a_mismatch(self, tiered: Index) -> None:
        manifest = read_manifest(tiered.folder.path)
        assert manifest.cold is not None
        manifest.cold["thresholds"]["dense"]["signal"] = "moon phase"
        manifest.write(tiered.folder.path)
        with pytest.raises(Mismatch, match=r"'moon phase'.*'best dense score - "):
            open_index(tiered.folder.path, encoder=Hashed()).search("word1")

    def test_a_search_in_python(self, tiered: Index, whole: Index) -> None:
        search = Search(dense=tiered.dense(5), cold=tiered.cold("always"))
        assert [r.scores.tolist() for r in search.run(QUERIES)] == [
            list(answer.values()) for answer in asked(whole, "dense", "never", 5)
        ]
        assert Search(dense=tiered.dense(5)).run(QUERIES).cold is None
        with pytest.raises(BadArguments, match="passages without the cold tier"):
            Search(dense=whole.dense(5), cold=tiered.cold())

    def test_a_reranker_reads_cold_texts(self, tiered: Index) -> None:
        class Judge:
            name, keep = "judge", ROWS

            def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
                return [
                    np.array(["only18" in p.text for p in each.passages], np.float32)
                    for each in batch
                ]

        assert is_cold(18)
        for mode in MODES:
            found = tiered.search("word5 only18", k=2, mode=mode, cold="always", rerank=[Judge()])
            assert found[0].passage.id == "p18"
            for hit in found:
                assert hit.passage.text == text_of(int(hit.passage.id[1:]))
                assert (hit.row >= 30) == is_cold(int(hit.passage.id[1:]))


def test_sureness_by_hand() -> None:
    def answer(*scores: float) -> Ranking:
        found = np.array(scores, np.float32)
        return Ranking(QUERIES[0], np.arange(len(found)), found)

    dense, lexical = [answer(0.5, 0.25), answer(0.75)], [answer(8, 4), answer()]
    below = {"dense": np.array([0.25, 1.0]), "lexical": np.array([24.0, 3.0])}
    assert sureness({"dense": dense}, below).tolist() == [0.25, -0.25]
    assert sureness({"lexical": lexical}, below).tolist() == [0.25, 0]
    assert sureness({"dense": dense, "lexical": lexical}, below).tolist() == [0.375, -0.25]
    none = {"lexical": np.array([0.0, 0.0])}
    assert sureness({"lexical": lexical}, none).tolist() == [1, 1], "neither tier can score"
    assert sureness({"dense": []}, {"dense": np.empty(0)}).tolist() == []


class TestNothingTwice:
    def test_another_share_moves_passages_between_tiers(self, corpus: Path, tmp_path: Path) -> None:
        scores, encoder = Scores(), Hashed()
        common: dict[str, Any] = {"quality": scores, "overwrite": True}
        for keep in (0.75, 0.4, 0.9):
            build(corpus, tmp_path / "i", encoder=encoder, keep=keep, cold=True, **common)
            build(
                corpus,
                tmp_path / "fresh",
                encoder=Hashed(),
                quality=Scores(),
                keep=keep,
                cold=True,
                overwrite=True,
                shard_rows=7,
            )
            assert parts(tmp_path / "i") == parts(tmp_path / "fresh")
            (tmp_path / "fresh" / "tamis.json").unlink()
            for path in sorted((tmp_path / "fresh").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        assert len(encoder.passages) == len(scores.seen) == ROWS

    def test_a_tier_is_added_and_taken_away(self, corpus: Path, tmp_path: Path) -> None:
        scores, encoder = Scores(), Hashed()
        common: dict[str, Any] = {"quality": scores, "encoder": encoder, "overwrite": True}
        build(corpus, tmp_path / "i", keep=0.75, **common)
        assert len(encoder.passages) == 30
        build(corpus, tmp_path / "i", keep=0.75, cold=True, **common)
        assert len(encoder.passages) == ROWS
        build(corpus, tmp_path / "i", keep=0.75, **common)
        assert len(encoder.passages) == ROWS
        assert not (tmp_path / "i" / "cold").exists()

    def test_a_damaged_cold_tier_is_encoded_again_and_the_hot_one_is_not(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        encoder = Hashed()
        common: dict[str, Any] = {"encoder": encoder, "quality": Scores(), "cold": True}
        build(corpus, tmp_path / "i", keep=0.75, **common)
        damaged = tmp_path / "i" / "cold" / "index"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
        build(corpus, tmp_path / "i", keep=0.75, overwrite=True, **common)
        assert len(encoder.passages) == ROWS + 10
        assert check_index(tmp_path / "i").ok

    def test_a_broken_off_cold_encoding_resumes(self, corpus: Path, tmp_path: Path) -> None:
        common: dict[str, Any] = {"quality": Scores(), "keep": 0.75, "cold": True, "shard_rows": 4}
        with pytest.raises(KeyboardInterrupt):
            build(corpus, tmp_path / "i", encoder=Hashed(fails_after=35), **common)
        encoder = Hashed()
        build(corpus, tmp_path / "i", encoder=encoder, **common)
        left = [text_of(row) for row in range(ROWS) if is_cold(row)][4:]
        assert encoder.passages == left
        assert [path.name for path in tmp_path.iterdir()] == ["i"]


class TestDamage:
    @pytest.mark.parametrize("name", ["index", "passages.arrow", "tamis.json", "docid"])
    def test_is_found_by_check(self, tiered: Index, name: str) -> None:
        path = tiered.folder.path / "cold" / name
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
        report = check_index(tiered.folder.path)
        assert [finding.kind for finding in report.errors] == [f"cold/{name}"]

    @pytest.mark.parametrize("name", ["index", "passages.arrow", "tamis.json"])
    def test_answers_nothing(self, tiered: Index, name: str) -> None:
        path = tiered.folder.path / "cold" / name
        path.write_bytes(path.read_bytes()[:-2] + b"\x7f\n")
        with pytest.raises(CorruptFile, match="cold/"):
            open_index(tiered.folder.path, encoder=Hashed()).search("word1", k=40, cold="always")

    def test_a_manifest_of_another_build_is_refused(self, tiered: Index) -> None:
        at = tiered.folder.path / "cold"
        replace(read_manifest(at), corpus={"source": "another", "format": "jsonl"}).write(at)
        index = open_index(tiered.folder.path, encoder=Hashed())
        with pytest.raises(CorruptFile, match=r"cold/tamis\.json"):
            index.search("word1", cold="always")

    def test_tiers_that_share_a_passage(self, tiered: Index) -> None:
        # Each tier is whole, and the outer manifest vouches for both: only their ids disagree.
        cold = tiered.folder.path / "cold"
        ids = (cold / "docid").read_text("utf-8").split()
        (cold / "docid").write_text("\n".join(["p2", *ids[1:], ""]))
        for folder in (cold, tiered.folder.path):
            files = {n: r for n, r in records_of(folder).items() if n != "tamis.json"}
            replace(read_manifest(folder), files=files).write(folder)
        report = check_index(tiered.folder.path)
        assert [(f.kind, f.message) for f in report.errors] == [("duplicate id", "in both tiers")]


class TestWrongCalls:
    def test_are_told_before_the_corpus_is_read(self, corpus: Path, tmp_path: Path) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "nothing is pruned that it could hold"),
            ({"quality": "length"}, "nothing is pruned that it could hold"),
            ({"keep": 0.5, "lexical": "lucene"}, "would not compare"),
        ]
        for wrong, told in cases:
            with pytest.raises(BadArguments, match=told):
                build(corpus, tmp_path / "i", encoder="hashing", cold=True, **wrong)
        assert not list(tmp_path.iterdir())

    def test_a_recipe_that_the_cold_tier_is_too_small_for(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        encoder = Hashed()
        with pytest.raises(BadArguments, match="nlist=2 needs 78 vectors"):
            build(
                corpus,
                tmp_path / "i",
                encoder=encoder,
                quality=Scores(),
                keep=0.75,
                cold=True,
                ann="ivf:nlist=2",
            )
        assert encoder.passages == []

    def test_nothing_pruned_no_tier(
        self, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        index = build(corpus, tmp_path / "i", encoder=Hashed(), quality=Scores(), keep=1, cold=True)
        assert "nothing was pruned, so there is no cold tier" in caplog.text
        assert index.cold() is None
        assert not (tmp_path / "i" / "cold").exists()

    def test_without_bm25(self, corpus: Path, tmp_path: Path) -> None:
        index = build(
            corpus,
            tmp_path / "i",
            encoder=Hashed(),
            quality=Scores(),
            keep=0.75,
            cold=True,
            lexical="none",
        )
        manifest = index.folder.manifest
        assert manifest is not None
        assert manifest.cold is not None
        assert list(manifest.cold["thresholds"]) == ["dense"]
        assert not (tmp_path / "i" / "cold" / "lexical").exists()
        assert check_index(tmp_path / "i").ok
