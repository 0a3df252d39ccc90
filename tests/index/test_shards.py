"""Shards: encoded once, kept as long as texts and encoder are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadData
from tamis.core.protocols import Encoded, Encoder, EncoderCard
from tamis.index.building.shards import VectorShards

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Role
    from tamis.core.records import Float32Array, Int32Array, Int64Array

TEXTS = ["one", "two words", "and three words", "now there are four", "x", "y z", "seven"]


class Counting(Encoder):
    """Two numbers a text: its length and its words; reads at most two words."""

    def __init__(self, name: str = "counting") -> None:
        self._card = EncoderCard(name, name, name, 2, "dot", "none", 2)
        self.calls: list[list[str]] = []

    @property
    def card(self) -> EncoderCard:
        return self._card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        assert role == "passage"
        self.calls.append(list(texts))
        tokens = np.array([len(text.split()) for text in texts], np.int32)
        lengths = [len(text) for text in texts]
        return Encoded(np.array([lengths, tokens], np.float32).T.copy(), tokens)


def completed(
    folder: Path, encoder: Encoder, texts: Sequence[str] = TEXTS, shard_rows: int = 3
) -> VectorShards:
    shards = VectorShards(folder, encoder, len(texts), shard_rows)
    steps: list[int] = []
    shards.complete(lambda start, end: texts[start:end], steps.append)
    assert sum(steps) == len(texts)
    return shards


def test_all_vectors_in_order(tmp_path: Path) -> None:
    encoder = Counting()
    shards = completed(tmp_path / "v", encoder)
    assert encoder.calls == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
    vectors = np.concatenate(list(shards.blocks()))
    assert vectors.tolist() == [[len(text), len(text.split())] for text in TEXTS]
    assert vectors.dtype == np.float32
    assert [len(block) for block in shards.blocks()] == [3, 3, 1]


def test_truncation_is_counted_also_for_shards_that_are_kept(tmp_path: Path) -> None:
    assert completed(tmp_path / "v", Counting()).truncated == (2, 3)
    encoder = Counting()
    assert completed(tmp_path / "v", encoder).truncated == (2, 3)
    assert encoder.calls == []


def test_only_what_changed_is_encoded_again(tmp_path: Path) -> None:
    completed(tmp_path / "v", Counting())
    encoder = Counting()
    texts = [*TEXTS[:4], "changed", *TEXTS[5:]]
    shards = completed(tmp_path / "v", encoder, texts)
    assert encoder.calls == [texts[3:6]]
    fresh = completed(tmp_path / "fresh", Counting(), texts)
    assert np.array_equal(
        np.concatenate(list(shards.blocks())), np.concatenate(list(fresh.blocks()))
    )


@pytest.mark.parametrize("change", ["encoder", "shard_rows", "shifted", "merged"])
def test_what_encodes_all_again(tmp_path: Path, change: str) -> None:
    completed(tmp_path / "v", Counting(), TEXTS[:6])
    encoder = Counting("other" if change == "encoder" else "counting")
    texts = {
        "shifted": ["new", *TEXTS[:5]],
        "merged": ["onetwo words", "", *TEXTS[2:5], TEXTS[5] + "!"],
    }.get(change, TEXTS[:6])
    completed(tmp_path / "v", encoder, texts, 2 if change == "shard_rows" else 3)
    assert sum(map(len, encoder.calls)) == 6


def test_a_shorter_corpus_forgets_the_rest(tmp_path: Path) -> None:
    completed(tmp_path / "v", Counting())
    encoder = Counting()
    shards = completed(tmp_path / "v", encoder, TEXTS[:3])
    assert encoder.calls == []
    assert np.concatenate(list(shards.blocks())).shape == (3, 2)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("00001.npy", "flip"),
        ("00001.npy", "cut"),
        ("00001.npy", "gone"),
        ("00001.json", "flip"),
        ("00001.json", "cut"),
        ("00001.json", "gone"),
        ("00001.json", "list"),
    ],
)
def test_a_damaged_shard_is_encoded_again(tmp_path: Path, name: str, harm: str) -> None:
    before = np.concatenate(list(completed(tmp_path / "v", Counting()).blocks()))
    path = tmp_path / "v" / name
    raw = path.read_bytes()
    if harm == "flip":
        path.write_bytes(raw[:20] + bytes([raw[20] ^ 1]) + raw[21:])
    elif harm == "cut":
        path.write_bytes(raw[:-1])
    elif harm == "list":
        path.write_text("[]")
    else:
        path.unlink()
    encoder = Counting()
    shards = completed(tmp_path / "v", encoder)
    assert encoder.calls == [TEXTS[3:6]]
    assert np.array_equal(np.concatenate(list(shards.blocks())), before)


def test_a_vector_that_is_not_finite_names_row_and_text(tmp_path: Path) -> None:
    class Broken(Counting):
        def encode(self, texts: Sequence[str], role: Role) -> Encoded:
            encoded = super().encode(texts, role)
            encoded.vectors[[text == "y z" for text in texts]] = np.nan
            return encoded

    with pytest.raises(BadData, match=r"row 5 is not finite.*'y z'"):
        completed(tmp_path / "v", Broken())
    encoder = Counting()
    completed(tmp_path / "v", encoder)  # the shard before it was finished
    assert encoder.calls == [TEXTS[3:6], TEXTS[6:]]


class Counts(Counting):
    """Counts tokens without encoding, too."""

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        assert role == "passage"
        return np.array([len(text.split()) for text in texts], np.int32)


def test_what_is_known_is_not_encoded(tmp_path: Path) -> None:
    fresh = completed(tmp_path / "fresh", Counting())
    vectors = np.concatenate(list(fresh.blocks()))
    rows = np.array([1, 2, 3, 6])
    asked: list[tuple[int, int]] = []

    def known(start: int, end: int) -> tuple[Int64Array, Float32Array]:
        asked.append((start, end))
        here = rows[(rows >= start) & (rows < end)]
        return here - start, vectors[here]

    encoder = Counts()
    shards = VectorShards(tmp_path / "v", encoder, len(TEXTS), 3)
    shards.complete(lambda start, end: TEXTS[start:end], lambda _done: None, known)
    assert encoder.calls == [TEXTS[:1], TEXTS[4:6]]
    assert asked == [(0, 3), (3, 6), (6, 7)]
    assert np.concatenate(list(shards.blocks())).tobytes() == vectors.tobytes()
    assert shards.truncated == fresh.truncated == (2, 3)
    completed(tmp_path / "v", encoder)
    assert len(encoder.calls) == 2
