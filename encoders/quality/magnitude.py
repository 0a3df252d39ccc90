"""``magnitude``: how long the vector is that a dot-product encoder gives a passage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments
from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from .readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.protocols import Encoder
    from ...core.records import Float32Array


class MagnitudeQuality:
    """The Euclidean length of a passage's vector (Chang et al. 2024, "Mag."), or minus it.

    A dot product ranks a passage with a long vector high whatever is asked, so its length may say
    how often it answers. Which sign is quality is open: the paper keeps the long ones, a
    reproduction of it the short ones (AUC .52 on MS MARCO either way), so try both on judgments of
    your own. Only encoders that are trained for dot products put anything into the length: those
    that compare by cosine are refused with BadArguments, their vectors all have length one.

    A score moves with its batch as the encoder's vectors do, by 1e-6 of its size.
    """

    def __init__(self, encoder: Encoder, *, sign: int = 1) -> None:
        """``sign``: 1 where long vectors are worth keeping, -1 where short ones are."""
        card = encoder.card
        if card.similarity != "dot":
            raise BadArguments(
                f"the encoder {card.name!r} compares by {card.similarity}: the length of its "
                f"vectors means nothing; name an encoder that was trained for dot products, or "
                f"choose another quality model"
            )
        if sign not in (1, -1):
            raise BadArguments(f"sign is {sign}; expected 1 (keep long vectors) or -1 (short)")
        self._encoder = encoder
        self._sign = np.float32(sign)
        kind = "magnitude" if sign > 0 else "minus-magnitude"
        self.card = QualityCard(kind, of_value({kind: card.fingerprint}))

    def score(self, texts: Sequence[str]) -> Float32Array:
        vectors = self._encoder.encode([readable(text) for text in texts], "passage").vectors
        return np.asarray(self._sign * np.linalg.norm(vectors, axis=1), np.float32)


def magnitude(encoder: Encoder) -> MagnitudeQuality:
    """Long vectors are worth keeping."""
    return MagnitudeQuality(encoder)


def minus_magnitude(encoder: Encoder) -> MagnitudeQuality:
    """Short vectors are worth keeping."""
    return MagnitudeQuality(encoder, sign=-1)
