"""Pairs of every source from a small collection, with what mines and judges their negatives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.progress import Silent
from tamis.core.records import Passage
from tamis.core.strict_json import from_json
from tamis.encoders.hashing import HashingEncoder
from tamis.encoders.training.pairs import Pair, read_pairs, write_pairs
from tamis.pipeline import mining
from tamis.pipeline.build import build
from tamis.pipeline.demo import COLLECTION
from tamis.pipeline.miners import PassageVectors, bm25_over
from tamis.pipeline.mining import PairSettings, make_pairs, mine_pairs, write_mined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tamis.core.progress import Advance

FLEA = "The flea lives for two or three months. It drinks blood every single day of its short life."
WINE = "Wine is made from grapes. The flea has no part in it, and grapes ferment for several weeks."
BREAD = "Bread is made from flour. Yeast makes it rise in a warm place for an hour or even longer."
MORE = "Bread keeps for three days. A linen cloth keeps it soft for longer, as bakers well know."
PASSAGES = [
    Passage("p0", FLEA, "Flea"),
    Passage("p1", WINE, "Wine"),
    Passage("p2", BREAD, "Bread"),
    Passage("p3", MORE, "Bread"),
    Passage("p4", "Short.", ""),
]
QUERIES = {"q1": "how long does a flea live", "q2": "what is bread made from", "q3": "never judged"}
GRADES = [("q1", "p0", 2), ("q1", "p1", 1), ("q2", "p2", 1), ("q2", "p4", 0), ("q2", "gone", 1)]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A BEIR folder of five passages with judgments for train."""
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    lines = [{"_id": p.id, "title": p.title, "text": p.text} for p in PASSAGES]
    asked = [{"_id": id_, "text": text} for id_, text in QUERIES.items()]
    for name, records in (("corpus", lines), ("queries", asked)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    rows = "".join(f"{q}\t{p}\t{grade}\n" for q, p, grade in [*GRADES, ("nobody", "p0", 1)])
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")
    return folder


def settings(collection: Path, source: str, **options: Any) -> PairSettings:
    return PairSettings(source, corpus=str(collection), **({"teacher": "none"} | options))


def full(place: int) -> str:
    return PASSAGES[place].full_text


class TestSources:
    def test_judged(self, collection: Path) -> None:
        mined = mine_pairs(settings(collection, "judged"))
        assert mined.pairs == [
            Pair(QUERIES["q1"], full(0)),
            Pair(QUERIES["q1"], full(1)),
            Pair(QUERIES["q2"], full(2)),
        ]
        assert mined.counts["judged passages not in the corpus"] == 1
        assert mined.counts["judged queries without text"] == 1

    def test_judged_by_grade(self, collection: Path) -> None:
        mined = mine_pairs(settings(collection, "judged", least_grade=2, negatives=9))
        (pair,) = mined.pairs
        assert (pair.query, pair.positive) == (QUERIES["q1"], full(0))
        assert full(1) not in pair.negatives  # grade 1 is no positive here, and no negative either
        assert set(pair.negatives) <= {full(2), full(3)}

    def test_title(self, collection: Path) -> None:
        mined = mine_pairs(settings(collection, "title", negatives=9))
        assert [(pair.query, pair.positive) for pair in mined.pairs] == [
            ("Flea", FLEA),
            ("Wine", WINE),
            ("Bread", BREAD),
            ("Bread", MORE),
        ]
        assert mined.counts["passages too short"] == 1
        assert mined.pairs[0].negatives == (WINE,)  # by its text: it has "flea" in it
        assert mined.pairs[2].negatives == ()  # the other passage of this title answers too

    @pytest.mark.parametrize("source", ["sentence", "cloze"])
    def test_sentences(self, collection: Path, source: str) -> None:
        mined = mine_pairs(settings(collection, source, seed=4))
        assert len(mined.pairs) == 4
        for pair, passage in zip(mined.pairs, PASSAGES, strict=False):
            assert pair.query in passage.text
            assert (pair.positive == passage.full_text) is (pair.query in pair.positive)

    def test_synthetic(self, collection: Path) -> None:
        mined = mine_pairs(settings(collection, "synthetic", questions=2))
        asked = {(pair.query.lower().rstrip("?"), pair.positive) for pair in mined.pairs}
        assert ("what is wine made from", full(1)) in asked
        assert mined.counts["questions"] == len(mined.pairs) == 8

    def test_the_round_trip_is_asked_of_the_first_miner(
        self, collection: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def only_wine(queries: Sequence[str], depth: int) -> list[np.ndarray]:
            assert depth == 3
            return [np.array([1]) for _ in queries]

        monkeypatch.setattr(PassageVectors, "search", lambda _self, *asked: only_wine(*asked))
        mined = mine_pairs(settings(collection, "synthetic", round_trip=3, miners="hashing, bm25"))
        assert {pair.positive for pair in mined.pairs} == {full(1)}
        assert mined.counts["questions that found their passage"] == len(mined.pairs)

    def test_a_file_comes_back_as_it_is(self, tmp_path: Path) -> None:
        written = [Pair("q", "p", ("n",), (1.0, 0.5)), Pair("r", "p")]
        write_pairs(tmp_path / "pairs.jsonl", written)
        assert make_pairs(PairSettings("file", file=str(tmp_path / "pairs.jsonl"))) == written

    def test_a_file_is_mined_anew(self, collection: Path, tmp_path: Path) -> None:
        path = tmp_path / "pairs.jsonl"
        old = Pair("bread from flour", full(2), ("an old negative",), (1.0, 0.0))
        write_pairs(path, [old, Pair(old.query, full(3)), Pair("grapes", "a text of nobody's")])
        mined = mine_pairs(settings(collection, "file", file=str(path), negatives=9))
        assert mined.counts["positives not in the corpus"] == 1
        assert mined.pairs[0] == Pair(old.query, full(2), mined.pairs[0].negatives)
        assert full(3) not in mined.pairs[0].negatives
        assert mined.pairs[2].negatives == (full(1),)

    @pytest.mark.parametrize("source", ["judged", "title", "cloze", "synthetic"])
    def test_a_limit_draws_by_seed(self, collection: Path, source: str) -> None:
        whole = make_pairs(settings(collection, source, questions=1))
        drawn = {
            tuple(make_pairs(settings(collection, source, questions=1, limit=2, seed=seed)))
            for seed in range(8)
        }
        assert all(len(some) <= 2 for some in drawn)
        assert len(drawn) > 1
        if source in ("judged", "title"):
            assert all(set(some) <= set(whole) for some in drawn)

    def test_passages_may_be_handed_over(self, collection: Path) -> None:
        wanted = settings(collection, "cloze", negatives=2)
        given = mine_pairs(PairSettings("cloze", negatives=2, teacher="none"), passages=PASSAGES)
        assert given == mine_pairs(wanted)


class TestNegatives:
    def test_bm25_finds_what_shares_words(self, collection: Path) -> None:
        mined = mine_pairs(settings(collection, "judged", negatives=9))
        assert mined.pairs[2].query == "what is bread made from"
        assert set(mined.pairs[2].negatives) == {full(1), full(3)}

    def test_a_teacher_gives_scores_and_keeps_the_margin(self, collection: Path) -> None:
        wanted = settings(collection, "judged", negatives=9, teacher="hashing", miners="hashing")
        encoder = HashingEncoder()
        for pair in mine_pairs(wanted).pairs:
            query = encoder.encode_queries([pair.query])
            products = encoder.encode_passages([pair.positive, *pair.negatives]) @ query[0]
            assert pair.scores == pytest.approx(products.tolist(), abs=1e-6)
            assert all(score <= 0.95 * pair.scores[0] for score in pair.scores[1:])

    def test_several_miners_take_turns(self, collection: Path) -> None:
        wanted = settings(
            collection, "judged", negatives=1, last_rank=2, miners="bm25,hashing", seed=1
        )
        assert len(mine_pairs(wanted).pairs) == 3

    def test_the_same_settings_give_the_same_pairs(self, collection: Path) -> None:
        wanted = settings(collection, "synthetic", negatives=1, teacher="hashing", questions=2)
        assert mine_pairs(wanted) == mine_pairs(wanted)

    def test_a_teacher_that_mines_encodes_once(
        self, collection: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []
        encode = PassageVectors.of

        def counted(*given: Any) -> PassageVectors:
            calls.append(given)
            return encode(*given)

        monkeypatch.setattr(PassageVectors, "of", counted)
        mine_pairs(settings(collection, "cloze", negatives=2, teacher="hashing", miners="hashing"))
        assert len(calls) == 1

    def test_an_index_lends_its_vectors_and_its_bm25(
        self, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build(collection, tmp_path / "index", encoder="hashing")
        options = {"negatives": 3, "teacher": "hashing", "miners": "bm25, hashing"}
        expected = mine_pairs(settings(collection, "cloze", **options))
        monkeypatch.setattr(mining, "bm25_over", None)
        monkeypatch.setattr(PassageVectors, "of", None)
        lent = mine_pairs(settings(tmp_path / "index", "cloze", **options))
        assert [(p.query, p.negatives) for p in lent.pairs] == [
            (p.query, p.negatives) for p in expected.pairs
        ]


class TestMiners:
    def test_bm25_leaves_nothing_behind(self) -> None:
        with bm25_over([full(place) for place in range(5)], Silent()) as search:
            flea, none = search(["flea", "zebra"], 5)
        assert set(flea.tolist()) == {0, 1}
        assert len(none) == 0

    def test_vectors_of_passages_and_of_other_texts(self) -> None:
        encoder = HashingEncoder()
        texts = [full(place) for place in range(5)]
        vectors = PassageVectors.of(encoder, texts, Silent())
        queries = ["flea", "bread", "flea", "wine", "wine"]
        wanted = [texts[0], "neither bread", texts[3], "nor wine here", "neither bread"]
        scores = vectors.score(queries, wanted)
        expected = encoder.encode_queries(queries) * encoder.encode_passages(wanted)
        assert scores == pytest.approx(expected.sum(1), abs=1e-6)
        products = encoder.encode_passages(texts) @ encoder.encode_queries(["flea blood"])[0]
        best = np.argsort(-products, kind="stable")
        assert vectors.search(["flea blood"], 2)[0].tolist() == best[:2].tolist()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"source": "guess"}, "'guess'; known: file, judged, title, sentence, cloze, synth"),
            ({"source": "file"}, "need file"),
            ({"least_grade": 0}, "least_grade is 0; expected 1"),
            ({"limit": -1}, "limit is -1"),
            ({"questions": 0}, "questions is 0"),
            ({"round_trip": -1}, "round_trip is -1"),
            ({"negatives": -2}, "negatives is -2"),
            ({"miners": " , "}, "miners is ' , '"),
            ({"miners": "bm25,bm25"}, "each once"),
            ({"first_rank": 9, "last_rank": 3}, "ranks 9 to 3"),
            ({"ratio": 2.0}, "ratio is 2.0"),
            ({"margin": -1.0}, "margin is -1.0"),
        ],
    )
    def test_settings(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(BadArguments, match=says):
            PairSettings(**({"source": "title", "corpus": "c"} | options))

    def test_settings_come_from_a_table_of_a_spec(self) -> None:
        table = {"source": "cloze", "corpus": "c", "negatives": 7, "miners": "bm25,hashing"}
        assert from_json(PairSettings, table, "spec.toml").miner_names() == ["bm25", "hashing"]
        with pytest.raises(BadData, match=r"spec.toml.*'guess'"):
            from_json(PairSettings, {"source": "guess"}, "spec.toml")

    def test_paths_are_looked_for_before_anything_is_loaded(
        self, collection: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mining, "load_encoder", None)
        for source, options, says in (
            ("cloze", {"corpus": "nowhere"}, "corpus is 'nowhere'"),
            ("file", {"file": "nowhere"}, "file is 'nowhere'"),
            ("judged", {"split": "dev"}, "splits there: train"),
            ("judged", {"qrels": "nowhere"}, "qrels is 'nowhere'"),
            ("judged", {"queries": "nowhere"}, "queries is 'nowhere'"),
        ):
            wrong = PairSettings(source, **({"corpus": str(collection), "negatives": 1} | options))
            with pytest.raises(MissingResource, match=says):
                mine_pairs(wrong)
        with pytest.raises(BadArguments, match="need corpus"):
            mine_pairs(PairSettings("cloze"))
        with pytest.raises(BadArguments, match="'file' with negatives need corpus"):
            mine_pairs(PairSettings("file", file=str(collection / "corpus.jsonl"), negatives=1))

    @pytest.mark.parametrize("option", [{"miners": "bm25,bm26"}, {"teacher": "bm26"}])
    def test_an_unknown_encoder(self, collection: Path, option: dict[str, str]) -> None:
        wanted = settings(collection, "cloze", **({"negatives": 1} | option))
        with pytest.raises(BadArguments, match=r"'bm26'.*bm25 as a miner.*hashing, minilm"):
            wanted.check()
        settings(collection, "cloze", **option).check()  # nobody will be asked

    def test_models_beside_a_spec_are_found(self, collection: Path) -> None:
        (collection / "mine").mkdir()
        named = PairSettings("cloze", corpus="c", miners="bm25, mine", teacher="mine")
        found = named.under(collection)
        assert found.miner_names() == ["bm25", str(collection / "mine")]
        assert (found.teacher, found.generator) == (str(collection / "mine"), "templates")

    def test_paths_start_at_a_folder(self, collection: Path) -> None:
        relative = PairSettings("judged", corpus="collection", qrels="irds:x", queries="/q")
        found = relative.under(collection.parent)
        assert (found.corpus, found.qrels, found.queries) == (str(collection), "irds:x", "/q")

    def test_a_flawed_corpus_and_ids_met_twice(self, collection: Path) -> None:
        path = collection / "corpus.jsonl"
        text = path.read_text("utf-8")
        path.write_text(text + text.split("\n")[0] + "\n", "utf-8")
        with pytest.raises(BadData, match="1 ids more than once"):
            mine_pairs(settings(collection, "judged"))
        path.write_text(text + "{broken\n", "utf-8")
        with pytest.raises(BadData, match=r"corpus.jsonl:6"):
            mine_pairs(settings(collection, "title"))

    def test_no_pair_at_all_is_an_error(self) -> None:
        short = [Passage("p", "Too short.")]
        with pytest.raises(BadData, match=r"not one pair .* 1 passages \(1 passages too short\)"):
            mine_pairs(PairSettings("title"), passages=short)


def test_a_file_of_mined_pairs(collection: Path, tmp_path: Path) -> None:
    wanted = settings(collection, "judged", negatives=2, teacher="hashing")
    counts = write_mined(wanted, tmp_path / "pairs.jsonl.gz")
    assert read_pairs(tmp_path / "pairs.jsonl.gz") == mine_pairs(wanted).pairs
    assert counts["pairs"] == 3
    with pytest.raises(BadArguments, match="is a folder"):
        write_mined(wanted, tmp_path)


class Told:
    """Progress that is remembered: stage -> [total, items done]."""

    def __init__(self) -> None:
        self.stages: dict[str, list[int | None]] = {}

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        from contextlib import nullcontext

        told = self.stages.setdefault(name, [total, 0])

        def advance(done: int) -> None:
            told[1] = (told[1] or 0) + done

        return nullcontext(advance)


def test_progress_is_told(collection: Path) -> None:
    told = Told()
    wanted = settings(
        collection, "synthetic", round_trip=5, negatives=1, teacher="hashing", questions=1
    )
    pairs = mine_pairs(wanted, progress=told).pairs
    assert told.stages["read"] == [None, 5]
    assert told.stages["questions"] == [5, 5]
    assert told.stages["encode (hashing)"] == [5, 5]
    assert told.stages["negatives"] == [len(pairs), len(pairs)]
    assert set(told.stages) == {
        "read",
        "questions",
        "bm25",
        "round trip",
        "encode (hashing)",
        "negatives",
    }


def test_questions_about_the_demo_find_their_passages() -> None:
    """BM25's best ten of 504 passages hold the source of most questions, few of which are alike."""
    wanted = PairSettings("synthetic", corpus=str(COLLECTION), round_trip=10)
    mined = mine_pairs(wanted)
    kept = mined.counts["questions that found their passage"] / mined.counts["questions"]
    assert mined.counts["questions"] > 2 * 504
    assert 0.9 < kept <= 1
    assert len({pair.query for pair in mined.pairs}) > 0.98 * len(mined.pairs)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["xquad-en", "medquad"])
def test_questions_about_real_passages_find_them(shared_data: Path, name: str) -> None:
    """Of a few hundred passages nearly each is asked, and most questions come back to it."""
    corpus = str(shared_data / "collections" / name)
    passages = 240  # all of the first collection, of 27,550 in the second
    every = mine_pairs(PairSettings("synthetic", corpus=corpus, limit=passages))
    back = mine_pairs(PairSettings("synthetic", corpus=corpus, limit=passages, round_trip=1))
    assert len({pair.positive for pair in every.pairs}) > 0.95 * passages
    assert 0.4 < len(back.pairs) / len(every.pairs) < 1
    assert set(back.pairs) < set(every.pairs)
    assert len({pair.positive for pair in back.pairs}) > 0.6 * passages
    firsts = [pair.query.split()[0].lower() for pair in every.pairs]
    assert sum(first in ("what", "how", "who", "when") for first in firsts) > 0.1 * len(firsts)
