"""The contracts between rooms. Each is small; one method is enough to join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .packed_texts import PackedTexts
    from .records import Float32Array, Int32Array, Int64Array, Passage, Query, Ranking
    from .stopwatch import Stopwatch

Role: TypeAlias = Literal["passage", "query"]


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """All that could spoil a search without an error, written into every index manifest.

    ``name`` is what the user typed; ``fingerprint`` changes when any vector could;
    ``space`` is the fingerprint of the space's teacher: encoders of one space may meet.
    ``max_length`` counts tokens, special ones included; 0 means that nothing is ever cut.
    """

    name: str
    fingerprint: str
    space: str
    dim: int
    similarity: Literal["cosine", "dot"]
    pooling: str
    max_length: int
    passage_prefix: str = ""
    query_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Encoded:
    """vectors [n, dim] float32; tokens [n] int32, each text's length before any cut."""

    vectors: Float32Array
    tokens: Int32Array


class Encoder(Protocol):
    """Text to vectors. A vector depends on its text alone: batching moves it by at most 1e-6."""

    @property
    def card(self) -> EncoderCard: ...

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """Shape (len(texts), card.dim), float32, rows of unit length when similarity is cosine.

        No text, no rows. An empty text is legal. The role chooses the prefix.
        """
        ...

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        """[n] int32: what ``encode`` would report as ``tokens``, without encoding."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Float32Array:
        return self.encode(texts, "passage").vectors

    def encode_queries(self, texts: Sequence[str]) -> Float32Array:
        return self.encode(texts, "query").vectors


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """vectors [tokens, dim] float32, texts end to end; lengths [n] int64, tokens of each text."""

    vectors: Float32Array
    lengths: Int64Array


@runtime_checkable
class TokenEncoder(Protocol):
    """Text to a vector for each of its tokens, in context: what late interaction compares."""

    @property
    def card(self) -> EncoderCard: ...

    def encode_tokens(self, texts: Sequence[str], role: Role) -> TokenVectors:
        """Rows of unit length, or zero; special tokens of the model are left out.

        A text may have no token. Cut at ``card.max_length`` as ``encode`` cuts. A text's vectors
        depend on the text alone: batching moves them by at most 1e-6.
        """
        ...


@dataclass(frozen=True, slots=True)
class QualityCard:
    """What a column of scores was made by: ``fingerprint`` changes when any score could."""

    name: str
    fingerprint: str


class QualityModel(Protocol):
    """Text to how much it is worth keeping, with no query in sight."""

    @property
    def card(self) -> QualityCard: ...

    def score(self, texts: Sequence[str]) -> Float32Array:
        """[len(texts)] float32, finite; higher means keep. Only the order of scores has a meaning.

        A score depends on its text alone: the rest of the batch never moves it, or by 1e-5 at
        most where a neural network gives it. No text, no scores. A text that is empty or has no
        word is legal.
        """
        ...


class ReadsPacked(Protocol):
    """Whoever reads passages that were tokenised before: a build then does that once."""

    @property
    def token_form(self) -> str:
        """Fingerprint of tokenizer and passage prefix: equal forms read the same tokens."""
        ...

    def tokenise(self, texts: Sequence[str]) -> PackedTexts:
        """Passages, not cut. Every reader cuts them at its own maximum length."""
        ...


@runtime_checkable
class ScoresPacked(ReadsPacked, Protocol):
    """A ``QualityModel`` that can go without the texts."""

    def score_packed(self, packed: PackedTexts) -> Float32Array:
        """What ``score`` gives for the texts."""
        ...


@runtime_checkable
class EncodesPacked(ReadsPacked, Protocol):
    """An ``Encoder`` that can go without the texts of passages."""

    def encode_packed(self, packed: PackedTexts) -> Encoded:
        """What ``encode`` gives for the passages."""
        ...


@runtime_checkable
class QualityRecipe(Protocol):
    """A quality model that has to read its corpus before it can score."""

    @property
    def name(self) -> str: ...

    def fit(self, texts: Iterable[str]) -> QualityModel:
        """The model over these texts, which are read once, from start to end, and not held.

        The recipe is left as it was. Raises BadData when there is no word in them.
        """
        ...


class Retriever(Protocol):
    """Queries to candidates; its depth k is fixed when it is made."""

    @property
    def name(self) -> str: ...

    @property
    def k(self) -> int: ...

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch | None = None) -> list[Ranking]:
        """One ranking a query, in the order of the queries, each of at most k rows.

        What the stages inside cost is added to ``clock`` under their names.
        """
        ...


class TermStatistics(Protocol):
    """What a collection knows of its terms; counts of words take function words in."""

    @property
    def passages(self) -> int: ...

    @property
    def title_words(self) -> int: ...

    @property
    def text_words(self) -> int: ...

    def counts(self, terms: Sequence[str]) -> Int64Array:
        """[terms, 3]: passages that hold it, times it stands in titles, times in texts.

        Terms are as the collection was counted by; one that it does not hold has three zeros.
        """
        ...


@runtime_checkable
class DescribesPassages(Protocol):
    """A passage table that knows more of its passages than their texts."""

    @property
    def terms(self) -> TermStatistics | None:
        """Counts of the whole collection; None where nobody counted."""
        ...

    def quality(self, rows: Int64Array) -> Float32Array | None:
        """[rows] float32, what the passages scored when they were indexed, NaN where unknown;
        None where nothing was scored."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a reranker sees of one query: the ranking so far and its passages, row for row.

    ``terms`` are the statistics of the collection that they come from, ``quality`` [n] float32
    their own scores; None where the index has none.
    """

    ranking: Ranking
    passages: Sequence[Passage]
    terms: TermStatistics | None = None
    quality: Float32Array | None = None


class Reranker(Protocol):
    """A query and its candidates to better scores; the cascade does the sorting and the cutting.

    ``keep`` is the stage's depth: the best ``keep`` candidates are scored, the rest are cut. One
    whose scores depend on the query and the passage alone, not on other candidates or earlier
    stages, may say ``pointwise = True``: its scores may then be remembered.
    """

    @property
    def name(self) -> str: ...

    @property
    def keep(self) -> int: ...

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """One float32 array per query, a finite score per passage, higher is better.

        No candidates, an empty array. Scores do not depend on the candidates' order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one thing that a stage looks at added to a score.

    ``name`` is short, ``meaning`` says it in words; ``value`` is what was seen, NaN where there
    was nothing to see.
    """

    name: str
    meaning: str
    value: float
    amount: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """``base`` and all amounts add up to ``score``, to 1e-5 of its size; largest amounts first."""

    score: float
    base: float
    parts: tuple[Contribution, ...]


@runtime_checkable
class Explains(Protocol):
    """A stage that can say what its scores are made of."""

    def explain(self, candidates: Candidates) -> list[Explanation]:
        """One a passage, in their order, for the scores that ``score`` gives them."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A reranker whose model comes late, and that can be told to have it before other work."""

    def prepare(self) -> None:
        """Load what ``score`` will need; raises what ``score`` would raise for want of it."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """A reranker whose scores may be kept: without a fingerprint nobody could tell them apart."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever any score could: model files, settings. Read from files."""
        ...
