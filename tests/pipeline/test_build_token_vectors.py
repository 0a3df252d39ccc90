"""``tamis build --token-vectors``: what the folder holds, who takes it, what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments, CorruptFile
from tamis.core.protocols import Encoded, Encoder, EncoderCard, TokenVectors
from tamis.index.folder import IndexFolder
from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.cli import app
from tamis.pipeline.commands.info import summary
from tamis.pipeline.components import token_encoder
from tamis.pipeline.verifying import check_index
from tamis.rerank.maxsim import MaxsimReranker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.pipeline.opening import Index

KINDS = ["flea", "wine", "sieve", "river", "stone", "bread", "cloud"]
TEXTS = [f"The {KINDS[n % 7]} of the {KINDS[n % 5]}, {'and salt ' * (n % 4)}{n}" for n in range(12)]
QUERIES = [tamis.Query("1", "the wine of the river"), tamis.Query("2", "salt and bread")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    path.write_text(
        "\n".join(json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(TEXTS))
    )
    return path


@pytest.fixture(scope="module")
def index(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("built") / "idx"
    return tamis.build(
        corpus, folder, encoder="tamis-tiny", query_encoder="own", token_vectors=8, shard_rows=5
    )


class Letters(Encoder):
    """A vector a word by its length; remembers the texts of token vectors, fails after ``left``."""

    def __init__(self, left: int = 10**9) -> None:
        self.left, self.seen = left, list[str]()

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("letters", "letters", "space", 4, "cosine", "none", 0)

    def encode(self, texts: Sequence[str], role: str) -> Encoded:
        del role
        vectors = [np.cos(np.arange(4) * len(text)) for text in texts]
        return Encoded(np.array(vectors, np.float32), np.ones(len(texts), np.int32))

    def count_tokens(self, texts: Sequence[str], role: str) -> np.ndarray:
        del role
        return np.ones(len(texts), np.int32)

    def encode_tokens(self, texts: Sequence[str], role: str) -> TokenVectors:
        del role
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        self.seen += texts
        words = [word for text in texts for word in text.split()]
        vectors = np.array([np.cos(np.arange(4) * len(word)) for word in words], np.float32)
        lengths = np.array([len(text.split()) for text in texts], np.int64)
        return TokenVectors(vectors.reshape(-1, 4), lengths)


def test_an_index_lends_its_vectors_to_maxsim(index: Index) -> None:
    plain = tamis.reranker("maxsim", model="tamis-tiny", keep=12)
    lent = index.lending(plain)
    assert lent.name == "maxsim (tamis-tiny, stored in 8 bits)"
    assert index.lending(lent).name == lent.name
    exact = tamis.Search(dense=index.dense(12), rerank=[plain]).run(QUERIES)
    near = index.searcher(12, rerank=[plain]).run(QUERIES)
    assert lent.name in near.rankings[0].stages
    for one, other in zip(exact, near, strict=True):
        assert sorted(one.rows) == sorted(other.rows)
        scores = dict(zip(one.rows.tolist(), one.scores.tolist(), strict=True))
        expected = [scores[row] for row in other.rows.tolist()]
        np.testing.assert_allclose(other.scores, expected, rtol=0, atol=0.02)
        assert np.abs(other.scores - expected).max() > 1e-6, "these were not read from the index"
    cascade = Cascade(dense=12, rerank=(RerankStage("maxsim", 12, {"model": "tamis-tiny"}),))
    assert cascade.over(index).rerank[0].name == lent.name


def test_another_encoder_compares_its_own_and_it_is_said(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    other = MaxsimReranker(encoder=Letters())
    with caplog.at_level(logging.WARNING):
        assert index.lending(other) is other
    assert "which is maxsim=tamis-tiny" in caplog.text
    assert str(index.folder.path) in caplog.text


def test_an_index_without_them_says_nothing_and_has_no_field(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = tamis.build(corpus, tmp_path / "i", encoder="tamis-tiny", query_encoder="own")
    plain = tamis.reranker("maxsim", model="tamis-tiny")
    with caplog.at_level(logging.INFO):
        assert index.lending(plain) is plain
    assert "maxsim" not in caplog.text
    assert index.folder.tokens is None
    assert "tokens" not in json.loads((tmp_path / "i" / "tamis.json").read_text())
    assert not (tmp_path / "i" / "tokens").exists()


def test_what_info_says(index: Index) -> None:
    described = index.folder.describe()
    told = described["tokens"]
    lengths = token_encoder("tamis-tiny").encode_tokens(TEXTS, "passage").lengths
    assert told == {"bits": 8, "dim": 384, "count": lengths.sum()}
    size = sum(described["bytes"][f"tokens/{name}.npy"] for name in ("vectors", "bounds"))
    (line,) = [
        line for line in summary(index.folder.path, described) if line.startswith("  tokens ")
    ]
    assert f"{told['count']:,} vectors of 384 dimensions in 8 bits" in line
    assert f"{size / 12:,.0f} bytes a passage" in line


@pytest.mark.parametrize("bits", [4, 8])
def test_a_pruned_index_holds_the_rows_that_it_keeps(
    corpus: Path, tmp_path: Path, bits: int
) -> None:
    scores = np.array([n % 3 for n in range(12)], np.float32)
    np.save(tmp_path / "s.npy", scores)
    index = tamis.build(
        corpus,
        tmp_path / "i",
        encoder="tamis-tiny",
        query_encoder="own",
        token_vectors=bits,
        quality=str(tmp_path / "s.npy"),
        min_quality=1,
        cold=True,
    )
    tokens = index.folder.tokens
    assert tokens is not None
    assert len(tokens) == len(index) == 8
    kept = [text for text, score in zip(TEXTS, scores, strict=True) if score]
    exact = token_encoder("tamis-tiny").encode_tokens(kept, "passage")
    found = tokens.take(np.arange(8))
    assert found.lengths.tolist() == exact.lengths.tolist()
    largest = np.abs(exact.vectors).max(axis=1, keepdims=True)
    assert (np.abs(found.vectors - exact.vectors) <= largest / 2**bits + 1e-6).all()
    cold = index.folder.cold
    assert cold is not None
    assert cold.tokens is None
    assert check_index(tmp_path / "i").ok
    run = index.searcher(12, rerank=[tamis.reranker("maxsim", model="tamis-tiny")], cold="always")
    assert all(len(ranking) == 12 for ranking in run.run(QUERIES)), "cold rows are encoded"


@pytest.mark.parametrize("name", ["tokens/vectors.npy", "tokens/bounds.npy"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_is_told(corpus: Path, tmp_path: Path, name: str, harm: str) -> None:
    index = tamis.build(
        corpus, tmp_path / "i", encoder=Letters(), lexical="none", token_vectors=4
    ).folder
    path = index.path / name
    raw = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        raw[-1] ^= 1
        path.write_bytes(raw if harm == "flip" else raw[:-1])
    report = check_index(index.path)
    assert not report.ok
    assert name in "\n".join(report.lines())
    if harm == "flip":
        tokens = IndexFolder(index.path).tokens
        assert tokens is not None
        with pytest.raises(CorruptFile, match=name):
            tokens.take(np.array([11]))


def test_a_manifest_that_promises_other_tokens_is_told(corpus: Path, tmp_path: Path) -> None:
    built = tamis.build(corpus, tmp_path / "i", encoder=Letters(), token_vectors=4)
    manifest = built.folder.manifest
    assert manifest is not None
    assert manifest.tokens is not None
    told = {**manifest.tokens, "count": manifest.tokens["count"] + 1}
    replace(manifest, tokens=told).write(tmp_path / "i")
    report = check_index(tmp_path / "i")
    assert [finding.kind for finding in report.errors] == ["opening"]
    assert "as the manifest promises" in report.errors[0].message


def test_an_index_is_replaced_with_its_token_vectors(corpus: Path, tmp_path: Path) -> None:
    tamis.build(corpus, tmp_path / "i", encoder=Letters(), token_vectors=4)
    (tmp_path / "i" / "tamis.json").write_text("{")  # who is to say what belongs to it?
    tamis.build(corpus, tmp_path / "i", encoder=Letters(), overwrite=True)
    assert not (tmp_path / "i" / "tokens").exists()


def test_a_killed_build_goes_on_where_it_was(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tamis.build(corpus, tmp_path / "i", encoder=Letters(left=8), token_vectors=8, shard_rows=5)
    assert not (tmp_path / "i").exists()
    assert (tmp_path / "i.building" / "tokens" / "00000.json").is_file()
    resumed = Letters()
    tamis.build(corpus, tmp_path / "i", encoder=resumed, token_vectors=8, shard_rows=5)
    assert resumed.seen == ["a", *TEXTS[5:]], "one word to see whether it can, then what is missing"
    tamis.build(corpus, tmp_path / "j", encoder=Letters(), token_vectors=8, shard_rows=5)
    for name in ("vectors.npy", "bounds.npy"):
        one, other = ((tmp_path / which / "tokens" / name).read_bytes() for which in "ij")
        assert one == other
    assert not (tmp_path / "i.building").exists()


@pytest.mark.parametrize(
    ("encoder", "bits", "told"),
    [
        ("hashing", 8, "hashing gives none; name another encoder"),
        ("tamis-tiny", 5, "token_vectors is 5; expected 4 or 8 bits"),
        ("tamis-tiny", 0, "token_vectors is 0; expected 4 or 8 bits"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_work(
    corpus: Path, tmp_path: Path, encoder: str, bits: int, told: str
) -> None:
    with pytest.raises(BadArguments, match=told):
        tamis.build(corpus, tmp_path / "i", encoder=encoder, token_vectors=bits)
    assert not list(tmp_path.iterdir())


def test_the_command_line(corpus: Path, tmp_path: Path) -> None:
    call = ["build", str(corpus), "-o", str(tmp_path / "i"), "--encoder", "tamis-tiny"]
    done = CliRunner().invoke(
        app, [*call, "--query-encoder", "own", "--token-vectors", "4", "--lexical", "none"]
    )
    assert done.exit_code == 0, done.output
    assert "in 4 bits" in done.output
    asked = ["search", str(tmp_path / "i"), "salt", "--rerank", "maxsim=tamis-tiny:5", "--json"]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert "stored in 4 bits" in found.output
