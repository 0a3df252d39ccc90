"""Token vectors in an index folder, compressed: what late interaction reads instead of encoding.

``tokens/vectors.npy`` holds a record a token (``token_codes.record_of``), passages end to end in
the order of rows; ``tokens/bounds.npy`` (int64, [rows + 1]) says where each passage begins.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadArguments, BadData, Mismatch
from ..core.protocols import TokenVectors
from .token_codes import decoded, record_of

if TYPE_CHECKING:
    from ..core.records import Int64Array
    from .token_codes import Records
    from .verification import VerifiedFiles

FOLDER = "tokens"
VECTORS = "tokens/vectors.npy"
BOUNDS = "tokens/bounds.npy"


class StoredTokens:
    """Memory-mapped at the first question; blocks of the file are verified before their first use.

    ``told`` is the manifest's {bits, dim, count}. Mismatch where the files do not hold that many
    rows or tokens, BadData where they are no arrays.
    """

    def __init__(self, files: VerifiedFiles, rows: int, told: dict[str, int]) -> None:
        self._files, self._rows = files, rows
        self.bits, self._dim, self._count = told["bits"], told["dim"], told["count"]

    def __len__(self) -> int:
        """Rows of the index; each has token vectors, or none if its text has no token."""
        return self._rows

    def take(self, rows: Int64Array) -> TokenVectors:
        """The vectors of these rows' passages, in their order; BadArguments for a row too high."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self._rows:
            raise BadArguments(
                f"rows {rows.min()} to {rows.max()} are asked for, of {self._rows:,} with vectors"
            )
        starts, ends = self._bounds[rows], self._bounds[rows + 1]
        spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        size, first = self._records.dtype.itemsize, self._records.offset
        for start, end in spans:
            self._files.part(VECTORS, first + start * size, first + end * size)
        none = np.empty(0, self._records.dtype)
        records = np.concatenate([none, *(self._records[start:end] for start, end in spans)])
        return TokenVectors(decoded(records, self._dim, self.bits), ends - starts)

    def check(self) -> None:
        """Open both files, which raises what is wrong with them; their bytes are not all read."""
        _ = self._bounds, self._records

    @cached_property
    def _bounds(self) -> Int64Array:
        path = self._files.whole(BOUNDS)
        try:
            bounds: Int64Array = np.load(path, allow_pickle=False)
        except ValueError as flaw:
            raise BadData(f"{path} holds no array: {flaw}; rebuild the index") from flaw
        fits = bounds.shape == (self._rows + 1,) and bounds[[0, -1]].tolist() == [0, self._count]
        if not fits or (np.diff(bounds) < 0).any():
            raise Mismatch(
                f"{path} does not rise from 0 to {self._count:,} over {self._rows:,} rows, as the "
                f"manifest promises: rebuild the index"
            )
        return bounds

    @cached_property
    def _records(self) -> Any:
        path = self._files.sized(VECTORS)
        self._files.part(VECTORS, 0, 1)  # the header
        try:
            records: Records = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as flaw:
            raise BadData(f"{path} holds no array: {flaw}; rebuild the index") from flaw
        expected = record_of(self._dim, self.bits)
        if records.shape != (self._count,) or records.dtype != expected:
            raise Mismatch(
                f"{path} holds {records.shape} of {records.dtype}, the manifest promises "
                f"{self._count:,} tokens of {self._dim} dimensions in {self.bits} bits: rebuild"
            )
        return records
