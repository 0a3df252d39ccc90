"""The reranker ``encoder``: inner products of whole vectors, each passage encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tamis
from tamis.core.protocols import Candidates, Encoded, EncoderCard
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.whole_vectors import EncoderReranker

if TYPE_CHECKING:
    from collections.abc import Sequence


class Lengths:
    """[letters, words] of a text; remembers what it was asked."""

    card = EncoderCard("lengths", "f" * 64, "s", 2, "dot", "none", 0)

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def encode(self, texts: Sequence[str], role: str) -> Encoded:
        self.asked.append((role, list(texts)))
        vectors = np.array([[len(t), len(t.split())] for t in texts], np.float32).reshape(-1, 2)
        return Encoded(vectors, np.ones(len(texts), np.int32))


def given(question: str, *passages: Passage) -> Candidates:
    rows, scores = np.arange(len(passages)), np.ones(len(passages), np.float32)
    return Candidates(Ranking(Query("q", question), rows, scores), passages)


def test_a_score_is_the_inner_product_of_query_and_title_with_text() -> None:
    reranker = EncoderReranker(whole_encoder=Lengths())
    (scores,) = reranker.score([given("a b", Passage("1", "xyz"), Passage("2", "y", "t"))])
    assert scores.tolist() == [3 * 3 + 2 * 1, 3 * 3 + 2 * 2]  # "xyz" and "t y"
    assert scores.dtype == np.float32


def test_what_queries_share_is_encoded_once_and_nothing_for_nothing() -> None:
    encoder = Lengths()
    reranker = EncoderReranker(whole_encoder=encoder)
    same = Passage("1", "xyz")
    one, none, other = reranker.score([given("a", same), given("b"), given("a b", same, same)])
    assert encoder.asked == [("passage", ["xyz"]), ("query", ["a", "a b"])]
    assert (one.shape, none.shape, other.shape) == ((1,), (0,), (2,))
    assert other[0] == other[1]
    encoder.asked.clear()
    assert [each.shape for each in reranker.score([given("a")])] == [(0,)]
    assert encoder.asked == []


def test_it_is_found_by_name_and_tells_its_encoder() -> None:
    reranker = tamis.reranker("encoder", model="hashing", keep=3)
    assert (reranker.name, reranker.keep) == ("encoder (hashing)", 3)
    assert reranker.fingerprint == tamis.encoder("hashing").card.fingerprint
