"""Compressed token vectors on disk in shards, so that a killed build loses at most one of them.

A shard is a fixed slice of rows: ``tokens/00012.codes`` holds a record a token, end to end,
``00012.lengths.npy`` how many tokens each row has; ``00012.json``, written after both, says from
which texts by which encoder in how many bits, and holds their hashes.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import no_room, replacing
from ...core.errors import BadData, Mismatch
from ...core.fingerprints import of_file, of_texts, of_value
from ..token_codes import coded, record_of
from ..token_vectors import BOUNDS, FOLDER, VECTORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ...core.protocols import TokenEncoder, TokenVectors
    from ...core.records import Int64Array

BLOCK = 256
"""Passages whose token vectors are in memory at a time: 100 MB for 256 tokens of 384 dimensions."""


class TokenVectorShards:
    """The token vectors of one build, in row order; only missing shards are encoded."""

    def __init__(
        self, folder: Path, encoder: TokenEncoder, bits: int, rows: int, shard_rows: int
    ) -> None:
        self._folder = folder
        self._encoder = encoder
        self._bits = bits
        self._rows = rows
        self._shard_rows = shard_rows
        self._lengths: list[Int64Array] = []

    def complete(
        self, texts: Callable[[int, int], Sequence[str]], advance: Callable[[int], None]
    ) -> None:
        """Encode what is missing. ``texts(start, end)`` gives the passages of those rows.

        BadData for a vector that is not finite, FailedWhileRunning when there is no room.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as failure:
            raise no_room(self._folder, failure) from failure
        self._lengths = []
        for number, start in enumerate(range(0, self._rows, self._shard_rows)):
            wanted = texts(start, min(start + self._shard_rows, self._rows))
            card = self._encoder.card
            made_from = of_value([card.fingerprint, card.dim, self._bits, of_texts(wanted)])
            lengths = self._finished(number, made_from)
            if lengths is None:
                lengths = self._encode(number, made_from, wanted)
            self._lengths.append(lengths)
            advance(len(wanted))

    def write(self, folder: Path) -> dict[str, int]:
        """Both files of the index, when complete; what the manifest says of them."""
        bounds = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))]).astype("<i8")
        told = {"bits": self._bits, "dim": self._encoder.card.dim, "count": int(bounds[-1])}
        try:
            (folder / FOLDER).mkdir()
        except OSError as failure:
            raise no_room(folder / FOLDER, failure) from failure
        with replacing(folder / BOUNDS, "wb") as out:
            np.save(out, bounds, allow_pickle=False)
        kind = record_of(told["dim"], self._bits)
        header = {
            "descr": np.lib.format.dtype_to_descr(kind),
            "fortran_order": False,
            "shape": (told["count"],),
        }
        with replacing(folder / VECTORS, "wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
            for number in range(len(self._lengths)):
                with self._codes_of(number).open("rb") as shard:
                    shutil.copyfileobj(shard, out, 1 << 22)
        return told

    def _encode(self, number: int, made_from: str, texts: Sequence[str]) -> Int64Array:
        lengths = [np.empty(0, np.int64)]
        with replacing(self._codes_of(number), "wb") as out:
            for start in range(0, len(texts), BLOCK):
                found = self._encoder.encode_tokens(texts[start : start + BLOCK], "passage")
                self._check(found, number * self._shard_rows + start)
                out.write(coded(found.vectors, self._bits).tobytes())
                lengths.append(found.lengths)
        whole = np.concatenate(lengths).astype("<i8")
        with replacing(self._lengths_of(number), "wb") as out:
            np.save(out, whole, allow_pickle=False)
        with replacing(self._card_of(number)) as out:
            json.dump(self._promise(number, made_from), out)
        return whole

    def _check(self, found: TokenVectors, row: int) -> None:
        """What cannot be written; ``row`` is that of the first text."""
        if found.vectors.shape[1] != self._encoder.card.dim:
            raise Mismatch(
                f"{self._encoder.card.name} gives token vectors of {found.vectors.shape[1]} "
                f"dimensions and has {self._encoder.card.dim} on its card: name another encoder"
            )
        finite = np.isfinite(found.vectors).all(axis=1)
        if not finite.all():
            bounds = np.cumsum(found.lengths)
            wrong = row + int(np.searchsorted(bounds, int(np.argmin(finite)), "right"))
            raise BadData(f"a token vector of row {wrong} holds NaN or infinity; check its encoder")

    def _promise(self, number: int, made_from: str) -> dict[str, str]:
        return {
            "made_from": made_from,
            "codes": of_file(self._codes_of(number)),
            "lengths": of_file(self._lengths_of(number)),
        }

    def _finished(self, number: int, made_from: str) -> Int64Array | None:
        """The lengths of a shard that is whole and made from the right texts, else None."""
        try:
            card = json.loads(self._card_of(number).read_bytes())
            if card != self._promise(number, made_from):
                return None
            lengths: Int64Array = np.load(self._lengths_of(number), allow_pickle=False)
        except (OSError, ValueError, RecursionError):
            return None
        return lengths

    def _codes_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.codes"

    def _lengths_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.lengths.npy"

    def _card_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.json"
