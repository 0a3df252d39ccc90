"""A model by hub name: the cache first, the network only for what is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tamis.core.errors import MissingResource
from tamis.core.hub import load_model

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_in_the_cache_never_meets_the_network() -> None:
    asked: list[bool] = []

    def load(local: bool) -> str:
        asked.append(local)
        return "model"

    assert load_model("encoder", "org/name", load, "go online") == "model"
    assert asked == [True]


def test_what_is_not_in_the_cache_is_fetched() -> None:
    def load(local: bool) -> str:
        if local:
            raise OSError("not in the cache")
        return "fetched"

    assert load_model("encoder", "org/name", load, "go online") == "fetched"


def test_what_cannot_be_had_says_why_and_what_to_do() -> None:
    def load(local: bool) -> str:
        raise OSError(f"local {local}\nand a long tale")

    with pytest.raises(MissingResource) as refused:
        load_model("encoder", "org/name", load, "go online")
    assert str(refused.value) == "the encoder 'org/name' cannot be loaded: local False; go online"


def test_a_local_folder_is_never_looked_for_on_the_hub(tmp_path: Path) -> None:
    asked: list[bool] = []

    def load(local: bool) -> str:
        asked.append(local)
        raise ValueError("no weights")

    with pytest.raises(MissingResource, match="no weights"):
        load_model("encoder", str(tmp_path), load, "go online")
    assert asked == [True]
