"""How much of a query a candidate holds, by what the candidates alone tell of its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..core.records import Float64Array
    from .matching import Matched

COVERAGE: dict[str, str] = {
    "query_terms": "number of the query's terms",
    "query_numbers": "how many of the query's distinct terms hold a digit",
    "passage_words": "number of words of the passage's text",
    "title_words": "number of words of its title; 0 without one",
    "coverage": "share of the query's distinct terms in title or text",
    "text_coverage": "share of the query's distinct terms in the text",
    "title_coverage": "share of the query's distinct terms in the title; NaN without one",
    "title_asked": "share of the title's terms that are query terms; NaN without one",
    "weighted_coverage": "coverage, each term weighted by its rarity among the candidates",
    "matched_rarity_mean": "mean rarity of the matched terms; NaN without a match",
    "matched_rarity_max": "highest rarity of a matched term; NaN without a match",
    "saturated_frequency": "sum over matched terms of rarity * tf / (tf + 1.2)",
    "term_share": "share of the passage's terms that are query terms",
    "frequency": "how many words of title and text are query terms",
    "highest_frequency": "how often its most frequent query term stands in title and text",
    "numbers_covered": "share of these terms found; NaN where there is none",
}
"""Terms are stems without function words (``terms.py``); rarity is log(1 + (n - df + 0.5) /
(df + 0.5)) over the query's n candidates, df of them matching."""


def coverage(matched: Matched) -> dict[str, Float64Array]:
    """The columns of ``COVERAGE`` by name, each float64 [candidates]."""
    asked, title, text = matched.asked, matched.title, matched.text
    n, distinct = matched.frequency.shape
    found, rarity = matched.frequency > 0, matched.rarity
    matches, total = found.sum(axis=1), matched.frequency.sum(axis=1)
    some = np.where(matches > 0, matches, np.nan)
    titled = title.words > 0
    highest = np.where(found, rarity, -np.inf).max(axis=1, initial=-np.inf)
    numbers = np.full(n, np.nan)
    if len(asked.numbers):
        numbers = found[:, asked.numbers].mean(axis=1)
    in_title = (title.frequency > 0).sum(axis=1)
    return {
        "query_terms": np.full(n, len(asked.terms), np.float64),
        "query_numbers": np.full(n, len(asked.numbers), np.float64),
        "passage_words": text.words.astype(np.float64),
        "title_words": title.words.astype(np.float64),
        "coverage": matches / max(distinct, 1),
        "text_coverage": (text.frequency > 0).sum(axis=1) / max(distinct, 1),
        "title_coverage": np.where(titled, in_title / max(distinct, 1), np.nan),
        "title_asked": np.where(
            titled, title.frequency.sum(axis=1) / np.maximum(title.terms, 1), np.nan
        ),
        "weighted_coverage": found @ rarity / max(float(rarity.sum()), 1e-12),
        "matched_rarity_mean": found @ rarity / some,
        "matched_rarity_max": np.where(matches > 0, highest, np.nan),
        "saturated_frequency": matched.frequency / (matched.frequency + 1.2) @ rarity,
        "term_share": total / np.maximum(title.terms + text.terms, 1),
        "frequency": total,
        "highest_frequency": matched.frequency.max(axis=1, initial=0.0),
        "numbers_covered": numbers,
    }
