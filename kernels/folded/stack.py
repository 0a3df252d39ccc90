"""Run a folded student: which twin, and which rows of the tables are computed when."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments
from ..native.loading import library
from .native import NativeTables
from .plain import PlainTables

if TYPE_CHECKING:
    from .native import Int32Array
    from .weights import Float32Array, FoldedWeights, Int64Array

log = logging.getLogger(__name__)

_VARIABLE = "TAMIS_KERNELS"  # as in ``kernels.dispatch``, which imports torch


class FoldedStack:
    """A folded student ready to encode.

    A call computes table rows of its own tokens alone, so that a single query is answered at once.
    When that has cost as much as the whole vocabulary would, the tables are filled and kept:
    4 C floats a token and layer (94 MB for 30,522 tokens and 2 C = 384).
    The vectors are the same either way, bit for bit.
    """

    def __init__(self, weights: FoldedWeights) -> None:
        self._weights = weights
        self._tables: NativeTables | PlainTables = _twin(weights)
        self._rows_computed = 0

    def encode(self, ids: Int32Array, bounds: Int64Array) -> Float32Array:
        """Unit vectors [N, dim] float32, zeros for a passage without tokens.

        ids [tokens] int32, the passages end to end; bounds [N + 1] int64, where each begins.
        BadArguments for an id outside the vocabulary.
        """
        bounds = np.asarray(bounds, np.int64)
        self._check(ids, bounds)
        if not self.materialised:
            used, local = np.unique(ids, return_inverse=True)
            if self._rows_computed + len(used) < self._weights.vocabulary:
                self._rows_computed += len(used)
                tables, base = self._tables.look_up(used.astype(np.int64))
                return self._tables.encode(local.astype(np.int32), bounds, tables, base)
        tables, base = self._whole
        return self._tables.encode(ids, bounds, tables, base)

    def encode_tokens(self, ids: Int32Array, bounds: Int64Array) -> Float32Array:
        """[tokens, dim] float32: what ``encode`` takes the mean of and brings to unit length.

        In numpy whichever twin runs; table rows are computed for the call's own tokens.
        """
        bounds = np.asarray(bounds, np.int64)
        self._check(ids, bounds)
        used, local = np.unique(ids, return_inverse=True)
        plain = PlainTables(self._weights)
        tables, base = plain.look_up(used.astype(np.int64))
        return plain.token_vectors(local.astype(np.int32), bounds, tables, base)

    @property
    def materialised(self) -> bool:
        """Whether the tables of the whole vocabulary are filled."""
        return "_whole" in self.__dict__

    def materialise(self) -> None:
        """Fill the tables now, as a long run would."""
        _ = self._whole

    @cached_property
    def _whole(self) -> tuple[list[Float32Array], Float32Array]:
        return self._tables.look_up(slice(None))

    def _check(self, ids: Int32Array, bounds: Int64Array) -> None:
        """The C code trusts what it is given, so everything is looked at here."""
        if (
            len(bounds) < 1
            or bounds[0] != 0
            or bounds[-1] != len(ids)
            or (np.diff(bounds) < 0).any()
        ):
            raise BadArguments(f"bounds must rise from 0 to {len(ids)}, the number of tokens")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self._weights.vocabulary:
            raise BadArguments(
                f"token ids run from {ids.min()} to {ids.max()}, "
                f"the vocabulary from 0 to {self._weights.vocabulary - 1}"
            )


def _twin(weights: FoldedWeights) -> NativeTables | PlainTables:
    """C where it was built; numpy otherwise, or where ``TAMIS_KERNELS`` asks for plain code.

    BadArguments when it asks for what cannot run.
    """
    asked = os.environ.get(_VARIABLE)
    if asked not in {None, "native", "torch", "reference"}:
        raise BadArguments(
            f"{_VARIABLE}={asked!r}: folded students come as native (C) and torch or reference "
            f"(both numpy); unset {_VARIABLE}"
        )
    built = library()
    if asked in {None, "native"} and built is not None:
        log.info("folded students run as native (the fastest that runs here)")
        return NativeTables(weights, built)
    if asked == "native":
        raise BadArguments(f"{_VARIABLE}=native, but the native library was not built")
    log.info("folded students run in numpy, several times slower than the C library")
    return PlainTables(weights)
