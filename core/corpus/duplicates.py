"""Find repeated values among millions in 8 bytes each, then prove each repetition."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadData
from ..records import Passage
from .flaws import Flaw, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..records import Int64Array
    from .stream import Corpus

    Digests = NDArray[np.uint64]

AT_ONCE = 1_000_000
"""Suspects confirmed in one reading of the corpus; more take more readings, not more memory."""


class HashColumn:
    """One 64-bit blake2b digest per value, in the order added."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def add(self, value: str) -> None:
        self._raw += hashlib.blake2b(value.encode("utf-8"), digest_size=8).digest()

    def __len__(self) -> int:
        return len(self._raw) // 8

    def digests(self) -> Digests:
        """A view [n] uint64; nothing may be added while it is in use."""
        return np.frombuffer(self._raw, dtype=np.uint64)


def short_digest(value: str) -> int:
    """The number that ``HashColumn`` holds for a value."""
    column = HashColumn()
    column.add(value)
    return int(column.digests()[0])


def repeated(digests: Digests) -> Digests:
    """The digests that occur more than once, sorted, each once."""
    ordered = np.sort(digests)
    later = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.unique(later)


def rows_with(digests: Digests, wanted: Digests) -> Int64Array:
    """Rows, rising, whose digest is among ``wanted`` (sorted); works block by block."""
    if not len(wanted):
        return np.empty(0, dtype=np.int64)
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(digests), AT_ONCE):
        block = digests[start : start + AT_ONCE]
        at = np.minimum(np.searchsorted(wanted, block), len(wanted) - 1)
        found.append(np.flatnonzero(wanted[at] == block).astype(np.int64) + start)
    return np.concatenate(found)


def suspects(digests: Digests) -> Iterator[Int64Array]:
    """Rows that may repeat another, in groups of ``AT_ONCE`` digests; equal ones stay together."""
    values = repeated(digests)
    for start in range(0, len(values), AT_ONCE):
        yield rows_with(digests, values[start : start + AT_ONCE])


def duplicate_ids(corpus: Corpus, digests: Digests) -> Iterator[tuple[int, Flaw]]:
    """(row, flaw) for every passage whose id an earlier one has; ``digests`` are those of the ids.

    Rows count the good passages of the corpus from 0. The corpus is read only when digests repeat;
    BadData when it then reads differently.
    """
    for row, place, first, passage in _proven(corpus, digests, lambda passage: passage.id):
        message = f"the id {shown(passage.id)} was given at {first} already"
        yield row, Flaw("duplicate id", place, message)


def duplicate_texts(corpus: Corpus, digests: Digests) -> Iterator[tuple[int, Flaw]]:
    """The same for title and text together; ``digests`` are those of ``full_text``."""
    for row, place, first, passage in _proven(corpus, digests, lambda passage: passage.full_text):
        message = f"passage {shown(passage.id)} has the title and text of {first}"
        yield row, Flaw("duplicate text", place, message)


def _proven(
    corpus: Corpus, digests: Digests, value_of: Callable[[Passage], str]
) -> Iterator[tuple[int, str, str, Passage]]:
    """(row, its place, place of the first such, passage) for each value met again.

    Suspects are compared by 256 bits of blake2b, so that long texts need not be held.
    """
    for rows in suspects(digests):
        seen: dict[bytes, str] = {}
        for row, place, passage in _passages_at(corpus, rows):
            value = value_of(passage)
            if short_digest(value) != digests[row]:
                raise changed(corpus)
            proof = hashlib.blake2b(value.encode("utf-8"), digest_size=32).digest()
            first = seen.setdefault(proof, place)
            if first is not place:
                yield row, place, first, passage


def _passages_at(corpus: Corpus, rows: Int64Array) -> Iterator[tuple[int, str, Passage]]:
    """(row, place, passage) for rising rows, read in one go that stops at the last of them."""
    wanted = iter(rows.tolist())
    target = next(wanted, None)
    row = 0
    for place, item in corpus.located():
        if target is None:
            return
        if isinstance(item, Passage):
            if row == target:
                yield row, place, item
                target = next(wanted, None)
            row += 1
    if target is not None:
        raise changed(corpus)


def changed(corpus: Corpus) -> BadData:
    return BadData(
        f"{corpus.source} changed while it was being read: its second reading differs from the "
        f"first; run again when nothing writes to it"
    )
