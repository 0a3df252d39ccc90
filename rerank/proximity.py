"""How close to each other the words of a query stand in its candidates.

Ordered and unordered pairs are those of Metzler and Croft's sequential dependence model (SIGIR
2005, windows of 2 and 8), spans those of Tao and Zhai (SIGIR 2007).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.records import Float64Array, Int64Array
    from .matching import Asked, Field, Matched

NEAR = 8
"""Terms of a window in which two words are near."""
WINDOW = 20
"""Terms of a window that is about one sentence."""

PROXIMITY: dict[str, str] = {
    "longest_run": "longest run of query terms found in a row, over the number of query terms",
    "phrase": "1 if all query terms stand in a row in the title or the text, else 0",
    "pairs_covered": "share of its neighbouring terms found as neighbours; NaN for one term",
    "ordered_pairs": "sum over its neighbouring terms of tf / (tf + 1), tf: times they are "
    "neighbours in the text, in order",
    "near_pairs": f"sum over its neighbouring terms of tf / (tf + 1), tf: times both stand within "
    f"{NEAR} terms of the text, in any order",
    "shortest_span": "terms of the shortest stretch of text that holds every query term that the "
    "text holds; NaN without one",
    "span_density": "query terms that the text holds, over shortest_span; 0 without one",
    "window_coverage": f"share of the query's distinct terms, each weighted by its rarity, in the "
    f"best {WINDOW} terms of the text",
    "first_match": "place of the first match in the text, in terms from 0; NaN without a match",
    "mean_first_match": "mean over the matched terms of their first place; NaN without a match",
}


def proximity(matched: Matched) -> dict[str, Float64Array]:
    """The columns of ``PROXIMITY`` by name, each float64 [candidates]."""
    asked, title, text = matched.asked, matched.title, matched.text
    number = len(asked.terms)
    run = np.maximum(_longest_run(asked, title), _longest_run(asked, text))
    in_a_row = _pairs(asked, text, 1, ordered=True)
    anywhere = (in_a_row + _pairs(asked, title, 1, ordered=True) > 0).sum(axis=1)
    pairs = in_a_row.shape[1]
    near = _pairs(asked, text, NEAR - 1, ordered=False)
    spans, window = _stretches(text, matched.rarity)
    held = (text.frequency > 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return {
            "longest_run": run / max(number, 1),
            "phrase": ((run == number) & (number > 0)).astype(np.float64),
            "pairs_covered": anywhere / pairs if pairs else np.full(len(run), np.nan),
            "ordered_pairs": (in_a_row / (in_a_row + 1)).sum(axis=1),
            "near_pairs": (near / (near + 1)).sum(axis=1),
            "shortest_span": spans,
            "span_density": np.where(held > 0, held / spans, 0.0),
            "window_coverage": window / max(float(matched.rarity.sum()), 1e-12),
            "first_match": _lowest(text.first),
            "mean_first_match": _mean(text.first),
        }


def _lowest(values: Float64Array) -> Float64Array:
    """Row by row, NaN left aside; NaN where there is nothing else."""
    filled = np.where(np.isnan(values), np.inf, values).min(axis=1, initial=np.inf)
    return np.where(np.isinf(filled), np.nan, filled)


def _mean(values: Float64Array) -> Float64Array:
    known = ~np.isnan(values)
    total, number = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    return np.asarray(total / np.where(number > 0, number, np.nan))


def _longest_run(asked: Asked, field: Field) -> Float64Array:
    """[n]: length of the longest stretch of the query that stands in the field without a gap."""
    longest = np.zeros(len(field.words))
    # here[i, j]: so many matches in a row, up to i, are the query's terms up to its j-th
    here = field.code[:, None] == asked.sequence
    next_door = _neighbours(field, 1)
    same = here
    for length in range(1, len(asked.terms) + 1):
        rows = here.any(axis=1)
        if not rows.any():
            break
        longest[field.owner[rows]] = length
        grown = np.zeros_like(here)
        grown[1:, 1:] = here[:-1, :-1] & same[1:, 1:] & next_door[:, None]
        here = grown
    return longest


def _neighbours(field: Field, apart: int) -> NDArray[np.bool_]:
    """[M - 1]: whether a match and the next one stand ``apart`` terms from each other."""
    return np.asarray((np.diff(field.owner) == 0) & (np.diff(field.place) == apart))


def _pairs(asked: Asked, field: Field, reach: int, *, ordered: bool) -> Float64Array:
    """[n, pairs]: how often the two terms of each pair of query neighbours stand at most ``reach``
    terms apart, the first one first or, unless ``ordered``, in any order."""
    firsts, seconds = np.nonzero(asked.follows)
    number = np.full(asked.follows.shape, -1, np.int64)
    number[firsts, seconds] = np.arange(len(firsts))
    counts = np.zeros((len(field.words), len(firsts)))
    for lag in range(1, min(reach, len(field.code) - 1) + 1):
        left, right = field.code[:-lag], field.code[lag:]
        close = field.owner[:-lag] == field.owner[lag:]
        close &= field.place[lag:] - field.place[:-lag] <= reach
        found = [number[left, right]] if ordered else [number[left, right], number[right, left]]
        for way, pair in enumerate(found):
            # two of one term are one pair, whichever way it is read
            real = close & (pair >= 0) & ((left != right) if way else True)
            np.add.at(counts, (field.owner[:-lag][real], pair[real]), 1)
    return counts


def _stretches(field: Field, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    """[n] each: the shortest stretch that holds every query term that the field holds (NaN without
    one), and the highest sum of weights of the distinct terms within ``WINDOW`` terms."""
    n = len(field.words)
    spans, best = np.full(n, np.nan), np.zeros(n)
    if not len(field.code):
        return spans, best
    last = _last_seen(field)
    held = (field.frequency > 0)[field.owner]
    earliest = np.where(held, last, np.inf).min(axis=1)
    lengths = np.where(np.isneginf(earliest), np.inf, field.place - earliest + 1)
    shortest = np.full(n, np.inf)
    np.minimum.at(shortest, field.owner, lengths)
    inside = last > field.place[:, None] - WINDOW
    np.maximum.at(best, field.owner, inside @ weights)
    return np.where(np.isinf(shortest), np.nan, shortest), best


def _last_seen(field: Field) -> Float64Array:
    """[M, distinct]: the last place of each term up to this match in its candidate; -inf before."""
    matches = np.arange(len(field.code))
    seen = np.full((len(matches), field.distinct), -1, np.int64)
    seen[matches, field.code] = matches
    np.maximum.accumulate(seen, axis=0, out=seen)
    begins = np.searchsorted(field.owner, field.owner)  # the candidate's first match
    places: Int64Array = field.place[seen]
    return np.where(seen >= begins[:, None], places, -np.inf)
