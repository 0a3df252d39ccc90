"""``magnitude``: the norm of a dot-product encoder's vectors, with either sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments
from tamis.core.protocols import Encoded, Encoder, EncoderCard
from tamis.encoders.hashing import HashingEncoder
from tamis.encoders.quality.magnitude import MagnitudeQuality, magnitude, minus_magnitude

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.protocols import Role
    from tamis.core.records import Int32Array


class Right(Encoder):
    """Right angles of 3 and 4, times the number of words."""

    def __init__(self, fingerprint: str = "right") -> None:
        self._fingerprint = fingerprint
        self.roles: list[str] = []

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("right", self._fingerprint, "space", 2, "dot", "none", 0)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        self.roles.append(role)
        tokens = self.count_tokens(texts, role)
        return Encoded(np.array([[3, -4]], np.float32) * tokens[:, None], tokens)

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        del role
        return np.array([len(text.split()) for text in texts], np.int32)


def test_the_length_of_the_passages_vector_or_minus_it() -> None:
    encoder = Right()
    texts = ["one two three", "", "one"]
    assert magnitude(encoder).score(texts).tolist() == [15, 0, 5]
    assert minus_magnitude(encoder).score(texts).tolist() == [-15, 0, -5]
    assert encoder.roles == ["passage", "passage"]


def test_the_sign_and_the_encoder_are_in_the_fingerprint() -> None:
    cards = [make(Right(name)).card for make in (magnitude, minus_magnitude) for name in "ab"]
    assert len({card.fingerprint for card in cards}) == 4
    assert [card.name for card in cards] == ["magnitude"] * 2 + ["minus-magnitude"] * 2


def test_the_length_of_a_cosine_encoders_vectors_means_nothing() -> None:
    with pytest.raises(BadArguments, match=r"'hashing' compares by cosine: .* means nothing"):
        magnitude(HashingEncoder())
    with pytest.raises(BadArguments, match="expected 1"):
        MagnitudeQuality(Right(), sign=0)
