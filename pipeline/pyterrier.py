"""A tamis search as a stage of a PyTerrier pipeline. Importing this module needs PyTerrier."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.optional import need
from ..core.records import Query

if TYPE_CHECKING:
    from .search import Search

pt = need("pyterrier", "a tamis search inside PyTerrier")


class TamisRetriever(pt.Transformer):  # type: ignore[name-defined,misc]
    """Queries (``qid``, ``query``) to results, as ``tamis.Search`` ranks them.

    Adds ``docno``, ``score`` (float64, of float32 exactly) and ``rank``, from 0 in each query, and
    with ``text=True`` also ``text``: title, one space, text, which rerankers read. Every other
    column of the queries is kept. ``% k`` behind it becomes the search's own cut.
    """

    def __init__(self, search: Search, *, text: bool = False) -> None:
        self.search_of_tamis = search  # pt.Transformer has a method named search
        self.text = text

    def transform(self, inp: Any) -> Any:
        """Results of each query in the order of the frame; an empty frame has all the columns."""
        with pt.validate.any(inp) as checked:
            checked.query_frame(extra_columns=["query"], mode="retriever")
        asked = zip(inp["qid"], inp["query"], strict=True)
        run = self.search_of_tamis.run([Query(str(qid), str(query)) for qid, query in asked])
        sizes = [len(ranking) for ranking in run]
        rows = np.concatenate([*(ranking.rows for ranking in run), np.empty(0, np.int64)])
        scores = np.concatenate([*(ranking.scores for ranking in run), np.empty(0, np.float32)])
        results = inp.iloc[np.repeat(np.arange(len(inp)), sizes)].reset_index(drop=True)
        passages = run.passages.passages(rows) if self.text else []
        found = {
            "docno": np.array(run.passages.ids(rows), dtype=object),
            "score": scores.astype(np.float64),
            "rank": np.concatenate([*map(np.arange, sizes), np.empty(0, np.int64)]),
        }
        if self.text:
            found["text"] = np.array([passage.full_text for passage in passages], dtype=object)
        return results.assign(**found)

    def fuse_rank_cutoff(self, k: int) -> TamisRetriever | None:
        """The same search cut at k; itself where it cuts sooner, None where k is not positive."""
        if k < 1:
            return None
        if self.search_of_tamis.k is not None and self.search_of_tamis.k <= k:
            return self
        return TamisRetriever(replace(self.search_of_tamis, k=k), text=self.text)

    def __repr__(self) -> str:
        search = self.search_of_tamis
        first = [stage for stage in (search.dense, search.lexical) if stage is not None]
        parts = [f"{stage.name}@{stage.k}" for stage in first]
        if len(first) == 2:
            parts.append(search.fuse)
        if search.cold is not None:
            parts.append("cold always" if search.cold.thresholds is None else "cold")
        parts += [f"{stage.name}@{stage.keep}" for stage in search.rerank]
        if search.k is not None:
            parts.append(f"k={search.k}")
        if self.text:
            parts.append("text")
        return f"TamisRetriever({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TamisRetriever):
            return NotImplemented
        return self.text == other.text and self.search_of_tamis == other.search_of_tamis

    def __hash__(self) -> int:
        return hash((TamisRetriever, repr(self)))
