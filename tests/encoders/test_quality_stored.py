"""Fitted models on disk: the same scores, the same bytes, and nothing from a damaged file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from tamis.core.errors import BadData, CorruptFile, MissingResource
from tamis.encoders.quality.cdd import Cdd, cdd
from tamis.encoders.quality.perplexity import Perplexity, perplexity
from tamis.encoders.quality.regression import FeatureQuality, Weight
from tamis.encoders.quality.stored import load_stored

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = [
    "the cat and the dog",
    "na\u00efve \u65e5\u672c 12 bread_and",
    "the cat sleeps",
    "",
    "dog",
]
TEXTS = [*CORPUS, "the dog sleeps", "unknown", "bread the the the"]
RECIPES = {"cdd": (Cdd, cdd), "perplexity": (Perplexity, perplexity)}


@pytest.fixture(params=RECIPES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def stored(kind: str, path: Path, corpus: list[str]) -> Any:
    model: Any = RECIPES[kind][0]().fit(corpus)
    model.save(path)
    return model


class TestStored:
    def test_it_is_the_same_model(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        model = stored(kind, path, CORPUS)
        for loaded in (RECIPES[kind][1](path), load_stored(path), load_stored(str(path))):
            assert loaded.card == model.card  # type: ignore[union-attr]
            assert loaded.score(TEXTS).tolist() == model.score(TEXTS).tolist()  # type: ignore[union-attr]

    def test_stored_again_it_is_the_same_bytes(self, kind: str, tmp_path: Path) -> None:
        first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
        stored(kind, first, CORPUS)
        load_stored(first).save(second)  # type: ignore[attr-defined]
        assert first.read_bytes() == second.read_bytes()

    @pytest.mark.parametrize("kind", RECIPES)
    @settings(deadline=None, max_examples=30)
    @given(corpus=st.lists(st.text(max_size=20), min_size=1, max_size=6))
    def test_whatever_the_corpus_holds(
        self, kind: str, tmp_path_factory: pytest.TempPathFactory, corpus: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("m") / "m.safetensors"
        model = stored(kind, path, [*corpus, "word"])
        loaded = load_stored(path)
        assert loaded.card == model.card
        assert loaded.score(corpus).tolist() == model.score(corpus).tolist()


def test_a_regression_is_read_by_the_same_name(tmp_path: Path) -> None:
    model = FeatureQuality(0.5, {"words": Weight(0.0, 1.0, 1.0)})
    model.save(tmp_path / "f.json")
    assert load_stored(tmp_path / "f.json").card == model.card


class TestDamaged:
    def test_any_byte_changed(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        stored(kind, path, CORPUS)
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            changed = bytearray(whole)
            changed[place] ^= 0x15
            path.write_bytes(changed)
            with pytest.raises(BadData):
                load_stored(path)

    def test_any_end_missing(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        stored(kind, path, CORPUS)
        whole = path.read_bytes()
        for length in range(0, len(whole), 29):
            path.write_bytes(whole[:length])
            with pytest.raises(BadData):
                load_stored(path)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"pairs": np.array([2 << 32 | 99], np.int64)}, "do not belong to its words"),
            ({"pairs": "last after an unknown word"}, "do not belong to its words"),
            ({"counts": np.array([1, 2], np.int64)}, "do not belong to its words"),
            ({"words": np.frombuffer(b"the\nthe", np.uint8)}, "do not belong to its words"),
            ({"words": np.frombuffer(b"\xff", np.uint8)}, "damaged"),
            ({"more": np.zeros(1, np.int64)}, "expected int64"),
            ({"counts": np.zeros(3, np.float32)}, "expected int64"),
        ],
    )
    def test_parts_that_contradict_each_other(
        self, tmp_path: Path, change: dict[str, Any], told: str
    ) -> None:
        path = tmp_path / "m.safetensors"
        stored("perplexity", path, CORPUS)
        raw = path.read_bytes()
        about = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
        parts = load(raw)
        if isinstance(change.get("pairs"), str):
            last = parts["pairs"].copy()
            last[-1] = 9_999 << 32 | 2
            change = {"pairs": last}
        path.write_bytes(save({**parts, **change}, about))
        with pytest.raises(CorruptFile, match=told):
            load_stored(path)

    def test_one_kind_is_not_the_other(self, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        stored("cdd", path, CORPUS)
        with pytest.raises(
            BadData, match="holds a 'tamis cdd quality 1'; expected a 'tamis bigram"
        ):
            perplexity(path)

    def test_no_model_of_ours(self, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        path.write_bytes(save({"x": np.zeros(1)}))
        with pytest.raises(BadData, match="no quality model of tamis"):
            load_stored(path)
        path.write_bytes(save({"x": np.zeros(1)}, {"tamis": '{"format": "z", "fingerprint": ""}'}))
        with pytest.raises(BadData, match="holds a 'z'; expected one of 'tamis cdd"):
            load_stored(path)

    def test_no_file(self, kind: str, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match="cannot be"):
            RECIPES[kind][1](tmp_path / "none.safetensors")
