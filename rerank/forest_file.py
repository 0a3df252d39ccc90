"""Read a forest in LightGBM's text format, and check it: LightGBM itself trusts every number.

The format is data and runs nothing. But a number that is none makes LightGBM end the whole
process (seen with 4.7), and a child beyond the tree would be read from memory that is not its
own, so a file reaches LightGBM only when all of it is sound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.errors import BadData, Mismatch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEADER = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1"}
_END = "end of trees\n"
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_PER_NODE = (
    *("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"),
    *("internal_value", "internal_weight", "internal_count"),
)
_SINGLE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_WHOLE = {"split_feature", "decision_type", "left_child", "right_child", "num_leaves"}
_WHOLE |= {"num_cat", "is_linear", "leaf_count", "internal_count"}


def features_named(path: Path) -> list[str]:
    """The features that a model file says it was trained on; none where it does not say."""
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("feature_names="):
                return line.partition("=")[2].split()
            if not line.strip():  # the header is over
                break
    return []


def read_forest(path: Path, features: Sequence[str]) -> str:
    """The header and trees of a file, as LightGBM takes them; what follows them is left out.

    Raises BadData for anything but a whole, sound forest of trees with numerical splits and one
    output; Mismatch when it was trained on other features, or in another order.
    """
    try:
        text = path.read_text("ascii")
        head, body = _parts(text)
        header = dict(line.split("=", 1) for line in head.split("\n")[1:] if "=" in line)
        for key, expected in _HEADER.items():
            if header.get(key) != expected:
                raise ValueError(f"{key} is {header.get(key)!r}, expected {expected!r}")  # noqa: TRY301
        _check_names(path, header.get("feature_names", "").split(), features)
        if int(header["max_feature_idx"]) != len(features) - 1:
            raise ValueError(f"max_feature_idx is {header['max_feature_idx']}")  # noqa: TRY301
        _check_trees(body, [int(size) for size in header["tree_sizes"].split()], len(features))
    except (ValueError, KeyError) as flaw:
        raise BadData(
            f"{path} is no sound model: {flaw}; expected LightGBM's text format, version 4, as "
            f"Booster.save_model writes it"
        ) from flaw
    return f"{head}\n\n{body}{_END}"


def mean_of_forests(texts: Sequence[str]) -> str:
    """One forest whose prediction is the mean of those of several, trained on the same features.

    ``texts`` as LightGBM writes them; the header is the first one's, the lists of training
    parameters are left out.
    """
    heads, trees = [], []
    for text in texts:
        head, body = _parts(text)
        heads.append(head)
        trees += [_shrunk(tree, len(texts)) for tree in body.split("Tree=")[1:]]
    numbered = [f"Tree={number}{tree}" for number, tree in enumerate(trees)]
    sizes = " ".join(str(len(tree)) for tree in numbered)
    lines = [
        f"tree_sizes={sizes}" if line.startswith("tree_sizes=") else line
        for line in heads[0].split("\n")
    ]
    return "\n".join(lines) + "\n\n" + "".join(numbered) + _END


def _shrunk(tree: str, parts: int) -> str:
    """A tree without its number, its values divided."""
    _, _, lines = tree.partition("\n")
    return "\n" + "\n".join(_divided(line, parts) for line in lines.split("\n"))


def _divided(line: str, parts: int) -> str:
    key, equals, values = line.partition("=")
    if key not in ("leaf_value", "internal_value"):
        return line
    return key + equals + " ".join(repr(float(value) / parts) for value in values.split())


def _parts(text: str) -> tuple[str, str]:
    """(header, trees)."""
    head, blank, rest = text.partition("\n\n")
    body, end, _ = rest.partition(_END)
    if not head.startswith("tree\n") or not blank or not end:
        raise ValueError("it does not read 'tree' ... 'end of trees'")
    return head, body


def _check_names(path: Path, names: list[str], features: Sequence[str]) -> None:
    if names == list(features):
        return
    differ = ", ".join(sorted(set(names) ^ set(features))[:5]) or "their order"
    raise Mismatch(
        f"{path} was trained on {len(names)} features, this version computes {len(features)}; "
        f"they differ in {differ}: train the model again"
    )


def _check_trees(body: str, sizes: Sequence[int], features: int) -> None:
    """LightGBM finds each tree by the sizes of those before it, so the sizes must be right."""
    if not sizes or sum(sizes) != len(body) or min(sizes) < 1:
        raise ValueError(f"its trees take {len(body)} bytes, tree_sizes says {sum(sizes)}")
    start = 0
    for number, size in enumerate(sizes):
        first, _, tree = body[start : start + size].partition("\n")
        start += size
        if first != f"Tree={number}":
            raise ValueError(f"tree {number} begins with {first[:40]!r}")
        try:
            _check_tree(tree, features)
        except (ValueError, KeyError) as flaw:
            raise ValueError(f"tree {number}: {flaw}") from flaw


def _check_tree(tree: str, features: int) -> None:
    fields = dict(line.split("=", 1) for line in tree.strip("\n").split("\n"))
    leaves = int(fields["num_leaves"])
    lengths = dict.fromkeys(_PER_LEAF, leaves) | dict.fromkeys(_PER_NODE, leaves - 1)
    lengths |= dict.fromkeys(_SINGLE, 1)
    if leaves < 2:
        raise ValueError("it splits nothing")
    if set(fields) != set(lengths):
        raise ValueError(f"its fields differ in {sorted(set(fields) ^ set(lengths))}")
    numbers = {key: _numbers(key, fields[key], length) for key, length in lengths.items()}
    if fields["num_cat"] != "0" or fields["is_linear"] != "0":
        raise ValueError("it has categorical splits or linear leaves")
    if not all(0 <= feature < features for feature in numbers["split_feature"]):
        raise ValueError(f"it splits a feature outside 0..{features - 1}")
    if any(kind not in {0, 2, 4, 6, 8, 10} for kind in numbers["decision_type"]):
        raise ValueError("it has a decision of an unknown kind")
    children = sorted(numbers["left_child"] + numbers["right_child"])
    if children != [*range(-leaves, 0), *range(1, leaves - 1)]:
        raise ValueError("its children are not each node and each leaf once")


def _numbers(key: str, text: str, length: int) -> list[float]:
    read = int if key in _WHOLE else float
    found: list[float] = [read(word) for word in text.split()]
    # a split between NaN and all numbers has the threshold infinity
    finite = [number for number in found if key != "threshold" or number != math.inf]
    if len(found) != length or not all(map(math.isfinite, finite)) or "_" in text:
        raise ValueError(f"{key} holds {len(found)} numbers, expected {length} finite ones")
    return found
