"""maxsim over vectors that an index keeps: how near, and who is encoded all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.protocols import Candidates, TokenVectors
from tamis.core.records import Passage, Query, Ranking
from tamis.index.token_codes import BITS, coded, decoded
from tamis.pipeline.components import token_encoder
from tamis.rerank import maxsim
from tamis.rerank.maxsim import MaxsimReranker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.protocols import TokenEncoder

TEXTS = [
    "A flea lives for a hundred days.",
    "The cat sleeps, the dog does not.",
    "",
    "How long does a flea live on a cat? Days, weeks, months.",
    "Wind over the sea.",
    "A recipe for bread: flour, water, salt and 3 days.",
]
QUESTIONS = ["how long does a flea live?", "bread recipe", "..."]


class InMemory:
    """What an index would hold of the texts; remembers rows that were taken."""

    def __init__(self, encoder: TokenEncoder, bits: int, texts: Sequence[str] = TEXTS) -> None:
        found = encoder.encode_tokens(texts, "passage")
        self.bits, self._dim = bits, found.vectors.shape[1]
        records = coded(found.vectors, bits)
        self._parts = np.split(records, np.cumsum(found.lengths)[:-1])
        self.largest = float(np.abs(found.vectors).max(initial=0))
        self.taken: list[int] = []

    def __len__(self) -> int:
        return len(self._parts)

    def take(self, rows: np.ndarray) -> TokenVectors:
        self.taken += rows.tolist()
        parts = [self._parts[row] for row in rows]
        lengths = np.array([len(part) for part in parts], np.int64)
        return TokenVectors(decoded(np.concatenate(parts), self._dim, self.bits), lengths)


class Counting:
    def __init__(self, inner: TokenEncoder) -> None:
        self.inner, self.card, self.seen = inner, inner.card, list[str]()

    def encode_tokens(self, texts: Sequence[str], role: str) -> TokenVectors:
        self.seen += [text for text in texts if role == "passage"]
        return self.inner.encode_tokens(texts, role)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def encoder() -> TokenEncoder:
    return token_encoder("tamis-tiny")


def candidates(question: str, rows: Sequence[int], texts: Sequence[str] = TEXTS) -> Candidates:
    scores = np.linspace(1, 0, len(rows), dtype=np.float32)
    ranking = Ranking(Query("q", question), np.array(rows, np.int64), scores)
    return Candidates(ranking, [Passage(f"p{row}", texts[row]) for row in rows])


@pytest.mark.parametrize("bits", BITS)
def test_scores_are_near_those_of_encoded_passages(encoder: TokenEncoder, bits: int) -> None:
    """A component is off by m / 2**bits at most, a product by sqrt(dim) times that, and a sum of
    Q best products by Q times that; errors of either sign leave a tenth of it."""
    counting = Counting(encoder)
    plain, kept = MaxsimReranker(encoder=counting), InMemory(encoder, bits)
    lent = plain.over(kept)
    rows = [4, 0, 5, 2, 1, 3]
    batch = [candidates(question, rows) for question in QUESTIONS]
    found = lent.score(batch)
    assert not counting.seen, "nothing is encoded but the queries"
    for scores, exact, question in zip(found, plain.score(batch), QUESTIONS, strict=True):
        length = encoder.encode_tokens([question], "query").lengths[0]
        bound = length * np.sqrt(encoder.card.dim) * kept.largest / 2**bits
        assert np.abs(scores - exact).max() <= bound / 10
        assert scores.dtype == np.float32
        assert scores[3] == -length, "a passage without a token is below all others"
    assert found[0].argmax() in (1, 5)


def test_texts_are_not_read(encoder: TokenEncoder) -> None:
    lent = MaxsimReranker(encoder=encoder).over(InMemory(encoder, 8))
    rows = range(6)
    one, other = candidates("a flea", rows), candidates("a flea", rows, ["x"] * 6)
    np.testing.assert_array_equal(lent.score([one])[0], lent.score([other])[0])


def test_neither_order_nor_company_matters(
    encoder: TokenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = MaxsimReranker(encoder=encoder).over(InMemory(encoder, 4))
    whole = lent.score([candidates(QUESTIONS[0], range(6))])[0]
    monkeypatch.setattr(maxsim, "AT_ONCE", 2)
    for rows in ([5, 3, 1, 0], [2], [0, 1, 2, 3, 4, 5], []):
        batch = [candidates("bread", [1]), candidates(QUESTIONS[0], rows)]
        np.testing.assert_allclose(lent.score(batch)[1], whole[rows], rtol=0, atol=2e-6)
    assert lent.score([]) == []


def test_rows_beyond_the_index_are_encoded(encoder: TokenEncoder) -> None:
    """Those of a cold tier: each candidate's score is its own, whoever stands beside it."""
    counting = Counting(encoder)
    plain, kept = MaxsimReranker(encoder=counting), InMemory(encoder, 4, TEXTS[:3])
    mixed = plain.over(kept).score([candidates("a flea", [4, 0, 3, 1])])[0]
    assert sorted(counting.seen) == sorted([TEXTS[4], TEXTS[3]])
    assert kept.taken == [0, 1]
    exact = plain.score([candidates("a flea", [4, 3])])[0]
    np.testing.assert_allclose(mixed[[0, 2]], exact, rtol=0, atol=1e-6)
    stored = plain.over(kept).score([candidates("a flea", [0, 1])])[0]
    np.testing.assert_allclose(mixed[[1, 3]], stored, rtol=0, atol=1e-6)


def test_who_is_who(encoder: TokenEncoder) -> None:
    plain = MaxsimReranker(encoder=encoder, keep=7)
    forms = [plain, *(plain.over(InMemory(encoder, bits)) for bits in BITS)]
    assert [form.name for form in forms] == [
        "maxsim (tamis-tiny)",
        "maxsim (tamis-tiny, stored in 4 bits)",
        "maxsim (tamis-tiny, stored in 8 bits)",
    ]
    assert len({form.fingerprint for form in forms}) == 3
    assert {form.reads for form in forms} == {encoder.card.fingerprint}
    assert {form.keep for form in forms} == {7}
