"""Training pairs as numbers: which texts there are, what answers what, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .token_store import TokenStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.protocols import Role
    from ...core.records import Float32Array, Int64Array
    from .pairs import Pair
    from .trainee import Trainee

_CHUNK = 4096  # texts that are tokenised together


@dataclass(frozen=True, slots=True)
class PairBatch:
    """n pairs over m passages, each of which stands once.

    queries [n] and passages [m]: rows of the texts of a ``PairTexts``. columns [n, 1 + k] int64:
    places among ``passages`` of each pair's positive and of its negatives, 0 where present
    [n, 1 + k] says that there is none. answers [n, m] bool: what some pair gives as an answer to
    the query. scores [n, 1 + k] float32 of a teacher, where scored [n] says that there are any.
    """

    queries: Int64Array
    passages: Int64Array
    columns: Int64Array
    present: np.ndarray
    answers: np.ndarray
    scores: Float32Array
    scored: np.ndarray


class PairTexts:
    """Pairs over texts that stand once each, in order of appearance: ``queries``, ``passages``.

    A pair loses a negative that another pair gives as an answer to its query, or that it names
    twice.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        queries: dict[str, int] = {}
        passages: dict[str, int] = {}
        self.query_of = _numbered(queries, [pair.query for pair in pairs])
        self.positive_of = _numbered(passages, [pair.positive for pair in pairs])
        self.answers: list[set[int]] = [set() for _ in queries]
        """Of each query, the passages that some pair gives as an answer to it."""
        for query, positive in zip(self.query_of.tolist(), self.positive_of.tolist(), strict=True):
            self.answers[query].add(positive)
        self._negatives: list[Int64Array] = []
        self._scores: list[Float32Array] = []
        for row, pair in enumerate(pairs):
            seen = self.answers[self.query_of[row]].copy()
            kept = []
            for place, negative in enumerate(_numbered(passages, pair.negatives).tolist()):
                if negative not in seen:
                    seen.add(negative)
                    kept.append((place, negative))
            self._negatives.append(np.array([negative for _, negative in kept], np.int64))
            said = [0, *(1 + place for place, _ in kept)] if pair.scores else []
            self._scores.append(np.array(pair.scores, np.float32)[said])
        self.queries, self.passages = list(queries), list(passages)

    def __len__(self) -> int:
        return len(self.query_of)

    def tokens(self, queries: Int64Array, passages: Int64Array, negatives: int) -> float:
        """Expected word pieces of all pairs, each with at most so many negatives, from the lengths
        of all queries and passages."""
        total = float(queries[self.query_of].sum() + passages[self.positive_of].sum())
        for rows in self._negatives:
            if len(rows):
                total += float(passages[rows].mean()) * min(negatives, len(rows))
        return total

    def batch(self, pairs: Int64Array, negatives: int, rng: np.random.Generator) -> PairBatch:
        """The pairs with at most ``negatives`` of each one's own, drawn where there are more."""
        rows, scores, scored = self._listed(pairs, negatives, rng)
        present = rows >= 0
        passages, places = np.unique(rows[present], return_inverse=True)
        columns = np.zeros_like(rows)
        columns[present] = places
        column = {row: place for place, row in enumerate(passages.tolist())}
        answers = np.zeros((len(pairs), len(passages)), bool)
        queries = self.query_of[pairs]
        for place, query in enumerate(queries.tolist()):
            answers[place, [column[row] for row in self.answers[query] if row in column]] = True
        return PairBatch(queries, passages, columns, present, answers, scores, scored)

    def _listed(
        self, pairs: Int64Array, negatives: int, rng: np.random.Generator
    ) -> tuple[Int64Array, Float32Array, np.ndarray]:
        """Rows [n, 1 + negatives] of passages, -1 for none; their scores; which pairs have any."""
        rows = np.full((len(pairs), 1 + negatives), -1, np.int64)
        scores = np.zeros(rows.shape, np.float32)
        rows[:, 0] = self.positive_of[pairs]
        for place, pair in enumerate(pairs.tolist()):
            own, said = self._negatives[pair], self._scores[pair]
            drawn = np.arange(len(own))
            if len(own) > negatives:
                drawn = np.sort(rng.permutation(len(own))[:negatives])
            rows[place, 1 : 1 + len(drawn)] = own[drawn]
            if len(said):
                scores[place, : 1 + len(drawn)] = said[[0, *(1 + drawn)]]
        scored = np.array([len(self._scores[pair]) > 0 for pair in pairs.tolist()], bool)
        return rows, scores, scored


def tokens_of(trainee: Trainee, texts: Sequence[str], role: Role) -> TokenStore:
    """The word pieces of all texts, some thousands at a time."""
    return TokenStore(
        [
            trainee.tokens(texts[start : start + _CHUNK], role)
            for start in range(0, len(texts), _CHUNK)
        ]
    )


def _numbered(known: dict[str, int], texts: Sequence[str]) -> Int64Array:
    """Each text's number; a new text gets the next one."""
    return np.array([known.setdefault(text, len(known)) for text in texts], np.int64)
