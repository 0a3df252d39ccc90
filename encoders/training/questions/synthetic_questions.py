"""Questions that nobody asked: what a generator is, and the round trip that checks its questions.

Training a bi-encoder on questions generated for the passages that it is to search: Ma et al. 2021,
"Zero-shot Neural Passage Retrieval via Domain-targeted Synthetic Question Generation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ....core.records import Int64Array, Passage

    Search: TypeAlias = Callable[[Sequence[str], int], Sequence[Int64Array]]
    """Questions and a depth to the rows of each question's passages, best first."""


class QuestionGenerator(Protocol):
    """Passages to questions that they answer."""

    def questions(self, passages: Sequence[Passage], n: int, seed: int) -> list[list[str]]:
        """For each passage at most n questions, none twice, none blank; perhaps none at all."""
        ...


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """A question made for the passage at ``row``."""

    text: str
    row: int


def round_trip(asked: Sequence[RowQuestion], search: Search, k: int) -> list[RowQuestion]:
    """Those whose own passage is among the best k that ``search`` finds for them, in their order.

    Round-trip consistency (Alberti et al. 2019) with a retriever for the reader: Dai et al. 2022,
    "Promptagator: Few-shot Dense Retrieval From 8 Examples", with k = 1.
    """
    found = search([question.text for question in asked], k)
    return [
        question
        for question, rows in zip(asked, found, strict=True)
        if question.row in rows[:k].tolist()
    ]
