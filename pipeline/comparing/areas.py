"""How well each quality tells passages relevant to some query from the rest: ROC areas."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.fingerprints import of_value
from ...eval.discrimination import (
    area_under_roc,
    clustered_difference,
    clustered_interval,
    delong_interval,
)
from .qualities import LENGTH, MODEL, RANDOM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.progress import Progress
    from .collection import Collection
    from .desk import Desk
    from .qualities import Column


@dataclass(frozen=True)
class Areas:
    """Over all passages of the corpus: ``positives`` are relevant to some query, by the judgments.

    ``by_quality``: JSON values: "value"; "low" and "high", the 95 % bootstrap interval over
    queries; "delong", the interval that takes passages for independent; "over_length", the
    difference to length's area with its interval. "random" has "value", the mean over its seeds,
    and their "lowest" and "highest". ``reason`` says why there is none at all.
    """

    passages: int
    positives: int
    by_quality: dict[str, dict[str, Any]]
    reason: str = ""

    @property
    def base_rate(self) -> float:
        return self.positives / self.passages


def areas_of(
    columns: Sequence[Column], collection: Collection, desk: Desk, progress: Progress
) -> Areas:
    """Of every column but the oracle."""
    labels = np.zeros(len(collection), np.bool_)
    labels[collection.relevant_for_areas()] = True
    counts = (len(labels), int(labels.sum()))
    if labels.all():
        return Areas(*counts, {}, "every passage is relevant to some query: there is no area")
    queries = collection.judging_queries()
    judged = of_value([labels.nonzero()[0].tolist(), queries])
    length = next(column for column in columns if column.kind == LENGTH)
    found: dict[str, dict[str, Any]] = {}
    chosen = [column for column in columns if column.kind in (MODEL, LENGTH)]
    with progress.stage("areas", len(chosen)) as advance:
        for column in chosen:
            key = [collection.corpus, judged, column.fingerprint, length.fingerprint]
            make = partial(_area, column, length, labels, queries)
            found[column.name] = desk.value("areas", key, make)
            advance(1)
    drawn = [area_under_roc(c.scores, labels) for c in columns if c.kind == RANDOM]
    found[RANDOM] = {
        "value": float(np.mean(drawn)),
        "lowest": min(drawn),
        "highest": max(drawn),
        "seeds": len(drawn),
    }
    return Areas(*counts, found)


def _area(
    column: Column, length: Column, labels: np.ndarray, queries: list[list[str]]
) -> dict[str, Any]:
    area = clustered_interval(column.scores, labels, queries)
    independent = delong_interval(column.scores, labels)
    told: dict[str, Any] = {
        "value": area.value,
        "low": area.low,
        "high": area.high,
        "delong": [independent.low, independent.high],
    }
    if area.reason:
        told["reason"] = area.reason
    if column.kind != LENGTH:
        against = clustered_difference(column.scores, length.scores, labels, queries)
        told["over_length"] = {"delta": against.delta, **asdict(against)}
    return told
