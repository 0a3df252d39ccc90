"""How often each term stands in a collection, by field: what BM25 and query likelihood rest on.

``words.arrow`` holds a row for each term, sorted: ``term``, ``passages`` (that hold it in title or
text), ``in_titles`` and ``in_texts`` (how often it stands there), and in its metadata the totals.
What a term is, is said by whoever hands in the reader.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.durable import no_room
from ..core.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ..core.records import Int64Array, Passage

NAME = "words.arrow"
_TOTALS = ("passages", "title_words", "text_words")
_COLUMNS = ("passages", "in_titles", "in_texts")
_FLUSH = 1 << 22  # numbers held before they are counted
_STRIDE = 4096  # passages between two calls of ``progress``


def count_words(
    passages: Iterable[Passage],
    read: Callable[[str], list[str]],
    progress: Callable[[int], None] | None = None,
) -> WordCounts:
    """The counts of all passages, which are read once and not held; ``read`` is text to terms."""
    counting = _Counting()
    for number, passage in enumerate(passages, 1):
        counting.add(read(passage.title) if passage.title else [], read(passage.text))
        if progress is not None and number % _STRIDE == 0:
            progress(_STRIDE)
    if progress is not None:
        progress(counting.passages % _STRIDE)
    return counting.counts()


class WordCounts:
    """Counts in memory; what ``StoredWordCounts`` reads from disk."""

    def __init__(self, terms: Sequence[str], counts: Int64Array, totals: Sequence[int]) -> None:
        """``terms`` are sorted and differ; counts [terms, 3] as the file's columns; totals [3]."""
        self._terms, self._counts = terms, counts
        self.passages, self.title_words, self.text_words = totals

    def counts(self, terms: Sequence[str]) -> Int64Array:
        """[terms, 3]: passages with it, times in titles, times in texts; 0 of an unknown one."""
        places = [_place(self._terms, term) for term in terms]
        return _chosen(self._counts, places)

    def write(self, path: Path) -> None:
        """One Arrow file. FailedWhileRunning when there is no room."""
        import pyarrow as pa

        totals = [self.passages, self.title_words, self.text_words]
        told = {name: str(total) for name, total in zip(_TOTALS, totals, strict=True)}
        columns = [pa.array(self._terms, pa.large_string())]
        columns += [pa.array(np.ascontiguousarray(column)) for column in self._counts.T]
        schema = pa.schema(
            [("term", pa.large_string()), *((name, pa.int64()) for name in _COLUMNS)], told
        )
        try:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
                out.write_batch(pa.record_batch(columns, schema=schema))
        except OSError as failure:
            raise no_room(path, failure) from failure


class StoredWordCounts:
    """``words.arrow``, memory-mapped at the first question; ``verified`` gives its path then.

    Finding a term takes a binary search over the file, so nothing is loaded however large it is.
    """

    def __init__(self, verified: Callable[[], Path]) -> None:
        self._verified = verified

    @property
    def passages(self) -> int:
        return self._totals[0]

    @property
    def title_words(self) -> int:
        return self._totals[1]

    @property
    def text_words(self) -> int:
        return self._totals[2]

    def counts(self, terms: Sequence[str]) -> Int64Array:
        """As ``WordCounts.counts``."""
        offsets, letters, columns = self._arrays
        known = _Letters(offsets, letters)
        places = [_place(known, term.encode("utf-8", "surrogatepass")) for term in terms]
        return np.stack([_chosen(column, places) for column in columns], axis=1)

    @cached_property
    def _batch(self) -> Any:
        import pyarrow as pa

        path = self._verified()
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            return file.get_batch(0)
        except (pa.ArrowInvalid, IndexError) as flaw:
            raise BadData(f"{path} holds no word counts: {flaw}; rebuild the index") from flaw

    @cached_property
    def _totals(self) -> list[int]:
        metadata = self._batch.schema.metadata or {}
        return [int(metadata[name.encode()]) for name in _TOTALS]

    @cached_property
    def _arrays(self) -> tuple[Int64Array, memoryview, list[Int64Array]]:
        terms = self._batch.column("term")
        _, offsets, letters = terms.buffers()
        return (
            np.frombuffer(offsets, np.int64, len(terms) + 1),
            memoryview(letters) if letters is not None else memoryview(b""),
            [self._batch.column(name).to_numpy() for name in _COLUMNS],
        )


class _Letters:
    """Sorted terms as bytes, seen one at a time; UTF-8 sorts as the letters do."""

    def __init__(self, offsets: Int64Array, letters: memoryview) -> None:
        self._offsets, self._letters = offsets, letters

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, place: int) -> bytes:
        return bytes(self._letters[self._offsets[place] : self._offsets[place + 1]])


def _place(known: Any, term: str | bytes) -> int:
    """Where the term is among the sorted ones; -1 where it is not."""
    place = bisect_left(known, term)
    return place if place < len(known) and known[place] == term else -1


def _chosen(counts: Int64Array, places: Sequence[int]) -> Int64Array:
    """Rows of counts; zeros for place -1."""
    found = np.zeros((len(places), *counts.shape[1:]), np.int64)
    there = np.array(places, np.int64) >= 0
    found[there] = counts[np.array(places, np.int64)[there]]
    return found


class _Numbers(dict[str, int]):
    """Term -> the number of its first appearance."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class _Counting:
    """Counts while passages come; holds the vocabulary and a few million numbers."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._waiting = [array("i") for _ in _COLUMNS]
        self._counts = np.zeros((len(_COLUMNS), 0), np.int64)
        self.passages = 0

    def add(self, title: list[str], text: list[str]) -> None:
        number = self._numbers.__getitem__
        in_title, in_text = list(map(number, title)), list(map(number, text))
        for waiting, found in zip(
            self._waiting, ({*in_title, *in_text}, in_title, in_text), strict=True
        ):
            waiting.extend(found)
        self.passages += 1
        if len(self._waiting[-1]) >= _FLUSH:
            self._settle()

    def _settle(self) -> None:
        size = len(self._numbers)
        counts = np.zeros((len(_COLUMNS), size), np.int64)
        counts[:, : self._counts.shape[1]] = self._counts
        for column, waiting in enumerate(self._waiting):
            counts[column] += np.bincount(np.array(waiting, np.int32), minlength=size)
        self._counts = counts
        self._waiting = [array("i") for _ in _COLUMNS]

    def counts(self) -> WordCounts:
        self._settle()
        terms = sorted(self._numbers)
        order = np.array([self._numbers[term] for term in terms], np.int64)
        totals = [self.passages, *self._counts[1:].sum(axis=1).tolist()]
        return WordCounts(terms, self._counts[:, order].T, totals)
