"""Scores to a keep mask: the half of pruning that costs nothing and can be repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.records import Float32Array, Int64Array


@dataclass(frozen=True, slots=True)
class Cut:
    """What to keep: a share of all passages, or those that score high enough; neither: all.

    Raises BadArguments for both, for a share that is not above 0 and at most 1, and for a score
    that is not finite.
    """

    keep: float | None = None
    min_quality: float | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and self.min_quality is not None:
            raise BadArguments(
                f"keep is {self.keep} and min_quality is {self.min_quality}; say one of them: "
                f"a share of the passages, or the lowest score that stays"
            )
        if self.keep is not None and not 0 < self.keep <= 1:
            raise BadArguments(
                f"keep is {self.keep}; it is the share of passages that stay, above 0 and at "
                f"most 1: 0.75, say"
            )
        if self.min_quality is not None and not math.isfinite(self.min_quality):
            raise BadArguments(f"min_quality is {self.min_quality}; expected a finite score")

    def mask(self, scores: Float32Array, protected: Int64Array) -> NDArray[np.bool_]:
        """True for each row that stays; ``protected`` rows always do.

        Of n passages a share keeps ceil(share * n): the protected first, then the best, of equal
        scores those that come first in the corpus. More only where more are protected. A least
        score keeps what scores that or more, compared as float32. Raises BadArguments when
        nothing would be left.
        """
        if self.min_quality is None:
            kept = _best(scores, protected, self._count(len(scores)))
        else:
            kept = scores >= np.float32(self.min_quality)
            kept[protected] = True
        if not kept.any():
            raise BadArguments(
                f"min_quality is {self.min_quality} and the best passage scores "
                f"{float(scores.max()):g}: nothing would be left; choose a lower one"
            )
        return kept

    def _count(self, rows: int) -> int:
        """The share of so many rows, rounded up. As it was written: .07 of 100 is 7, not 8."""
        return math.ceil(Fraction(str(float(1 if self.keep is None else self.keep))) * rows)


def _best(scores: Float32Array, protected: Int64Array, count: int) -> NDArray[np.bool_]:
    kept = np.zeros(len(scores), np.bool_)
    kept[protected] = True
    order = np.argsort(-scores, kind="stable")  # equal scores by row
    others = order[~kept[order]]
    kept[others[: max(0, count - int(kept.sum()))]] = True
    return kept
