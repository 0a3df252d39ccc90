"""--explain-tokens: the dense score of the answers by pairs of tokens, and who cannot tell it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments
from tamis.core.records import Hit, Passage
from tamis.encoders.attribution import siamese
from tamis.encoders.attribution.siamese import Attribution, attribute
from tamis.pipeline import attribution
from tamis.pipeline.attribution import explainable
from tamis.pipeline.cli import app
from tamis.pipeline.explaining import SHOWN, Why
from tamis.pipeline.token_pairs import PairTeller

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.pipeline.opening import Index

QUESTION = "flea on a cat"
TEXTS = ["the flea lives on a cat", "a dog by the sea", "bread and wine", "salt wind moon"]


def _built(folder: Path, **options: Any) -> Index:
    rows = [{"_id": f"p{n}", "title": "Of it", "text": text} for n, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tamis.build(folder / "corpus.jsonl", folder / "idx", **options)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Passages by one student, queries by another of the same space."""
    folder = tmp_path_factory.mktemp("pairs")
    return _built(folder, encoder="tamis-tiny", query_encoder="tamis-small")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return _built(tmp_path_factory.mktemp("hashed"), encoder="hashing")


def asked(index: Index, *options: str) -> Any:
    return CliRunner().invoke(
        app, ["search", str(index.folder.path), QUESTION, "-k", "3", *options]
    )


def test_the_first_hits_get_their_dense_score_by_pairs(index: Index) -> None:
    done = asked(index, "--explain-tokens", "2", "--json")
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["explained"].endswith("dense scores of 2 hits by pairs of tokens")
    assert "tokens" not in body["hits"][2]["why"]
    assert "dense" in body["hits"][2]["why"]["stages"]
    for hit in body["hits"][:2]:
        told = hit["why"]["tokens"]
        assert told["score"] == pytest.approx(hit["stages"]["dense"], abs=1e-4)
        total = np.sum(told["matrix"]) + told["references"]
        assert abs(total - told["score"]) == pytest.approx(told["error"] * told["score"], abs=1e-5)
        assert told["error"] < 0.01
        assert "of" in told["passage_tokens"]  # the title, as the index has it


def test_people_see_the_strongest_pairs_and_what_is_left_over(index: Index) -> None:
    done = asked(index, "--explain-tokens", "1")
    assert done.exit_code == 0, done.output
    lines = [line.strip() for line in done.stdout.splitlines()]
    (head,) = [n for n, line in enumerate(lines) if "by pairs of tokens" in line]
    assert lines[head].startswith("dense 0.")
    assert lines[head].endswith("% left over:")
    assert lines[head + 1].partition("  ")[2] in ("flea with flea", "cat with cat")
    shown = [float(line.split()[0]) for line in lines[head + 1 : head + SHOWN + 3]]
    assert lines[head + SHOWN + 1].endswith("others")
    assert sum(shown) == pytest.approx(float(lines[head].split()[1]), rel=0.02)


def test_all_pairs_fit_where_there_are_few() -> None:
    few = Attribution(("a",), ("b", "c"), np.array([[0.5, -0.75]], np.float32), 1.0, 1.25, 0.0, 16)
    assert list(Why({"dense": (1.0, 1)}, tokens=few).lines()) == [
        "dense 1.0000 (rank 1)",
        "dense 1.0000 by pairs of tokens, 0.00 % left over:",
        "  -0.7500  a with c",
        "  +0.5000  a with b",
        "  +1.2500  texts that say nothing",
    ]


def test_plain_explain_opens_no_module(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a torch module was opened")

    monkeypatch.setattr(PairTeller, "of", refused)
    done = asked(index, "--explain", "--json")
    assert done.exit_code == 0, done.output
    assert "tokens" not in json.loads(done.stdout)["hits"][0]["why"]


def test_the_questions_walk_is_made_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []
    plain = siamese._slopes
    monkeypatch.setattr(
        siamese, "_slopes", lambda text, points: walks.append(points) or plain(text, points)
    )
    hits = index.search(QUESTION, k=3)
    found = PairTeller.of(index).told(QUESTION, hits)
    assert len(found) == 3
    assert sorted(set(walks)) == sorted(walks)
    passages, queries = explainable(index.passage_encoder), explainable(index.encoder)
    for hit in hits:
        alone = attribute(passages, QUESTION, hit.passage.full_text, queries=queries)
        np.testing.assert_allclose(found[hit.row].matrix, alone.matrix, rtol=0, atol=1e-6)


def test_hits_without_a_dense_score_or_a_token_are_left_out(index: Index) -> None:
    def hit(row: int, text: str, stage: str) -> Hit:
        return Hit(row + 1, 1.0, row, Passage(f"p{row}", text), {stage: 1.0})

    hits = [hit(0, "a cat", "lexical"), hit(1, "\u200b", "dense"), hit(2, "a cat", "dense")]
    assert list(PairTeller.of(index).told(QUESTION, hits)) == [2]


def test_minilm_in_numpy_is_opened_as_the_model_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from tamis.encoders.minilm_numpy import MiniLMNumpy

    def named(name: str, *, device: str) -> object:
        assert (name, device) == ("minilm", "cpu")
        return tamis.encoder("tamis-tiny")

    monkeypatch.setattr(attribution, "load_encoder", named)
    text = explainable(object.__new__(MiniLMNumpy)).read("a cat", "query")
    assert text.tokens == ("a", "cat")


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--explain-tokens", "0"], "at least one hit"),
            (["--explain-tokens", "1", "--mode", "lexical"], "this search has none"),
        ],
    )
    def test_before_an_index_is_opened(self, options: list[str], said: str, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["search", str(tmp_path / "none"), "why", *options])
        assert isinstance(done.exception, BadArguments)
        assert said in str(done.exception)

    def test_a_run_file(self, tmp_path: Path) -> None:
        files = ["--queries", "q.tsv", "-o", str(tmp_path / "run")]
        done = CliRunner().invoke(app, ["search", "none", *files, "--explain-tokens", "1"])
        assert isinstance(done.exception, BadArguments)
        assert "a run file has no room" in str(done.exception)

    def test_an_encoder_without_a_module(self, unseen: Index) -> None:
        done = asked(unseen, "--explain-tokens", "1")
        assert isinstance(done.exception, BadArguments)
        assert "hashing has no torch module" in str(done.exception)
        assert "leave --explain-tokens out" in str(done.exception)
        assert not done.stdout

    def test_an_index_without_texts(self) -> None:
        bare = SimpleNamespace(
            passages=SimpleNamespace(has_texts=False), folder=SimpleNamespace(path="theirs")
        )
        with pytest.raises(BadArguments, match="theirs holds no texts"):
            PairTeller.of(cast("Index", bare))
