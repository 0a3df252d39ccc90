"""How a query's words meet a passage's words, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .terms import Terms, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from ..core.records import Passage


@dataclass(frozen=True, slots=True)
class _Read:
    """A passage as the features read it."""

    words: int
    title_words: int
    title: list[str]
    text: list[str]
    vocabulary: frozenset[str]
    """Every word before stemming: numbers are looked up here."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query as the features read it."""

    terms: list[str]
    distinct: frozenset[str]
    numbers: frozenset[str]
    pairs: frozenset[tuple[str, str]]


def of_texts(
    question: str, passages: Sequence[Passage], terms: Terms
) -> dict[str, NDArray[np.float64]]:
    """The text features of ``FEATURES`` by name, each float64 [passages]; at least one passage."""
    stems, function_words = terms.of_query(question)
    numbers = frozenset(word for word in words_of(question) if any(c.isdigit() for c in word))
    asked = _Asked(stems, frozenset(stems), numbers, frozenset(pairwise(stems)))
    read = [_read(passage, terms, function_words) for passage in passages]
    rarity = _rarities(asked.distinct, read)
    rows = [_matches(asked, passage, rarity) for passage in read]
    return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}


def _read(passage: Passage, terms: Terms, function_words: bool) -> _Read:
    title, text = words_of(passage.title), words_of(passage.text)
    return _Read(
        words=len(text),
        title_words=len(title),
        title=terms.of_passage(title, function_words),
        text=terms.of_passage(text, function_words),
        vocabulary=frozenset(title).union(text),
    )


def _rarities(asked: frozenset[str], read: Sequence[_Read]) -> dict[str, float]:
    """Term -> inverse candidate frequency, never negative (BM25's in Lucene's form)."""
    sets = [asked.intersection(passage.title + passage.text) for passage in read]
    df = {term: sum(term in found for found in sets) for term in asked}
    return {term: float(np.log1p((len(read) - n + 0.5) / (n + 0.5))) for term, n in df.items()}


def _matches(question: _Asked, passage: _Read, rarity: Mapping[str, float]) -> dict[str, float]:
    """The features of one query and one passage's words."""
    asked = question.distinct
    places: dict[str, list[int]] = {}
    for place, term in enumerate(passage.text):
        if term in asked:
            places.setdefault(term, []).append(place)
    in_title = asked.intersection(passage.title)
    matched = sorted(in_title.union(places))  # sorted, so that sums round the same way every time
    frequency = {t: len(places.get(t, ())) + passage.title.count(t) for t in matched}
    weights = [rarity[term] for term in matched]
    firsts = [places[term][0] for term in sorted(places)]
    run = max(_longest_run(question.terms, part) for part in (passage.title, passage.text))
    neighbours = {*pairwise(passage.title), *pairwise(passage.text)}
    return {
        "query_terms": len(question.terms),
        "query_numbers": len(question.numbers),
        "passage_words": passage.words,
        "title_words": passage.title_words,
        "coverage": _share(len(matched), len(asked)),
        "text_coverage": _share(len(places), len(asked)),
        "title_coverage": _share(len(in_title), len(asked)) if passage.title_words else np.nan,
        "weighted_coverage": _share(sum(weights), sum(rarity[term] for term in sorted(asked))),
        "matched_rarity_mean": float(np.mean(weights)) if weights else np.nan,
        "matched_rarity_max": max(weights, default=np.nan),
        "saturated_frequency": sum(rarity[t] * n / (n + 1.2) for t, n in frequency.items()),
        "term_share": _share(sum(frequency.values()), len(passage.title) + len(passage.text)),
        "longest_run": _share(run, len(question.terms)),
        "phrase": float(0 < len(question.terms) == run),
        "pairs_covered": _covered(question.pairs, neighbours),
        "numbers_covered": _covered(question.numbers, passage.vocabulary),
        "first_match": min(firsts, default=np.nan),
        "mean_first_match": float(np.mean(firsts)) if firsts else np.nan,
    }


def _share(part: float, whole: float) -> float:
    """part / whole; 0 of nothing."""
    return part / whole if whole else 0.0


def _covered(wanted: AbstractSet[object], found: AbstractSet[object]) -> float:
    """The share of what is wanted that was found; NaN when nothing is wanted."""
    return len(wanted & found) / len(wanted) if wanted else np.nan


def _longest_run(asked: Sequence[str], found: Sequence[str]) -> int:
    """Length of the longest stretch of ``asked`` that stands in ``found`` without a gap."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(asked):
        places.setdefault(term, []).append(place)
    longest, runs = 0, dict[int, int]()
    for term in found:
        # runs: place in the query -> length of the run that ends there and here
        runs = {place: runs.get(place - 1, 0) + 1 for place in places.get(term, ())}
        longest = max(longest, *runs.values()) if runs else longest
    return longest
