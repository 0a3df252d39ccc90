"""Score shards: scored once, kept as long as texts and model are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import FailedWhileRunning
from tamis.core.protocols import QualityCard
from tamis.index.building import score_shards
from tamis.index.building.score_shards import ScoreShards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tamis.core.records import Float32Array

TEXTS = ["one", "two words", "and three words", "now there are four", "x", "y z", "seven"]


class Lengths:
    """Characters; remembers its calls."""

    def __init__(self, name: str = "lengths", then: Callable[[int], Any] | None = None) -> None:
        self.card = QualityCard("lengths", name)
        self.calls: list[list[str]] = []
        self._then = then

    def score(self, texts: Sequence[str]) -> Any:
        self.calls.append(list(texts))
        if self._then is not None:
            return self._then(len(texts))
        return np.array([len(text) for text in texts], np.float32)


def completed(folder: Path, model: Lengths, texts: Sequence[str] = TEXTS) -> Float32Array:
    steps: list[int] = []
    shards = ScoreShards(folder, model, len(texts), 3)
    scores = shards.complete(lambda start, end: texts[start:end], steps.append)
    assert sum(steps) == len(texts)
    return scores


def test_all_scores_in_order_and_none_twice(tmp_path: Path) -> None:
    model = Lengths()
    for _ in range(2):
        scores = completed(tmp_path / "s", model)
        assert scores.dtype == np.float32
        assert scores.tolist() == [len(text) for text in TEXTS]
    assert model.calls == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]


def test_a_changed_text_and_another_model_are_scored_again(tmp_path: Path) -> None:
    completed(tmp_path / "s", Lengths())
    changed = [*TEXTS[:4], "other", *TEXTS[5:]]
    model = Lengths()
    assert completed(tmp_path / "s", model, changed).tolist() == [len(text) for text in changed]
    assert model.calls == [changed[3:6]]
    other = Lengths("other")
    completed(tmp_path / "s", other, changed)
    assert len(other.calls) == 3


@pytest.mark.parametrize("name", ["00001.npy", "00001.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "absent"])
def test_a_damaged_shard_is_scored_again(tmp_path: Path, name: str, damage: str) -> None:
    whole = completed(tmp_path / "s", Lengths())
    path = tmp_path / "s" / name
    good = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(good[:-3] if damage == "cut" else good[:-2] + b"\x11" + good[-1:])
    model = Lengths()
    assert np.array_equal(completed(tmp_path / "s", model), whole)
    assert model.calls == [TEXTS[3:6]]


def test_a_call_has_a_block_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_shards, "BLOCK", 2)
    model = Lengths()
    assert completed(tmp_path / "s", model).tolist() == [len(text) for text in TEXTS]
    assert [len(call) for call in model.calls] == [2, 1, 2, 1, 1]


@pytest.mark.parametrize(
    "then",
    [
        lambda count: np.full(count, np.nan, np.float32),
        lambda count: np.zeros((count, 1), np.float32),
        lambda count: np.zeros(count + 1, np.float32),
    ],
)
def test_broken_scores_are_not_kept(tmp_path: Path, then: Callable[[int], Any]) -> None:
    with pytest.raises(FailedWhileRunning, match="'lengths'"):
        completed(tmp_path / "s", Lengths(then=then))
    assert list((tmp_path / "s").iterdir()) == []
