"""What the models of lexical retrieval say of candidates, by the statistics of their collection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.protocols import TermStatistics
    from ..core.records import Float64Array
    from .matching import Matched

BM25: tuple[tuple[str, float, float], ...] = (
    ("all", 0.9, 0.4),
    ("all", 1.2, 0.75),
    ("all", 2.0, 1.0),
    ("text", 0.9, 0.4),
    ("text", 1.2, 0.75),
    ("title", 0.9, 0.4),
    ("title", 1.2, 0.75),
)
"""Field, k1 and b; "all" is title and text as one."""
DIRICHLET: tuple[tuple[str, int], ...] = (
    ("all", 500),
    ("all", 2000),
    ("text", 1000),
    ("title", 20),
)
"""Field and mu, words that the collection lends."""
JELINEK: tuple[tuple[str, float], ...] = (("all", 0.1), ("text", 0.5), ("title", 0.5))
"""Field and lambda, the collection's share."""
TITLE_WEIGHT = 3.0
"""Of the title in BM25F."""

_OF = {"all": "title and text as one", "text": "the text", "title": "the title"}

LEXICAL: dict[str, str] = {
    **{
        f"bm25_{field}_{k1}_{b}": f"BM25 of {_OF[field]}, k1 {k1}, b {b}: sum over the query's "
        f"terms of idf * tf / (tf + k1 * (1 - b + b * words / mean words))"
        for field, k1, b in BM25
    },
    "bm25_gap": "the first of these minus the best candidate's, 0 or below",
    "bm25f": f"BM25F, k1 1.2: sum of idf * s / (s + 1.2), s: tf in the text plus {TITLE_WEIGHT:g} "
    f"times tf in the title, each over 1 - b + b * words / mean words, b .75",
    **{
        f"dirichlet_{field}_{mu}": f"query likelihood of {_OF[field]}, Dirichlet smoothing: mean "
        f"over the query's terms of log((tf + {mu} p) / (words + {mu}) / p), p: the term's share "
        f"of the collection's words"
        for field, mu in DIRICHLET
    },
    **{
        f"jelinek_{field}_{share}": f"the same, Jelinek-Mercer smoothing: mean of "
        f"log(({1 - share:g} tf / words + {share:g} p) / p)"
        for field, share in JELINEK
    },
    "idf_coverage": "share of the query's distinct terms found, each weighted by its idf",
    "matched_idf_mean": "mean idf of the matched terms; NaN without a match",
    "matched_idf_max": "highest idf of a matched term; NaN without a match",
    "missed_idf_max": "highest idf of a term that title and text lack; NaN where none is missed",
    "tf_idf": "sum over the query's terms of idf * log(1 + tf)",
    "relative_words": "words of title and text over the collection's mean",
    "query_idf_mean": "mean idf of the query's distinct terms",
    "query_idf_max": "their highest idf",
    "query_idf_deviation": "their standard deviation of idf",
    "query_unknown": "share of the query's distinct terms that no passage holds",
}
"""idf is log(1 + (n - df + .5) / (df + .5)) over the collection's n passages, df of them with the
term in title or text. All are NaN in an index that did not count its words; the three means and
shares of query terms also for a query without a word."""


def lexical_scores(matched: Matched, terms: TermStatistics | None) -> dict[str, Float64Array]:
    """The columns of ``LEXICAL`` by name, each float64 [candidates]."""
    n = len(matched.text.words)
    if terms is None:
        return {name: np.full(n, np.nan) for name in LEXICAL}
    seen = _Seen.of(matched, terms)
    columns = {f"bm25_{field}_{k1}_{b}": seen.bm25(field, k1, b) for field, k1, b in BM25}
    first = next(iter(columns.values()))
    columns["bm25_gap"] = first - first.max(initial=-np.inf)
    columns["bm25f"] = seen.bm25f()
    for field, mu in DIRICHLET:
        columns[f"dirichlet_{field}_{mu}"] = seen.dirichlet(field, mu)
    for field, share in JELINEK:
        columns[f"jelinek_{field}_{share}"] = seen.jelinek(field, share)
    return {**columns, **seen.idf_statistics()}


@dataclass(frozen=True)
class _Seen:
    """Frequencies of the query's terms in candidates and collection.

    frequency, words and mean by field: [n, distinct], [n] and a number.
    """

    times: Float64Array
    counts: Float64Array
    passages: int
    total: int
    frequency: dict[str, Float64Array]
    words: dict[str, Float64Array]
    mean: dict[str, float]

    @classmethod
    def of(cls, matched: Matched, terms: TermStatistics) -> _Seen:
        passages = max(terms.passages, 1)
        in_titles, in_texts = terms.title_words / passages, terms.text_words / passages
        title, text = matched.title, matched.text
        return cls(
            times=matched.asked.times,
            counts=terms.counts(matched.asked.distinct).astype(np.float64),
            passages=passages,
            total=terms.title_words + terms.text_words,
            frequency={
                "all": matched.frequency,
                "text": text.frequency,
                "title": title.frequency,
            },
            words={
                "all": (title.words + text.words).astype(np.float64),
                "text": text.words.astype(np.float64),
                "title": title.words.astype(np.float64),
            },
            mean={"all": in_titles + in_texts, "text": in_texts, "title": in_titles},
        )

    @cached_property
    def idf(self) -> Float64Array:
        df = self.counts[:, 0]
        return np.log1p((self.passages - df + 0.5) / (df + 0.5))

    @cached_property
    def share(self) -> Float64Array:
        """[distinct]: each term's part of the collection's words; 0 of an unknown one."""
        return (self.counts[:, 1] + self.counts[:, 2]) / max(self.total, 1)

    def _relative(self, field: str) -> Float64Array:
        """[n]: words over the collection's mean; 1 where the whole collection has none."""
        mean = self.mean[field]
        return self.words[field] / mean if mean else np.ones(len(self.words[field]))

    def bm25(self, field: str, k1: float, b: float) -> Float64Array:
        tf = self.frequency[field]
        saturated = tf / (tf + (k1 * (1 - b + b * self._relative(field)))[:, None])
        return saturated @ (self.idf * self.times)

    def bm25f(self) -> Float64Array:
        """Robertson, Zaragoza and Taylor (CIKM 2004)."""
        weights = {"text": 1.0, "title": TITLE_WEIGHT}
        together = sum(
            weight * self.frequency[field] / (0.25 + 0.75 * self._relative(field))[:, None]
            for field, weight in weights.items()
        )
        return (together / (together + 1.2)) @ (self.idf * self.times)

    def dirichlet(self, field: str, mu: float) -> Float64Array:
        """Zhai and Lafferty (TOIS 2004), over the likelihood that the collection gives."""
        known = self.share > 0
        lent = mu * self.share[known]
        gains = np.log1p(self.frequency[field][:, known] / lent)
        gains -= np.log1p(self.words[field] / mu)[:, None]
        return self._mean(gains, known)

    def jelinek(self, field: str, share: float) -> Float64Array:
        known = self.share > 0
        length = np.maximum(self.words[field], 1)[:, None]
        tf = self.frequency[field][:, known] / length
        return self._mean(np.log((1 - share) * tf / self.share[known] + share), known)

    def _mean(self, gains: Float64Array, known: NDArray[np.bool_]) -> Float64Array:
        """Over the query's known terms, as often as it says them; NaN where it has none."""
        times = self.times[known]
        return gains @ times / times.sum() if len(times) else np.full(len(gains), np.nan)

    def idf_statistics(self) -> dict[str, Float64Array]:
        found, idf = self.frequency["all"] > 0, self.idf
        n, matches = len(found), found.sum(axis=1)
        some = np.where(matches > 0, matches, np.nan)
        constant = {"query_idf_mean": np.nan, "query_idf_max": np.nan}
        constant |= {"query_idf_deviation": np.nan, "query_unknown": np.nan}
        if len(idf):
            unknown = float((self.counts[:, 0] == 0).mean())
            constant = dict(zip(constant, (idf.mean(), idf.max(), idf.std(), unknown), strict=True))
        return {
            "idf_coverage": found @ idf / max(float(idf.sum()), 1e-12),
            "matched_idf_mean": found @ idf / some,
            "matched_idf_max": _highest(found, idf),
            "missed_idf_max": _highest(~found, idf),
            "tf_idf": np.log1p(self.frequency["all"]) @ (idf * self.times),
            "relative_words": self._relative("all"),
            **{name: np.full(n, value) for name, value in constant.items()},
        }


def _highest(chosen: NDArray[np.bool_], values: Float64Array) -> Float64Array:
    """Of the chosen values, row by row; NaN where none is chosen."""
    found = np.where(chosen, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isneginf(found), np.nan, found)
