"""The small records that travel between the rooms: passage, query, ranking, hit, judgments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Float32Array: TypeAlias = NDArray[np.float32]
    Float64Array: TypeAlias = NDArray[np.float64]
    Int64Array: TypeAlias = NDArray[np.int64]
    Int32Array: TypeAlias = NDArray[np.int32]

    Judgments: TypeAlias = Mapping[str, Mapping[str, int]]
    """Query id -> passage id -> grade; 0 is judged and not relevant."""

    RunScores: TypeAlias = Mapping[str, Mapping[str, float]]
    """Query id -> passage id -> score: a run file in memory."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A unit of retrieval. ``title`` may be empty; title and text are never both blank."""

    id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """What encoders and BM25 read: title, one space, text (BEIR's rule); or the text alone."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """One query's candidates, best first. Equal scores are ordered by row, ascending.

    rows [n], int64: rows of the index, no row twice. scores [n], float32, non-increasing, finite.
    ``stages`` keeps what earlier stages thought of the same candidates: stage name -> float32 [n],
    NaN where that stage did not return the row.
    """

    query: Query
    rows: Int64Array
    scores: Float32Array
    stages: Mapping[str, Float32Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, k: int) -> Ranking:
        """The first k candidates (all of them when there are fewer)."""
        if k >= len(self.rows):
            return self
        stages = {name: scores[:k] for name, scores in self.stages.items()}
        return Ranking(self.query, self.rows[:k], self.scores[:k], stages)


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer as a person sees it. ``rank`` starts at 1."""

    rank: int
    score: float
    row: int
    passage: Passage
    stages: Mapping[str, float] = field(default_factory=dict)
