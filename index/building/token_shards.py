"""Tokens of scored passages, kept beside their scores until the same build encodes the passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import replacing
from ...core.packed_texts import PackedTexts, joined

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.records import Int64Array

_NARROW = np.iinfo(np.uint16).max


class TokenShards:
    """A shard of passages is a file of ids and lengths, 2 or 4 bytes a token.

    Only shards written through this object are read: what an earlier, killed run left behind may
    be of another corpus, and tokenising again costs less than proving that it is not.
    """

    def __init__(self, folder: Path, shard_rows: int) -> None:
        self._folder = folder
        self._shard_rows = shard_rows
        self._written: set[int] = set()

    def keep(self, number: int, packed: PackedTexts) -> None:
        """The passages of shard ``number``, whole, in their order."""
        from safetensors.numpy import save

        narrow = not len(packed.ids) or int(packed.ids.max()) <= _NARROW
        tensors = {
            "ids": packed.ids.astype(np.uint16 if narrow else np.int32),
            "lengths": np.diff(packed.bounds).astype(np.int32),
        }
        with replacing(self._path(number), "wb") as out:
            out.write(save(tensors))
        self._written.add(number)

    def take(self, rows: Int64Array) -> PackedTexts | None:
        """The passages of these rows, rising; None where one of their shards is not here."""
        numbers = np.unique(rows // self._shard_rows).tolist()
        if not numbers or not self._written.issuperset(numbers):
            return None
        return joined(
            [
                self._read(number).take(
                    rows[rows // self._shard_rows == number] - number * self._shard_rows
                )
                for number in numbers
            ]
        )

    def _read(self, number: int) -> PackedTexts:
        from safetensors.numpy import load_file

        found = load_file(self._path(number))
        lengths = found["lengths"]
        bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return PackedTexts(found["ids"].astype(np.int32), bounds, lengths)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.tokens"
