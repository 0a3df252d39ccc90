"""``length``: the control that every learned score has to beat, because length leaks relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from .words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Float32Array


class LengthQuality:
    """The number of words: the shortest passages go first."""

    def __init__(self) -> None:
        self.card = QualityCard("length", of_value({"length": "words"}))

    def score(self, texts: Sequence[str]) -> Float32Array:
        return np.array([len(words_of(text)) for text in texts], np.float32)
