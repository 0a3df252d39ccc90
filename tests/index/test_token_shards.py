"""Tokens kept between the scoring and the encoding of one build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.packed_texts import PackedTexts
from tamis.index.building.token_shards import TokenShards

if TYPE_CHECKING:
    from pathlib import Path


def packed(texts: list[list[int]]) -> PackedTexts:
    lengths = np.array([len(text) for text in texts], np.int32)
    ids = np.array([token for text in texts for token in text], np.int32)
    return PackedTexts(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), lengths)


def lists(pack: PackedTexts) -> list[list[int]]:
    return [part.tolist() for part in np.split(pack.ids, pack.bounds[1:-1])][: len(pack)]


@pytest.mark.parametrize("largest", [7, 70_000])
def test_rows_of_several_shards_come_back_as_they_were(tmp_path: Path, largest: int) -> None:
    shards = TokenShards(tmp_path, 3)
    texts = [[1, 2], [], [3, largest], [4], [5, 6, 7], [largest], [8]]
    for number, start in enumerate(range(0, 7, 3)):
        shards.keep(number, packed(texts[start : start + 3]))
    taken = shards.take(np.array([1, 2, 4, 6]))
    assert taken is not None
    assert lists(taken) == [texts[row] for row in (1, 2, 4, 6)]
    assert taken.ids.dtype == taken.counts.dtype == np.int32
    assert taken.counts.tolist() == [0, 2, 3, 1]


def test_small_ids_take_two_bytes(tmp_path: Path) -> None:
    sizes = []
    for largest in (65_535, 65_536):
        TokenShards(tmp_path, 1).keep(0, packed([[largest] * 5_000]))
        sizes.append((tmp_path / "00000.tokens").stat().st_size)
    assert sizes[1] - sizes[0] == pytest.approx(10_000, abs=16)


def test_a_shard_that_is_missing_or_of_an_earlier_run_is_not_read(tmp_path: Path) -> None:
    earlier = TokenShards(tmp_path, 2)
    earlier.keep(0, packed([[1], [2]]))
    now = TokenShards(tmp_path, 2)
    assert now.take(np.array([0])) is None
    now.keep(1, packed([[3], [4]]))
    assert now.take(np.array([1, 2])) is None
    taken = now.take(np.array([3]))
    assert taken is not None
    assert lists(taken) == [[4]]
    assert now.take(np.empty(0, np.int64)) is None
