"""BM25 with bm25s: the scores are computed at build time and memory-mapped at search."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.durable import no_room
from ...core.errors import BadData, Mismatch, MissingResource
from ...core.optional import need
from ...core.records import Ranking
from ...core.topk import top_k
from .settings import check_depth
from .tokens import pack, tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ...core.records import Float32Array, Float64Array, Query
    from .settings import LexicalSettings


def build_bm25s(
    settings: LexicalSettings,
    texts: Iterable[str],
    folder: Path,
    progress: Callable[[int], None],
) -> None:
    """Write a folder that plain ``bm25s.BM25.load`` opens too."""
    _save(_scored(settings, texts, progress), folder)


def build_bm25s_tiers(
    settings: LexicalSettings,
    tiers: Sequence[tuple[Iterable[str], Path]],
    progress: Callable[[int], None],
) -> None:
    """Write a folder for each tier, its rows from 0, with the scores of one index over all texts.

    The scores are computed once, over all, and cut by rows: they are equal to the bit. Every
    folder has the vocabulary of all. BadData when a tier has no text.
    """
    ends: list[int] = []

    def texts() -> Iterator[str]:
        seen = 0
        for each, _ in tiers:
            for text in each:
                yield text
                seen += 1
            ends.append(seen)

    model = _scored(settings, texts(), progress)
    whole = model.scores
    for (start, end), (_, folder) in zip(pairwise([0, *ends]), tiers, strict=True):
        if start == end:
            raise BadData("a tier holds no passage; a lexical index needs at least one")
        model.scores = _rows(whole, start, end)
        _save(model, folder)


def _rows(scores: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    """Rows start..end of bm25s's matrix, which lies column by column: a column is a token."""
    inside = (scores["indices"] >= start) & (scores["indices"] < end)
    before = np.concatenate([[0], np.cumsum(inside, dtype=np.int64)])
    return {
        "data": scores["data"][inside],
        "indices": scores["indices"][inside] - np.int32(start),
        "indptr": before[scores["indptr"]].astype(scores["indptr"].dtype),
        "num_docs": end - start,
    }


def _scored(
    settings: LexicalSettings, texts: Iterable[str], progress: Callable[[int], None]
) -> Any:
    """bm25s's own object with the scores of all texts."""
    bm25s = need("bm25s", "the bm25s index")
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it announces every step
    words = tokenizer(settings.stopwords, settings.stemmer)
    tokens, vocabulary = pack(words, texts, progress)
    del words  # its memory of every word met
    if len(tokens) == 0:
        raise BadData("no passage came to be indexed; a lexical index needs at least one")
    # scipy puts the scores in order in linear time and a third of the memory of numpy's sort.
    model = bm25s.BM25(k1=settings.k1, b=settings.b, method="lucene", csc_backend="scipy")
    with np.errstate(invalid="ignore"):  # 0 / 0 where no passage has a token, so nobody sees it
        model.index(bm25s.tokenization.Tokenized(tokens, vocabulary), show_progress=False)
    return model


def _save(model: Any, folder: Path) -> None:
    try:
        model.save(folder, show_progress=False)
    except OSError as failure:
        raise no_room(folder, failure) from failure


class Bm25sIndex:
    """A folder of bm25s, its arrays memory-mapped; see LexicalIndex."""

    def __init__(self, settings: LexicalSettings, folder: Path) -> None:
        self._settings = settings
        self._model = _load(folder)
        built = (self._model.k1, self._model.b)
        if built != (settings.k1, settings.b):
            raise Mismatch(
                f"{folder} was built with BM25 k1, b = {built}, not {settings.k1, settings.b}; "
                f"search with the former or rebuild"
            )

    def __len__(self) -> int:
        return int(self._model.scores["num_docs"])

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Ranking]:
        check_depth(k)
        return [
            Ranking(query, *top_k(self._model.get_scores_from_ids(ids), k))
            for query, ids in zip(queries, self._tokens(queries), strict=True)
        ]

    def highest(self) -> Float32Array:
        """[vocabulary]: the highest score that any passage gets from each token alone; 0 from one
        that no passage holds."""
        scores, starts = self._model.scores["data"], self._model.scores["indptr"]
        highest = np.zeros(len(starts) - 1, np.float32)
        held = np.flatnonzero(starts[1:] > starts[:-1])
        if len(held):
            highest[held] = np.maximum.reduceat(scores, starts[:-1][held])
        return highest

    def bounds(self, queries: Sequence[Query], highest: Float32Array) -> Float64Array:
        """[queries]: what no passage of another index can score above, to the rounding of a sum.

        ``highest`` is that index's, with the vocabulary of this one.
        """
        sums = [highest[ids].sum(dtype=np.float64) if ids else 0.0 for ids in self._tokens(queries)]
        return np.array(sums, np.float64)

    def _tokens(self, queries: Sequence[Query]) -> Iterator[list[int]]:
        """The numbers of each query's tokens, without those that the vocabulary lacks."""
        words = tokenizer(self._settings.stopwords, self._settings.stemmer)
        words.stem_to_sid = self._model.vocab_dict
        texts = (query.text for query in queries)
        known: Iterator[list[int]] = words.streaming_tokenize(
            texts, update_vocab=False, allow_empty=False
        )
        return known

    def close(self) -> None:
        self._model = None


def _load(folder: Path) -> Any:
    bm25s = need("bm25s", "the bm25s index")
    try:
        model = bm25s.BM25.load(folder, mmap=True, backend="numpy", show_progress=False)
    except FileNotFoundError as missing:
        raise MissingResource(
            f"{missing.filename} is not there, so {folder} is no bm25s index; build it again"
        ) from missing
    except (ValueError, KeyError, TypeError, EOFError) as flaw:
        raise BadData(f"{folder} is not a readable bm25s index: {flaw}; build it again") from flaw
    # Plain views of the mapped files: every slice of a numpy.memmap costs microseconds more.
    model.scores = {
        name: np.asarray(part) if isinstance(part, np.ndarray) else part
        for name, part in model.scores.items()
    }
    return model
