"""Texts that some query wants, and texts that none was seen to want: what quality is learned from.

Parts are cut by query: a passage that learned and held-out queries both want is in neither part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from .draws import draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ORDINARY = 0.2
"""The label of prose that nobody was seen to want. It may be wanted yet, and wreckage, which is
labelled 0, never is."""

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """label: how likely it is that some query wants the text, 0 to 1. weight: of its loss."""

    text: str
    label: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.label <= 1 or not self.weight > 0:
            raise BadArguments(
                f"label {self.label} with weight {self.weight}; expected 0 to 1, and above 0"
            )


@dataclass(frozen=True, slots=True)
class Seen:
    """A labelled text with the queries that want it and those it was merely retrieved for.

    A text that has neither was labelled without a query.
    """

    labelled: LabelledText
    wanted_by: frozenset[str] = _NOBODY
    retrieved_for: frozenset[str] = _NOBODY


def from_answers(
    wanted: Iterable[tuple[str, str]],
    retrieved: Iterable[tuple[str, str]],
    weight: float = 1.0,
) -> list[Seen]:
    """From (query, text) of answers, and of what was retrieved and is none. Each text once.

    A text that any query wants is wanted, whatever else it was retrieved for.
    """
    answers, others = _by_text(wanted), _by_text(retrieved)
    found = [
        Seen(LabelledText(text, 1.0, weight), frozenset(queries))
        for text, queries in answers.items()
    ]
    return found + [
        Seen(LabelledText(text, ORDINARY, weight), retrieved_for=frozenset(queries))
        for text, queries in others.items()
        if text not in answers
    ]


def apart(
    seen: Sequence[Seen], share: float, seed: int, counts: Counter[str] | None = None
) -> tuple[list[LabelledText], list[LabelledText]]:
    """(texts to learn from, held-out texts): ``share`` of the queries is held out.

    A wanted text goes where its queries are, and is left out (counted as "wanted on both sides")
    where they are on both sides. A text that was merely retrieved is held out when all of its
    queries are; one without a query by a draw on its words. No text is in both parts, also where
    it was seen more than once.
    """
    counts = Counter() if counts is None else counts
    learned, held_out = [], []
    for each in seen:
        sides = {draw(seed, "held out", q) < share for q in each.wanted_by or each.retrieved_for}
        if not sides:
            sides = {draw(seed, "held out", each.labelled.text) < share}
        if len(sides) == 2 and each.wanted_by:
            counts["wanted on both sides"] += 1
        elif sides == {True}:
            held_out.append(each.labelled)
        else:
            learned.append(each.labelled)
    texts = {each.text for each in learned}
    return learned, [each for each in held_out if each.text not in texts]


def _by_text(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for query, text in pairs:
        found.setdefault(text, set()).add(query)
    return found
