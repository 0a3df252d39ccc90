"""npids: the table of ids that PyTerrier-DR's FLEX reads, ids by row and rows by id.

Read from the package ``npids`` 0.1.3 (``utils.py``, ``codecs/fwd_fixedbytes.py``,
``codecs/inv_hash.py``), file format 1. Of its codecs, two that fit every id are written: fixed
width for the way forward, a hash table for the way back.
"""

from __future__ import annotations

import json
import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = struct.Struct("<IqqI")
"""Kind of block, place of the next block or -1, ids in it, bytes of the settings that follow."""

_FORWARD, _BACK, _MAGIC = 0, 1, int.from_bytes(b"NPID", "little")


def write_npids(path: Path, batches: Iterable[Sequence[str]]) -> int:
    """Write the ids of rows 0, 1, 2...; returns how many. At least one, all different, no NUL."""
    with path.open("wb") as out:
        _write_block(out, _MAGIC, 0, {"version": 1}, b"")
        hashes = [np.empty(0, np.uint32)]
        for ids in batches:
            table = np.array([passage_id.encode() for passage_id in ids])
            width = table.dtype.itemsize
            settings = {"format": "fixedbytes", "length": width, "prefix": ""}
            _write_block(out, _FORWARD, len(ids), settings, table.tobytes())
            hashes.append(_fnv1a(table))
        return _write_way_back(out, np.concatenate(hashes))


def _write_block(
    out: IO[bytes], kind: int, count: int, settings: dict[str, Any], body: bytes, end: bool = False
) -> None:
    head = json.dumps(settings).encode()
    following = out.tell() + _HEAD.size + len(head) + len(body)
    out.write(_HEAD.pack(kind, -1 if end else following, count, len(head)) + head + body)


def _write_way_back(out: IO[bytes], hashes: NDArray[np.uint32]) -> int:
    """Where each of 2^bits buckets starts among the rows sorted by bucket, then those rows."""
    rows = len(hashes)
    bits = (rows - 1).bit_length()
    buckets = hashes & np.uint32((1 << bits) - 1)
    starts = np.zeros((1 << bits) + 1, np.uint32)
    np.cumsum(np.bincount(buckets, minlength=1 << bits), out=starts[1:])
    order = np.argsort(buckets, kind="stable")
    settings = {"format": "hash", "hash_bits": bits, "hash_fn": "fnv1_32"}
    body = starts.astype("<u4").tobytes() + order.astype("<u4").tobytes()
    _write_block(out, _BACK, rows, settings, body, end=True)
    return rows


def _fnv1a(table: NDArray[np.bytes_]) -> NDArray[np.uint32]:
    """32-bit FNV-1a of each id, the bytes that fill it up to the common width left out."""
    hashes = np.full(len(table), 2166136261, np.uint32)
    for column in table.view(np.uint8).reshape(len(table), -1).T:
        stirred = (hashes ^ column) * np.uint32(16777619)
        hashes = np.where(column, stirred, hashes)
    return hashes
