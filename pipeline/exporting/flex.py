"""An index's vectors as FLEX, the dense index of PyTerrier-DR."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import replacing
from ...core.errors import BadData
from ...index.folder import IndexFolder
from .folder import new_folder
from .npids import write_npids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...core.records import Int64Array

_BLOCK = 16_384  # rows in memory at once: 25 MB of 384 dimensions


def export_flex(index: Path, folder: Path) -> tuple[int, int, str]:
    """Write ``vecs.f4``, ``docnos.npids`` and ``pt_meta.json``; returns (rows, dim, kind of index).

    The rows keep their numbers. Any index will do, one of Pyserini's too; from sq8 and ivfpq come
    the vectors that they keep, which are approximations. One block of rows is in memory at a time.
    Raises BadArguments when the folder exists, BadData for an index without a vector.
    """
    opened = IndexFolder(index, foreign=True)
    dense, passages = opened.dense, opened.passages
    rows, dim = len(dense), dense.dim
    if not rows:
        raise BadData(f"{index} holds no vector; there is nothing to export")
    with new_folder(folder) as draft:
        with (draft / "vecs.f4").open("wb") as out:
            for block in _blocks(rows):
                out.write(dense.reconstruct(block).astype("<f4", copy=False).data)
        write_npids(draft / "docnos.npids", (passages.ids(block) for block in _blocks(rows)))
        with replacing(draft / "pt_meta.json") as out:
            meta = {"type": "dense_index", "format": "flex", "package_hint": "pyterrier-dr"}
            json.dump({**meta, "vec_size": dim, "doc_count": rows}, out)
    return rows, dim, dense.kind


def _blocks(rows: int) -> Iterator[Int64Array]:
    for start in range(0, rows, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, rows))
