"""Hard negatives: passages that a retriever takes for answers and a teacher does not.

What retrieval ranks first among the unmarked is often an answer that nobody marked, and training
against it teaches the wrong thing: Qu et al. 2021, "RocketQA", keep only what a teacher is sure is
none.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ...core.errors import BadArguments, BadData
from .draws import draw
from .pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...core.records import Float32Array
    from .questions.synthetic_questions import Search

    Score: TypeAlias = Callable[[Sequence[str], Sequence[str]], Float32Array]
    """Queries and as many texts to what a teacher thinks of each text as its query's answer."""

_TOGETHER = 512  # queries that are mined and scored at a time


@dataclass(frozen=True, slots=True)
class Unmined:
    """A query and its positive, as texts. ``answers`` are the rows of all passages that are known
    to answer it, the positive's own among them where it has one."""

    query: str
    positive: str
    answers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NegativeRule:
    """Which of a query's candidates are its negatives.

    count: so many, drawn evenly from the ranks ``first`` to ``last`` (from 0, without ``last``);
    known answers have no rank. Leaving out the first ranks is the oldest guard against false
    negatives, and the only one without a teacher.

    margin, ratio: with a teacher a candidate's score must be at most the positive's minus
    ``margin``, and at most ``ratio`` of it: TopK-MarginPos and TopK-PercPos of Moreira et al. 2024,
    "NV-Retriever", who found a ratio of 0.95 best. As a share of a negative score would be above
    it, the rule is positive - (1 - ratio) |positive|.
    """

    count: int = 7
    first: int = 0
    last: int = 100
    margin: float = 0.0
    ratio: float = 0.95

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadArguments(f"the number of negatives is {self.count}; expected 1 or more")
        if not 0 <= self.first < self.last:
            raise BadArguments(
                f"negatives come from ranks {self.first} to {self.last}; expected 0 <= first < last"
            )
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise BadArguments(f"the margin is {self.margin}; expected a number of 0 or more")
        if not 0 < self.ratio <= 1:
            raise BadArguments(f"the ratio is {self.ratio}; expected more than 0, at most 1")

    def threshold(self, positive: float) -> float:
        """The highest score that a negative may have beside this positive."""
        return min(positive - self.margin, positive - (1 - self.ratio) * abs(positive))


def with_negatives(
    unmined: Sequence[Unmined],
    texts: Sequence[str],
    mine: Search,
    rule: NegativeRule,
    seed: int,
    score: Score | None = None,
    counts: Counter[str] | None = None,
) -> Iterator[Pair]:
    """A pair for each query and positive, in their order, with at most ``rule.count`` negatives.

    ``texts`` are the passages by row. Never a negative: a known answer, a blank text, one with the
    words of the positive, of a known answer or of another negative, whatever its rows. Of the
    candidates in the ranks and below the threshold each is as likely; negatives come best ranked
    first. Pairs carry the teacher's scores where there is a ``score``. A pair may have fewer
    negatives than asked for, or none.

    ``counts`` learns "candidates" (within the ranks), "false negatives" (left out by the
    teacher), "pairs", "pairs with fewer negatives" and "pairs without negatives".
    """
    counts = Counter() if counts is None else counts
    for start in range(0, len(unmined), _TOGETHER):
        chunk = unmined[start : start + _TOGETHER]
        depth = min(rule.last + max(len(each.answers) for each in chunk), max(len(texts), 1))
        mined = mine([each.query for each in chunk], depth)
        ranked = [
            _ranked(each, rows[: rule.last + len(each.answers)].tolist(), texts, rule)
            for each, rows in zip(chunk, mined, strict=True)
        ]
        scores = _scores(chunk, ranked, texts, score) if score is not None else None
        for place, (each, rows) in enumerate(zip(chunk, ranked, strict=True)):
            own = None if scores is None else scores[place]
            pair = _chosen(each, rows, texts, own, rule, seed, counts)
            counts["pairs"] += 1
            counts["pairs with fewer negatives"] += 0 < len(pair.negatives) < rule.count
            counts["pairs without negatives"] += not pair.negatives
            yield pair


def in_turns(searches: Sequence[Search]) -> Search:
    """One search out of several: the first of each, then the second of each, no row twice."""

    def search(queries: Sequence[str], depth: int) -> list[np.ndarray]:
        found = [each(queries, depth) for each in searches]
        return [_alternating(own, depth) for own in zip(*found, strict=True)]

    return searches[0] if len(searches) == 1 else search


def _alternating(rankings: Sequence[np.ndarray], depth: int) -> np.ndarray:
    longest = max(map(len, rankings))
    turns = [rows[place] for place in range(longest) for rows in rankings if place < len(rows)]
    return np.array(list(dict.fromkeys(turns))[:depth], np.int64)


def _ranked(each: Unmined, mined: list[int], texts: Sequence[str], rule: NegativeRule) -> list[int]:
    """The candidates within the ranks that may be negatives."""
    told = {_words(each.positive), "", *(_words(texts[row]) for row in each.answers)}
    kept = []
    for row in mined:
        words = _words(texts[row])
        if words not in told:
            told.add(words)
            kept.append(row)
            if len(kept) == rule.last:
                break
    return kept[rule.first :]


def _words(text: str) -> str:
    """Texts are the same passage when they differ in white space and case alone."""
    return " ".join(text.split()).casefold()


def _scores(
    chunk: Sequence[Unmined], ranked: list[list[int]], texts: Sequence[str], score: Score
) -> list[list[float]]:
    """For each query the teacher's scores of its positive and of its candidates."""
    queries, answers = [], []
    for each, rows in zip(chunk, ranked, strict=True):
        queries += [each.query] * (1 + len(rows))
        answers += [each.positive, *(texts[row] for row in rows)]
    found = np.asarray(score(queries, answers), np.float64)
    if found.shape != (len(queries),) or not np.isfinite(found).all():
        raise BadData(
            f"the teacher gave scores of shape {found.shape}, {np.isfinite(found).sum()} of them "
            f"finite, for {len(queries)} texts; expected one finite number a text"
        )
    ends = np.cumsum([1 + len(rows) for rows in ranked])[:-1]
    return [own.tolist() for own in np.split(found, ends)]


def _chosen(
    each: Unmined,
    rows: list[int],
    texts: Sequence[str],
    scores: list[float] | None,
    rule: NegativeRule,
    seed: int,
    counts: Counter[str],
) -> Pair:
    counts["candidates"] += len(rows)
    places = list(range(len(rows)))
    if scores is not None:
        limit = rule.threshold(scores[0])
        places = [place for place in places if scores[1 + place] <= limit]
        counts["false negatives"] += len(rows) - len(places)
    drawn = sorted(places, key=lambda place: draw(seed, each.query, each.positive, rows[place]))
    kept = sorted(drawn[: rule.count])
    told = () if scores is None else (scores[0], *(scores[1 + place] for place in kept))
    return Pair(each.query, each.positive, tuple(texts[rows[place]] for place in kept), told)
