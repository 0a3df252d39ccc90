"""``random``: the control that says what pruning costs when nothing is known."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ...core.fingerprints import of_value
from ...core.protocols import QualityCard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Float32Array

_BITS = 24  # a float32 holds so many exactly


class RandomQuality:
    """Uniform over [0, 1), drawn from the text's own checksum and the seed.

    So it is a function of the text, as all quality is: the same on every machine, in any batch,
    and equal for equal texts.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._key = str(seed).encode("ascii")
        self.card = QualityCard("random", of_value({"random": "blake2b", "seed": seed}))

    def score(self, texts: Sequence[str]) -> Float32Array:
        return np.array([self._draw(text) for text in texts], np.float32)

    def _draw(self, text: str) -> float:
        raw = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(raw, digest_size=8, key=self._key).digest()
        return float((int.from_bytes(digest, "little") >> (64 - _BITS)) / 2**_BITS)
