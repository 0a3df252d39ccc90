"""What each stage of a search cost each query: seconds, passages, and where they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from .records import Float64Array, Int64Array


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage over n queries.

    seconds [n] float64: a query's equal share of the time of the batch it was in, 0 where the
    stage passed it by. passages [n] int64: those that the stage returned or scored. ran [n] bool.
    stored [n] bool: measured by an earlier run, whose output was taken over.
    """

    seconds: Float64Array
    passages: Int64Array
    ran: NDArray[np.bool_]
    stored: NDArray[np.bool_]

    def __add__(self, other: StageTime) -> StageTime:
        """The same queries once more: seconds and passages are summed."""
        return StageTime(
            self.seconds + other.seconds,
            self.passages + other.passages,
            self.ran | other.ran,
            self.stored | other.stored,
        )

    def summary(self, *, alone: bool) -> dict[str, float | int | None]:
        """Mean, median and 95th percentile in ms over all n queries, and what the stage did.

        Queries that the stage passed by count with 0 ms. Percentiles are None unless the queries
        ran ``alone``: equal shares of a batch have no spread. All None for no query.
        """
        milliseconds = 1000 * self.seconds
        told: list[float | None] = [None, None]
        if alone and len(milliseconds):
            told = np.percentile(milliseconds, (50, 95)).tolist()
        return {
            "mean_ms": float(milliseconds.mean()) if len(milliseconds) else None,
            "p50_ms": told[0],
            "p95_ms": told[1],
            "queries": int(self.ran.sum()),
            "passages": int(self.passages.sum()),
            "stored": int(self.stored.sum()),
        }


def shared(
    seconds: float, passages: Sequence[int] | Int64Array, ran: NDArray[np.bool_] | None = None
) -> StageTime:
    """The time of one batch, in equal shares to the queries that took part in it."""
    counts = np.asarray(passages, np.int64)
    took_part = np.ones(len(counts), bool) if ran is None else ran
    share = seconds / max(int(took_part.sum()), 1)
    nothing = np.zeros(len(counts), bool)
    return StageTime(np.where(took_part, share, 0.0), counts, took_part, nothing)


def joined(batches: Iterable[tuple[int, Mapping[str, StageTime]]]) -> dict[str, StageTime]:
    """(queries of a batch, its stages) end to end; where a batch lacks a stage it did not run."""
    given = list(batches)
    names = list(dict.fromkeys(name for _, stages in given for name in stages))
    return {
        name: _end_to_end([stages.get(name) or _absent(n) for n, stages in given]) for name in names
    }


def _end_to_end(parts: Sequence[StageTime]) -> StageTime:
    return StageTime(
        np.concatenate([part.seconds for part in parts]),
        np.concatenate([part.passages for part in parts]),
        np.concatenate([part.ran for part in parts]),
        np.concatenate([part.stored for part in parts]),
    )


def _absent(queries: int) -> StageTime:
    return StageTime(np.zeros(queries), np.zeros(queries, np.int64), *np.zeros((2, queries), bool))
