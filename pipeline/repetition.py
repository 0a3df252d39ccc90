"""``tamis build --near-duplicates``: what nearly repeats an earlier passage is left out first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.fingerprints import of_value
from ..index.near_duplicates import MISSED, SIGNATURE, WORDS, near_duplicates
from .reporting import beginning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.progress import Progress
    from ..core.records import Int64Array
    from ..index.building.predecessor import Predecessor
    from ..index.passages import PassageTable

SAMPLES = 3
"""Dropped passages, the first of the corpus, that the manifest shows."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """repeats [passages of the corpus] int64: the row that each nearly repeats, or its own.

    ``told`` is what the manifest says of it, None where nobody asked.
    """

    repeats: Int64Array
    told: dict[str, Any] | None = None

    @classmethod
    def none(cls, passages: int) -> Repetition:
        """Every passage counts."""
        return cls(np.arange(passages, dtype=np.int64))

    @property
    def rows(self) -> Int64Array:
        """The corpus rows that stay, rising."""
        return np.flatnonzero(self.repeats == np.arange(len(self.repeats)))

    def spread(self, numbers: Any) -> Any:
        """[rows] to [passages of the corpus]: a near-duplicate has that of what it repeats."""
        return numbers[np.searchsorted(self.rows, self.repeats)]


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a table; unlike its stream they can be read again."""

    table: PassageTable

    def __iter__(self) -> Iterator[str]:
        return (passage.full_text for passage in self.table.stream())


def find_repetition(
    table: PassageTable,
    threshold: float,
    corpus: str,
    protected: Int64Array,
    predecessor: Predecessor | None,
    progress: Progress,
) -> Repetition:
    """What the table repeats; from the index that is replaced, if that was found in the same way.

    ``corpus`` is the fingerprint of the table's texts; ``protected`` rows always stay.
    """
    how = {"threshold": float(threshold), "words": WORDS, "slots": SIGNATURE, "missed": MISSED}
    made_from = of_value({**how, "corpus": corpus, "protected": protected.tolist()})
    repeats = None if predecessor is None else predecessor.repeats(made_from)
    if repeats is None:
        found = near_duplicates(
            _Texts(table), threshold=threshold, protected=protected.tolist(), progress=progress
        )
        repeats = found.repeats.astype(np.int64)
    dropped = np.flatnonzero(repeats != np.arange(len(repeats)))
    told = {
        "threshold": float(threshold),
        "corpus": corpus,
        "made_from": made_from,
        "dropped": len(dropped),
        "samples": _samples(table, dropped[:SAMPLES], repeats),
    }
    return Repetition(repeats, told)


def _samples(table: PassageTable, dropped: Int64Array, repeats: Int64Array) -> list[dict[str, Any]]:
    originals = table.ids(repeats[dropped])
    return [
        {"id": passage.id, "repeats": original, "text": beginning(passage.full_text)}
        for passage, original in zip(table.passages(dropped), originals, strict=True)
    ]
