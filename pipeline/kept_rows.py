"""Some rows of a passage table, read in one pass or written to a folder of their own."""

from __future__ import annotations

import logging
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.durable import no_room, replacing
from ..index.folder import CORPUS_ROW, QUALITY
from ..index.passages import DOCID, PassageWriter
from ..index.passages import NAME as PASSAGES
from .intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ..core.records import Float32Array, Int64Array, Passage
    from ..index.passages import PassageTable

log = logging.getLogger(__name__)


def passages_of(table: PassageTable, rows: Int64Array) -> Iterator[Passage]:
    """The passages of these rows, rising, in one reading from the first to the last of them."""
    if not len(rows):
        return
    first = int(rows[0])
    wanted = np.zeros(int(rows[-1]) + 1 - first, np.bool_)
    wanted[rows - first] = True
    yield from compress(table.stream(first, first + len(wanted)), wanted.tolist())


def keep_only(table: PassageTable, rows: Int64Array, draft: Path) -> list[list[int]]:
    """Replace the draft's table and ids by those of the kept rows; where its batches lie."""
    beside = draft / "kept"
    try:
        batches = _written(table, rows, beside)
        for name in (PASSAGES, DOCID):
            (beside / name).replace(draft / name)
        beside.rmdir()
    except OSError as failure:
        raise no_room(beside, failure) from failure
    return batches


def write_cold_tier(
    table: PassageTable, cut: Int64Array, scores: Float32Array, folder: Path, skipped: int
) -> Intake | None:
    """The table and ids of the rows that are cut, with their scores, in a folder of their own."""
    if not len(cut):
        log.warning("nothing was pruned, so there is no cold tier")
        return None
    try:
        taken = Intake(len(cut), _written(table, cut, folder), skipped)
    except OSError as failure:
        raise no_room(folder, failure) from failure
    save(folder / QUALITY, scores[cut].astype("<f4"))
    save(folder / CORPUS_ROW, cut.astype("<i8"))
    return taken


def _written(table: PassageTable, rows: Int64Array, folder: Path) -> list[list[int]]:
    folder.mkdir()
    with PassageWriter(folder) as writer:
        for passage in passages_of(table, rows):
            writer.add(passage)
    return writer.batches


def save(path: Path, numbers: NDArray[Any]) -> None:
    with replacing(path, "wb") as out:
        np.save(out, numbers, allow_pickle=False)
