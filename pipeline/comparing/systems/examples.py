"""Query by query: where a system wins and loses most, and which passages changed places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....eval.ties import settle_ties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ....core.records import Passage, RunScores
    from ....eval.evaluate import Evaluation
    from .splits import Split

TOP = 10
"""Ranks that are looked at for passages that moved."""

MOVES = 4
"""Passages shown of each query."""

WINS, LOSSES = "win", "loss"


@dataclass(frozen=True, slots=True)
class Move:
    """A passage whose rank differs: ``before`` with the baseline, ``after`` with the system, from
    1; None where it is not among the first ``TOP``. ``grade`` None: nobody judged it."""

    passage: str
    before: int | None
    after: int | None
    grade: int | None
    title: str = ""
    text: str = ""

    @property
    def weight(self) -> float:
        """How far it moved, near the top most."""
        return abs(_worth(self.before) - _worth(self.after))


@dataclass(frozen=True, slots=True)
class Example:
    """One query: its value with the baseline and with the system, and what moved."""

    kind: str
    query: str
    text: str
    before: float
    after: float
    moves: Sequence[Move]

    @property
    def delta(self) -> float:
        return self.after - self.before


def examples_of(
    measure: str,
    system: Evaluation,
    baseline: Evaluation,
    runs: tuple[RunScores, RunScores],
    split: Split,
    most: int,
) -> list[Example]:
    """The ``most`` best wins, best first, then as many losses, worst first; ``runs`` are the
    system's and the baseline's. Queries without a difference are never shown."""
    before, after = baseline.values[measure], system.values[measure]
    delta = after - before
    texts = {query.id: query.text for query in split.queries}
    order = sorted(range(len(delta)), key=lambda place: (-delta[place], system.queries[place]))
    wins = [place for place in order[:most] if delta[place] > 0]
    losses = [place for place in order[::-1][:most] if delta[place] < 0]
    found = []
    for kind, places in ((WINS, wins), (LOSSES, losses)):
        for place in places:
            query = system.queries[place]
            found.append(
                Example(
                    kind,
                    query,
                    texts.get(query, ""),
                    float(before[place]),
                    float(after[place]),
                    _moves(query, runs, split.judgments.get(query, {})),
                )
            )
    return found


def with_texts(
    examples: Mapping[str, Sequence[Example]], passages: Mapping[str, Passage]
) -> dict[str, list[Example]]:
    """The same with titles and texts, empty where the passage is not among ``passages``."""
    return {
        name: [
            Example(
                e.kind, e.query, e.text, e.before, e.after, [_told(m, passages) for m in e.moves]
            )
            for e in each
        ]
        for name, each in examples.items()
    }


def passages_named(examples: Iterable[Sequence[Example]]) -> set[str]:
    return {move.passage for each in examples for example in each for move in example.moves}


def _moves(query: str, runs: tuple[RunScores, RunScores], grades: Mapping[str, int]) -> list[Move]:
    """Relevant passages first, then the others, those that moved most first."""
    after, before = (_ranks(query, run) for run in runs)
    moved = [
        Move(passage, before.get(passage), after.get(passage), grades.get(passage))
        for passage in dict.fromkeys([*after, *before])
        if before.get(passage) != after.get(passage)
    ]
    moved.sort(key=lambda move: (-max(move.grade or 0, 0), -move.weight, move.passage))
    return moved[:MOVES]


def _ranks(query: str, run: RunScores) -> dict[str, int]:
    if not run.get(query):
        return {}
    settled = settle_ties({query: run[query]})[query]
    return {passage: rank for rank, passage in enumerate([*settled][:TOP], 1)}


def _worth(rank: int | None) -> float:
    return 0.0 if rank is None else 1 / rank


def _told(move: Move, passages: Mapping[str, Passage]) -> Move:
    passage = passages.get(move.passage)
    if passage is None:
        return move
    return Move(move.passage, move.before, move.after, move.grade, passage.title, passage.text)
