"""What LambdaMART sees of a candidate: numbers computed from the candidates alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .terms import Terms, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..core.protocols import Candidates
    from ..core.records import Float32Array, Passage

STAGES = ("dense", "lexical")

_OF_A_STAGE = {
    "score": "the stage's own score",
    "reciprocal_rank": "1 / rank among the candidates that the stage found",
    "gap": "its score minus the best candidate's, 0 or below",
    "scaled": "its score from 0 (lowest candidate) to 1 (best); 1 where all are equal",
}

FEATURES: dict[str, str] = {
    **{f"{stage}_{name}": text for stage in STAGES for name, text in _OF_A_STAGE.items()},
    "reciprocal_rank": "1 / rank in the ranking so far (after fusion or an earlier reranker)",
    "scaled_score": "score so far, from 0 (lowest candidate) to 1 (best); 1 where all are equal",
    "stages_found": "how many first stages found the passage",
    "query_terms": "number of the query's terms",
    "query_numbers": "number of the query's words that hold a digit",
    "passage_words": "number of words of the passage's text",
    "title_words": "number of words of its title; 0 without one",
    "coverage": "share of the query's distinct terms in title or text",
    "text_coverage": "share of the query's distinct terms in the text",
    "title_coverage": "share of the query's distinct terms in the title; NaN without one",
    "weighted_coverage": "coverage, each term weighted by its rarity among the candidates",
    "matched_rarity_mean": "mean rarity of the matched terms; NaN without a match",
    "matched_rarity_max": "highest rarity of a matched term; NaN without a match",
    "saturated_frequency": "sum over matched terms of rarity * tf / (tf + 1.2)",
    "term_share": "share of the passage's terms that are query terms",
    "longest_run": "longest run of query terms found in a row, over the number of query terms",
    "phrase": "1 if all query terms stand in a row in the title or the text, else 0",
    "pairs_covered": "share of the query's neighbouring terms found as neighbours; NaN for one term",
    "numbers_covered": "share of the query's numbers found; NaN without a number",
    "first_match": "place of the first match in the text, in terms from 0; NaN without a match",
    "mean_first_match": "mean over the matched terms of their first place; NaN without a match",
}
"""Column name -> meaning, in column order. Terms are stems without function words (``terms.py``);
rarity is log(1 + (n - df + 0.5) / (df + 0.5)) over the query's n candidates, df of them matching.
"""


def features(candidates: Candidates, terms: Terms | None = None) -> Float32Array:
    """[candidates, FEATURES] float32; NaN where a feature has no meaning.

    A row depends on the query and the *set* of its candidates, never on their order: equal
    scores share a rank. A stage that the ranking does not know gives columns of NaN.
    """
    if not candidates.passages:
        return np.empty((0, len(FEATURES)), np.float32)
    columns = {**_of_scores(candidates), **_of_texts(candidates, terms or Terms())}
    return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)


Column = "NDArray[np.float64]"


def _of_scores(candidates: Candidates) -> dict[str, NDArray[np.float64]]:
    ranking = candidates.ranking
    absent = np.full(len(ranking), np.nan)
    columns: dict[str, NDArray[np.float64]] = {}
    found = np.zeros(len(ranking))
    for stage in STAGES:
        scores = np.asarray(ranking.stages.get(stage, absent), np.float64)
        found += ~np.isnan(scores)
        columns[f"{stage}_score"] = scores
        columns[f"{stage}_reciprocal_rank"] = _reciprocal_ranks(scores)
        columns[f"{stage}_gap"] = scores - _best(scores)
        columns[f"{stage}_scaled"] = _scaled(scores)
    scores = ranking.scores.astype(np.float64)
    columns["reciprocal_rank"] = _reciprocal_ranks(scores)
    columns["scaled_score"] = _scaled(scores)
    columns["stages_found"] = found
    return columns


def _best(scores: NDArray[np.float64]) -> float:
    return float(np.max(scores, initial=-np.inf, where=~np.isnan(scores)))


def _reciprocal_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + number of higher scores); NaN where there is no score."""
    present = np.sort(scores[~np.isnan(scores)])
    higher = len(present) - np.searchsorted(present, scores, side="right")
    return np.where(np.isnan(scores), np.nan, 1.0 / (1.0 + higher))


def _scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    best = _best(scores)
    spread = best + _best(-scores)
    if not spread > 0:  # all equal, or not one score
        return np.where(np.isnan(scores), np.nan, 1.0)
    return 1.0 - (best - scores) / spread


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
class _Question:
    terms: list[str]
    distinct: frozenset[str]
    numbers: frozenset[str]
    pairs: frozenset[tuple[str, str]]


def _of_texts(candidates: Candidates, terms: Terms) -> dict[str, NDArray[np.float64]]:
    text = candidates.ranking.query.text
    asked, function_words = terms.of_query(text)
    numbers = frozenset(word for word in words_of(text) if any(c.isdigit() for c in word))
    question = _Question(asked, frozenset(asked), numbers, frozenset(zip(asked, asked[1:])))
    read = [_read(passage, terms, function_words) for passage in candidates.passages]
    rarity = _rarities(question.distinct, read)
    rows = [_matches(question, passage, rarity) for passage in read]
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


def _matches(
    question: _Question, passage: _Read, rarity: Mapping[str, float]
) -> dict[str, float]:
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
    run = max(_longest_run(question.terms, passage.title), _longest_run(question.terms, passage.text))
    neighbours = set(zip(passage.text, passage.text[1:])) | set(zip(passage.title, passage.title[1:]))
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


def _covered(wanted: frozenset[object], found: frozenset[object] | set[object]) -> float:
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
