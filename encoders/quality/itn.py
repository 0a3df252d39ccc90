"""``itn``: information to noise, how many of a passage's stems are new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from .words import porter, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Float32Array


class ItnQuality:
    """Distinct Porter stems / all stems (Zhu and Gauch 2000), in (0, 1]; 0 without a word.

    A passage repeated n times has an n-th of its score. Long passages score low, whatever they
    say; on MS MARCO it is no better than chance (Chang et al. 2024).
    """

    def __init__(self) -> None:
        self.card = QualityCard("itn", of_value({"itn": "case folded words, Porter stems"}))

    def score(self, texts: Sequence[str]) -> Float32Array:
        stems_of = porter()
        stems = (stems_of(words_of(text)) for text in texts)
        return np.array([len(set(each)) / max(1, len(each)) for each in stems], np.float32)
