"""Late interaction over token vectors: a brute-force oracle, invariances, what encoders give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments
from tamis.core.protocols import Candidates, EncoderCard, TokenEncoder, TokenVectors
from tamis.core.records import Passage, Query, Ranking
from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.components import reranker, token_encoder
from tamis.rerank.maxsim import MaxsimReranker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXTS = ["a flea lives for days", "the dog", "bread of the sea " * 3, "wind", "a cat", "the dog"]
QUESTION = "how long lives a flea"


@dataclass
class Words:
    """A unit vector a word, drawn from its letters; "..." is no token. Counts texts encoded."""

    seen: list[str] = field(default_factory=list)

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("words", "fingerprint of words", "space", 8, "cosine", "none", 0)

    def encode_tokens(self, texts: Sequence[str], role: str) -> TokenVectors:
        self.seen += [f"{role} {text}" for text in texts]
        words = [[word for word in text.split() if word != "..."] for text in texts]
        each = [self.vector(word) for own in words for word in own]
        lengths = np.array([len(own) for own in words], np.int64)
        return TokenVectors(np.array(each, np.float32).reshape(-1, 8), lengths)

    @staticmethod
    def vector(word: str) -> np.ndarray:
        drawn = np.random.default_rng(list(word.encode())).normal(size=8)
        return drawn / np.linalg.norm(drawn)


def candidates(question: str, texts: Sequence[str]) -> Candidates:
    n = len(texts)
    ranking = Ranking(
        Query("q", question), np.arange(n, dtype=np.int64), np.linspace(1, 0, n, dtype=np.float32)
    )
    return Candidates(ranking, [Passage(f"p{i}", text) for i, text in enumerate(texts)])


def brute_force(question: str, text: str) -> float:
    return sum(
        max(float(Words.vector(asked) @ Words.vector(word)) for word in text.split())
        for asked in question.split()
    )


def test_scores_are_sums_of_best_cosines() -> None:
    found = MaxsimReranker(encoder=Words()).score([candidates(QUESTION, TEXTS)])[0]
    expected = [brute_force(QUESTION, text) for text in TEXTS]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert found.dtype == np.float32
    assert MaxsimReranker(encoder=Words()).score([candidates("flea", ["a flea"])])[0] == (
        pytest.approx(1.0)
    )


def test_the_title_is_read() -> None:
    given = candidates("cat", ["dog"])
    titled = Candidates(given.ranking, [Passage("p0", "dog", "cat")])
    assert MaxsimReranker(encoder=Words()).score([titled])[0] == pytest.approx(1.0)


def test_neither_order_nor_company_matters() -> None:
    scorer = MaxsimReranker(encoder=Words())
    batch = [candidates(QUESTION, TEXTS), candidates("bread", []), candidates("dog", TEXTS[::-1])]
    together = scorer.score(batch)
    assert [len(scores) for scores in together] == [6, 0, 6]
    for scores, each in zip(together, batch, strict=True):
        np.testing.assert_allclose(scores, scorer.score([each])[0], rtol=0, atol=1e-6)
    assert together[0][1] == together[0][5], "equal passages, to the last bit"
    turned = scorer.score([candidates(QUESTION, TEXTS[::-1])])[0]
    np.testing.assert_allclose(turned[::-1], together[0], rtol=0, atol=1e-6)
    assert scorer.score([]) == []


def test_equal_texts_are_encoded_once() -> None:
    encoder = Words()
    MaxsimReranker(encoder=encoder).score([candidates("cat", ["dog", "cat", "dog"] * 5)])
    assert encoder.seen == ["query cat", "passage dog", "passage cat"]


def test_texts_without_a_token() -> None:
    scorer = MaxsimReranker(encoder=Words())
    found = scorer.score([candidates("a cat", ["a dog", "...", "zzz yyy"])])[0]
    assert found[1] == -2 < found[[0, 2]].min()
    assert scorer.score([candidates("...", ["cat", "..."])])[0].tolist() == [0, 0]


def test_who_is_who() -> None:
    scorer = MaxsimReranker(encoder=Words(), keep=7)
    assert (scorer.name, scorer.keep) == ("maxsim (words)", 7)
    assert scorer.fingerprint == "fingerprint of words"


@pytest.fixture(
    scope="module", params=["tamis-tiny", "folded in torch", "recurrent", "transformer"]
)
def encoder(
    request: pytest.FixtureRequest, teacher_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> TokenEncoder:
    if request.param == "recurrent":
        made: TokenEncoder = tamis.recurrent("mingru", layers=1, width=16, seed=0)
        return made
    if request.param == "transformer":
        return token_encoder(str(teacher_folder))
    if request.param == "tamis-tiny":
        return token_encoder("tamis-tiny")
    from tamis.encoders.recurrent.encoder_folder import load
    from tamis.encoders.shipped import tamis_tiny

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tamis_tiny().save(folder)
    loaded: TokenEncoder = load(folder)
    return loaded


class TestTokensOfEncoders:
    """Every encoder with token vectors keeps one contract."""

    def test_tokens_are_unit_rows_of_the_right_number(self, encoder: TokenEncoder) -> None:
        found = encoder.encode_tokens(["the old bank", "", "war and peace"], "passage")
        assert found.vectors.shape == (found.lengths.sum(), encoder.card.dim)
        assert found.vectors.dtype == np.float32
        assert found.lengths.tolist() == [3, 0, 3]
        norms = np.linalg.norm(found.vectors, axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-5)
        none = encoder.encode_tokens([], "query")
        assert (none.vectors.shape, none.lengths.shape) == ((0, encoder.card.dim), (0,))

    def test_company_does_not_matter(self, encoder: TokenEncoder) -> None:
        texts = ["the old bank of the river", "war", "", "bread and salt on a table " * 4]
        whole = encoder.encode_tokens(texts, "passage")
        parts = np.split(whole.vectors, np.cumsum(whole.lengths)[:-1])
        for text, part in zip(texts, parts, strict=True):
            alone = encoder.encode_tokens([text], "passage").vectors
            np.testing.assert_allclose(part, alone, rtol=0, atol=2e-6)

    def test_a_token_knows_its_neighbours(self, encoder: TokenEncoder) -> None:
        """``river bank`` and ``money bank``: one word, two vectors, unless layers are absent."""
        found = encoder.encode_tokens(["river bank", "money bank"], "passage")
        assert found.lengths.tolist() == [2, 2]
        assert 1e-4 < np.linalg.norm(found.vectors[1] - found.vectors[3]) < 1.9

    def test_it_reranks(self, encoder: TokenEncoder) -> None:
        scorer = MaxsimReranker(encoder=encoder)
        found = scorer.score([candidates("the river bank", ["war", "the river bank", "salt"])])[0]
        assert found.argmax() == 1
        assert found[1] == pytest.approx(3, abs=1e-4)


def test_token_vectors_of_a_folded_student_have_its_vector_as_mean() -> None:
    """The numpy and the torch path against the C path, which gives whole texts alone."""
    from tamis.encoders.shipped import tamis_small

    small = tamis_small()
    texts = ["the old bank of the river", "war and peace", "salt"]
    packed = small.pieces.pack(texts)
    tokens = small._stack.encode_tokens(packed.ids, packed.bounds)
    means = np.add.reduceat(tokens, packed.bounds[:-1], axis=0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(means, small.encode_passages(texts), rtol=0, atol=2e-5)


def test_the_two_paths_of_a_folded_student_agree(tmp_path: Path) -> None:
    from tamis.encoders.recurrent.encoder_folder import load
    from tamis.encoders.shipped import tamis_tiny

    tiny = tamis_tiny()
    tiny.save(tmp_path / "model")
    texts = ["the old bank of the river", "", "war and peace"]
    ours = tiny.encode_tokens(texts, "passage")
    theirs = load(tmp_path / "model").encode_tokens(texts, "passage")
    np.testing.assert_array_equal(ours.lengths, theirs.lengths)
    np.testing.assert_allclose(ours.vectors, theirs.vectors, rtol=0, atol=1e-3)


def test_states_of_a_transformer_are_its_own(teacher_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["the old bank", "war and peace and war"]
    found = token_encoder(str(teacher_folder)).encode_tokens(texts, "passage")
    whole = SentenceTransformer(str(teacher_folder)).encode(texts, output_value="token_embeddings")
    inner = np.concatenate([each[1:-1].cpu().numpy() for each in whole])  # [CLS] and [SEP] are out
    expected = inner / np.linalg.norm(inner, axis=1, keepdims=True)
    assert found.lengths.tolist() == [3, 5]
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=1e-5)


def test_by_name_and_in_a_cascade() -> None:
    assert reranker("maxsim", keep=5).name == "maxsim (tamis-small)"
    assert reranker("maxsim", model="tamis-tiny").name == "maxsim (tamis-tiny)"
    with pytest.raises(BadArguments, match=r"hashing gives no vectors of single tokens"):
        reranker("maxsim", model="hashing")
    fine = Cascade(dense=10, rerank=(RerankStage("maxsim", 10, {"model": "tamis-tiny"}),))
    assert fine.problems() == []
    wrong = Cascade(dense=10, rerank=(RerankStage("maxsim", 10, {"encoder": "tamis-tiny"}),))
    assert "no option 'encoder'" in str(wrong.problems()[0])
