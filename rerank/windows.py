"""Long passages read through overlapping windows, whose scores become one: MaxP, FirstP, SumP.

Dai and Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling"
(arXiv 1905.09217): windows of 150 words, 75 apart, each after the passage's title.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from ..core.protocols import Candidates
from ..core.records import Passage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..core.records import Float32Array

    Score = Callable[[Sequence[Candidates]], list[Float32Array]]

_COMBINE = {"max": np.maximum, "sum": np.add}
COMBINE = ("max", "first", "sum")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Windows:
    """``words`` of a passage's text to a window, 0 for none: the passage as it is.

    ``stride``: words from one window's start to the next's, 0 for half a window. ``combine``: a
    passage's score is the best window's ("max"), the first's ("first") or the sum ("sum"). A word
    is what stands between blanks. BadArguments for a stride that would leave words out.
    """

    words: int = 0
    stride: int = 0
    combine: str = "max"

    def __post_init__(self) -> None:
        if self.combine not in COMBINE:
            raise BadArguments(f"combine is {self.combine!r}; expected {', '.join(COMBINE)}")
        if self.words < 0:
            raise BadArguments(f"words is {self.words}; expected 0 for no windows, or more")
        if not 0 <= self.stride <= self.words:
            raise BadArguments(
                f"stride is {self.stride} and words {self.words}: words in between would be in no "
                f"window; expected 0 (half a window) to {self.words}"
            )

    @property
    def mark(self) -> str:
        """For a fingerprint: empty where no passage is divided."""
        step = self.stride or max(1, self.words // 2)
        return f" {self.combine} of {self.words} words every {step}" if self.words else ""

    def of(self, passage: Passage) -> list[Passage]:
        """The windows of a passage, one at least, first to last, each under the passage's title.

        A passage that fits one window is its own only window, unchanged. The last window ends
        with the passage.
        """
        if not self.words:
            return [passage]
        found = [match.span() for match in _WORD.finditer(passage.text)]
        if len(found) <= self.words:
            return [passage]
        step = self.stride or max(1, self.words // 2)
        last = len(found) - self.words
        starts = [*range(0, last, step), last] if self.combine != "first" else [0]
        return [
            Passage(
                passage.id,
                passage.text[found[start][0] : found[start + self.words - 1][1]],
                passage.title,
            )
            for start in starts
        ]

    def score(self, batch: Sequence[Candidates], score: Score) -> list[Float32Array]:
        """What ``score`` says of the windows, combined: one array a query, a score a passage."""
        if not self.words:
            return score(batch)
        split = [[self.of(passage) for passage in each.passages] for each in batch]
        opened = [
            Candidates(each.ranking, [window for own in windows for window in own])
            for each, windows in zip(batch, split, strict=True)
        ]
        return [
            self._combined(scores, [len(own) for own in windows])
            for scores, windows in zip(score(opened), split, strict=True)
        ]

    def _combined(self, scores: Float32Array, sizes: Sequence[int]) -> Float32Array:
        if self.combine == "first" or not sizes:
            return scores
        starts = np.cumsum([0, *sizes[:-1]])
        found: Float32Array = _COMBINE[self.combine].reduceat(scores, starts)
        return found
