"""Why a hit has its place: what each stage gave it, and what a stage's score is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.protocols import Explains
from .batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..core.protocols import Explanation
    from ..core.records import Query, Ranking
    from ..encoders.attribution.siamese import Attribution
    from .search import Search

FUSED = "fused"
SHOWN = 8
"""Contributions told to people; a program gets all of them."""


@dataclass(frozen=True, slots=True)
class Why:
    """Of one hit: score and rank by stage, in the order of the stages, and explanations by stage.

    A rank counts the candidates that the stage scored higher, from 1. A stage that did not see the
    passage is missing. ``tokens`` is the dense score by pairs of tokens, where that was asked for.
    """

    stages: Mapping[str, tuple[float, int]]
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    tokens: Attribution | None = None

    def to_json(self) -> dict[str, Any]:
        """NaN, what was not there to be seen, becomes null."""
        told: dict[str, Any] = {
            "stages": {
                name: {"score": score, "rank": rank} for name, (score, rank) in self.stages.items()
            },
            "explanations": {
                name: {
                    "score": each.score,
                    "base": each.base,
                    "parts": [
                        {
                            "name": part.name,
                            "meaning": part.meaning,
                            "value": None if np.isnan(part.value) else part.value,
                            "amount": part.amount,
                        }
                        for part in each.parts
                    ],
                }
                for name, each in self.explanations.items()
            },
        }
        if self.tokens is not None:
            told["tokens"] = self.tokens.to_json()
        return told

    def lines(self) -> Iterator[str]:
        """For people: the stages in one line, then each explanation's largest contributions."""
        yield "  ".join(
            f"{name} {score:.4f} (rank {rank})" for name, (score, rank) in self.stages.items()
        )
        for name, each in self.explanations.items():
            yield f"{name} {each.score:.4f} = {each.base:+.4f}, and by what it looks at:"
            for part in each.parts[:SHOWN]:
                seen = "none" if np.isnan(part.value) else f"{part.value:.4g}"
                yield f"  {part.amount:+.4f}  {part.name} {seen}: {part.meaning}"
            rest = each.parts[SHOWN:]
            if rest:
                yield f"  {sum(part.amount for part in rest):+.4f}  {len(rest)} others"
        if self.tokens is not None:
            yield from _pair_lines(self.tokens)


def _pair_lines(found: Attribution) -> Iterator[str]:
    """The strongest pairs of tokens, what all others and the references make, what is left over."""
    yield f"dense {found.score:.4f} by pairs of tokens, {100 * found.error:.2f} % left over:"
    pairs = found.strongest(SHOWN)
    for query, passage, amount in pairs:
        yield f"  {amount:+.4f}  {query} with {passage}"
    if others := found.matrix.size - len(pairs):
        amount = float(found.matrix.sum()) - sum(each for _, _, each in pairs)
        yield f"  {amount:+.4f}  {others:,} others"
    yield f"  {found.references:+.4f}  texts that say nothing"


def explained_stages(search: Search) -> list[str]:
    """The rerankers of a search that can say what their scores are made of."""
    pairs = zip(search.labels, search.rerank, strict=True)
    return [label for label, stage in pairs if isinstance(stage, Explains)]


def why(search: Search, query: Query) -> dict[int, Why]:
    """Row -> why, for every candidate that the last stage leaves; the search is run once more."""
    batch = Batch(search, [query])
    (found,) = batch.output()
    places = _places(search, [rankings[0] for rankings in batch.trail])
    explanations: dict[str, dict[int, Explanation]] = {}
    for number, (label, stage) in enumerate(zip(search.labels, search.rerank, strict=True)):
        if isinstance(stage, Explains):
            for each in batch.asked(number):
                rows = each.ranking.rows.tolist()
                explanations[label] = dict(zip(rows, stage.explain(each), strict=True))
    return {
        row: Why(
            {name: known[row] for name, known in places.items() if row in known},
            {name: known[row] for name, known in explanations.items() if row in known},
        )
        for row in found.rows.tolist()
    }


def _places(search: Search, trail: list[Ranking]) -> dict[str, dict[int, tuple[float, int]]]:
    """Stage -> row -> score and rank, each read where the stage had just spoken."""
    first = trail[0]
    places = {name: _ranked(first, scores) for name, scores in first.stages.items()}
    if len(first.stages) > 1:
        places[FUSED] = _ranked(first, first.scores)
    for label, ranking in zip(search.labels, trail[1:], strict=True):
        places[label] = _ranked(ranking, ranking.stages[label])
    return places


def _ranked(ranking: Ranking, scores: np.ndarray) -> dict[int, tuple[float, int]]:
    there = ~np.isnan(scores)
    rising = np.sort(scores[there])
    ranks = 1 + len(rising) - np.searchsorted(rising, scores[there], side="right")
    rows = ranking.rows[there].tolist()
    return {
        row: (float(score), int(rank))
        for row, score, rank in zip(rows, scores[there], ranks, strict=True)
    }
