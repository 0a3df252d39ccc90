"""Token vectors on disk: shards that survive a kill, the two files, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, CorruptFile, Mismatch
from tamis.core.fingerprints import of_blocks
from tamis.core.manifest import FileRecord
from tamis.core.protocols import EncoderCard, TokenVectors
from tamis.index import verification
from tamis.index.building import token_vector_shards
from tamis.index.building.token_vector_shards import TokenVectorShards
from tamis.index.token_codes import BITS, coded, decoded
from tamis.index.token_vectors import BOUNDS, VECTORS, StoredTokens
from tamis.index.verification import VerifiedFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIM = 6
TEXTS = ["a flea lives", "", "bread", "the dog and the cat", "sea", "wind of the sea", "salt"]


@dataclass
class Words:
    """A unit vector a word, drawn from its letters. Remembers texts; fails after ``left``."""

    name: str = "words"
    left: int = 10**9
    dim: int = DIM
    seen: list[str] = field(default_factory=list)

    @property
    def card(self) -> EncoderCard:
        return EncoderCard(self.name, self.name, "space", DIM, "cosine", "none", 0)

    def encode_tokens(self, texts: Sequence[str], role: str) -> TokenVectors:
        assert role == "passage"
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        self.seen += texts
        words = [text.split() for text in texts]
        each = [self.vector(word) for own in words for word in own]
        lengths = np.array([len(own) for own in words], np.int64)
        return TokenVectors(np.array(each, np.float32).reshape(-1, self.dim), lengths)

    def vector(self, word: str) -> np.ndarray:
        if word == "nan":
            return np.full(self.dim, np.nan)
        drawn = np.random.default_rng(list(word.encode())).normal(size=self.dim)
        return drawn / np.linalg.norm(drawn)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_vector_shards, "BLOCK", 2)


def completed(
    folder: Path,
    encoder: Words,
    texts: Sequence[str] = TEXTS,
    bits: int = 8,
    shard_rows: int = 3,
) -> TokenVectorShards:
    shards = TokenVectorShards(folder / "shards", encoder, bits, len(texts), shard_rows)
    shards.complete(lambda a, z: texts[a:z], lambda _: None)
    return shards


def stored(folder: Path, told: dict[str, int], rows: int = len(TEXTS)) -> StoredTokens:
    records = {
        name: FileRecord((folder / name).stat().st_size, of_blocks(folder / name))
        for name in (VECTORS, BOUNDS)
    }
    return StoredTokens(VerifiedFiles(folder, records), rows, told)


@pytest.mark.parametrize("bits", BITS)
def test_rows_come_back_in_the_order_they_are_asked_for(tmp_path: Path, bits: int) -> None:
    encoder = Words()
    told = completed(tmp_path, encoder, bits=bits).write(tmp_path)
    assert told == {"bits": bits, "dim": DIM, "count": 15}
    tokens = stored(tmp_path, told)
    tokens.check()
    assert len(tokens) == len(TEXTS)
    for rows in ([5, 0, 1, 3], [1], [], [6, 6], range(7)):
        found = tokens.take(np.array(rows, np.int64))
        exact = encoder.encode_tokens([TEXTS[row] for row in rows], "passage")
        assert found.lengths.tolist() == exact.lengths.tolist()
        expected = decoded(coded(exact.vectors, bits), DIM, bits)
        np.testing.assert_array_equal(found.vectors, expected)


def test_rows_that_are_not_there_are_refused(tmp_path: Path) -> None:
    tokens = stored(tmp_path, completed(tmp_path, Words()).write(tmp_path))
    for rows in ([7], [-1, 2]):
        with pytest.raises(BadArguments, match="of 7 with vectors"):
            tokens.take(np.array(rows))


def test_an_index_without_a_single_token(tmp_path: Path) -> None:
    tokens = stored(tmp_path, completed(tmp_path, Words(), ["", ""]).write(tmp_path), 2)
    found = tokens.take(np.array([1, 0]))
    assert (found.vectors.shape, found.lengths.tolist()) == ((0, DIM), [0, 0])


def test_a_kill_costs_one_shard_and_changes_no_byte(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    completed(tmp_path / "whole", Words()).write(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        completed(tmp_path, Words(left=5))
    resumed = Words()
    completed(tmp_path, resumed).write(tmp_path)
    assert resumed.seen == TEXTS[3:]
    for name in (VECTORS, BOUNDS):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("change", ["text", "encoder", "bits", "codes", "lengths", "card"])
def test_only_what_is_as_it_should_be_is_kept(tmp_path: Path, change: str) -> None:
    completed(tmp_path, Words())
    texts = [*TEXTS[:4], "SEA", *TEXTS[5:]] if change == "text" else TEXTS
    files = {"codes": "00001.codes", "lengths": "00001.lengths.npy", "card": "00001.json"}
    if change in files:
        path = tmp_path / "shards" / files[change]
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    again = Words("others" if change == "encoder" else "words")
    completed(tmp_path, again, texts, 4 if change == "bits" else 8)
    everything = change in ("encoder", "bits")
    assert again.seen == (texts if everything else texts[3:6])


def test_what_an_encoder_may_not_give(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="row 4 holds NaN"):
        completed(tmp_path, Words(), [*TEXTS[:4], "a nan", "b"])
    with pytest.raises(Mismatch, match="5 dimensions and has 6"):
        completed(tmp_path, Words(dim=5), ["b"])


def test_damage_is_met_where_it_is_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"w{n} w{n + 1}" for n in range(400)]  # 8,000 bytes of records
    told = completed(tmp_path, Words(), texts, shard_rows=400).write(tmp_path)
    monkeypatch.setattr("tamis.core.fingerprints.BLOCK", 1024)
    monkeypatch.setattr(verification, "BLOCK", 1024)
    tokens = stored(tmp_path, told, 400)
    path = tmp_path / VECTORS
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 4
    path.write_bytes(raw)
    assert tokens.take(np.array([0, 399])).lengths.tolist() == [2, 2]
    with pytest.raises(CorruptFile, match=r"vectors\.npy"):
        tokens.take(np.array([(5000 - 128) // 20]))
    tokens = stored(tmp_path, told, 400)
    with path.open("r+b") as file:
        file.write(b"\0")  # the header
    with pytest.raises(CorruptFile, match="bytes 0 to"):
        tokens.take(np.array([0]))


@pytest.mark.parametrize("wrong", [{"count": 14}, {"dim": 5}, {"bits": 4}])
def test_files_that_do_not_fit_the_manifest(tmp_path: Path, wrong: dict[str, int]) -> None:
    told = completed(tmp_path, Words()).write(tmp_path)
    with pytest.raises(Mismatch, match="the manifest promises"):
        stored(tmp_path, {**told, **wrong}).check()
    with pytest.raises(Mismatch, match="6 rows"):
        stored(tmp_path, told, 6).check()


def test_files_of_something_else(tmp_path: Path) -> None:
    told = completed(tmp_path, Words()).write(tmp_path)
    for name in (VECTORS, BOUNDS):
        good = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(BadData, match="holds no array"):
            stored(tmp_path, told).check()
        (tmp_path / name).write_bytes(good)
