"""A forest's text is checked before LightGBM, which trusts it, sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadData, Mismatch
from tamis.rerank.forest_file import read_forest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

lightgbm = pytest.importorskip("lightgbm", reason="the extra ltr is not installed")
FEATURES = ["size", "age", "weight"]


@pytest.fixture(scope="module")
def booster() -> object:
    random = np.random.default_rng(0)
    table = random.random((400, 3))
    table[::7, 1] = np.nan
    target = table[:, 0] + np.nan_to_num(table[:, 1]) * table[:, 2]
    data = lightgbm.Dataset(table, target, feature_name=FEATURES)
    parameters = {"num_leaves": 5, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(parameters, data, num_boost_round=4)


@pytest.fixture
def path(booster: object, tmp_path: Path) -> Path:
    booster.save_model(tmp_path / "model.txt")
    return tmp_path / "model.txt"


def test_what_lightgbm_wrote_is_read_and_predicts_the_same(booster: object, path: Path) -> None:
    text = read_forest(path, FEATURES)
    table = np.random.default_rng(1).random((50, 3))
    again = lightgbm.Booster(model_str=text).predict(table)
    np.testing.assert_array_equal(again, booster.predict(table))
    assert "parameters" not in text


def test_a_tree_that_splits_nothing_is_refused(tmp_path: Path) -> None:
    flat = lightgbm.train(
        {"verbosity": -1, "num_threads": 1},
        lightgbm.Dataset(np.zeros((30, 3)), np.ones(30), feature_name=FEATURES),
        num_boost_round=2,
    )
    flat.save_model(tmp_path / "flat.txt")
    with pytest.raises(BadData, match="tree 0: it splits nothing"):
        read_forest(tmp_path / "flat.txt", FEATURES)


def line(text: str, key: str) -> str:
    """The first line of a key, with its value."""
    start = text.index(f"\n{key}=") + 1
    return text[start : text.index("\n", start)]


def replace_first(key: str, word: str) -> Callable[[str], str]:
    """The text with another first word under the key; of the same length, so that sizes hold."""

    def change(text: str) -> str:
        old = line(text, key)
        words = old.partition("=")[2].split(" ")
        padded = word.ljust(len(words[0])) if len(word) < len(words[0]) else word
        return text.replace(old, f"{key}={' '.join([padded, *words[1:]])}", 1)

    return change


def grow(change: Callable[[str], str]) -> Callable[[str], str]:
    """The change, with the first tree's size put right again."""

    def both(text: str) -> str:
        changed = change(text)
        old = line(text, "tree_sizes")
        first, *rest = old.partition("=")[2].split()
        size = int(first) + len(changed) - len(text)
        return changed.replace(old, f"tree_sizes={' '.join([str(size), *rest])}", 1)

    return both


def test_a_split_between_nan_and_all_numbers_is_sound(path: Path) -> None:
    """LightGBM writes its threshold as infinity."""
    path.write_text(grow(replace_first("threshold", "inf"))(path.read_text("ascii")), "ascii")
    text = read_forest(path, FEATURES)
    assert "threshold=inf" in text
    lightgbm.Booster(model_str=text).predict(np.zeros((1, 3)))


DAMAGES: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda _: "", "does not read"),
    "another format": (lambda text: "{" + text, "does not read"),
    "cut short": (lambda text: text[: text.index("Tree=2")], "does not read"),
    "another version": (lambda text: text.replace("version=v4", "version=v9"), "v9"),
    "several classes": (lambda text: text.replace("num_class=1", "num_class=3"), "num_class"),
    "more features": (
        lambda text: text.replace("max_feature_idx=2", "max_feature_idx=9"),
        "max_feature_idx is 9",
    ),
    "no sizes": (lambda text: text.replace(line(text, "tree_sizes"), "tree_sizes="), "tree_sizes"),
    "wrong sizes": (
        lambda text: text.replace(line(text, "tree_sizes"), "tree_sizes=5 5"),
        "tree_sizes says 10",
    ),
    "no number": (replace_first("leaf_value", "x"), "could not convert"),
    "no whole number": (replace_first("split_feature", "."), "invalid literal"),
    "not finite": (replace_first("threshold", "nan"), "threshold holds 4 numbers"),
    "too few": (replace_first("leaf_value", ""), "leaf_value holds 4 numbers, expected 5"),
    "a feature outside": (replace_first("split_feature", "7"), "a feature outside 0..2"),
    "a child outside": (grow(replace_first("left_child", "77")), "each node and each leaf once"),
    "a child twice": (grow(replace_first("left_child", "3")), "each node and each leaf once"),
    "a loop": (grow(replace_first("left_child", "0")), "each node and each leaf once"),
    "a categorical split": (replace_first("decision_type", "3"), "an unknown kind"),
    "categories": (replace_first("num_cat", "1"), "categorical"),
    "a field too many": (
        grow(lambda text: text.replace("\nis_linear=0", "\nmore=1\nis_linear=0", 1)),
        "fields differ in .'more'",
    ),
    "trees in another order": (lambda text: text.replace("Tree=1\n", "Tree=2\n"), "tree 1 begins"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused(path: Path, name: str) -> None:
    change, message = DAMAGES[name]
    text = path.read_text("ascii")
    assert change(text) != text
    path.write_text(change(text), "ascii")
    with pytest.raises(BadData, match=message):
        read_forest(path, FEATURES)


def test_a_pickle_is_refused(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(BadData, match="LightGBM's text format"):
        read_forest(path, FEATURES)


def test_other_features_are_named(path: Path) -> None:
    with pytest.raises(Mismatch, match="they differ in height, weight"):
        read_forest(path, ["size", "age", "height"])


def test_another_order_of_features_is_no_match(path: Path) -> None:
    with pytest.raises(Mismatch, match="their order"):
        read_forest(path, ["age", "size", "weight"])
