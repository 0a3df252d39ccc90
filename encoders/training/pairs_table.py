"""The table ``[pairs]`` of a spec: a file of pairs, or what somebody else makes pairs of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import BadArguments, BadData
from .pairs import Pair, read_pairs

if TYPE_CHECKING:
    from .spec import TrainingSpec

MakePairs = Callable[[Mapping[str, Any]], list[Pair]]
"""Pairs from the table as it stands, relative paths and all."""

_FILE = "file"


def training_pairs(spec: TrainingSpec, make: MakePairs | None) -> tuple[str, list[Pair]]:
    """(what the pairs are, in a few words; the pairs).

    A table of ``file`` alone names a file of pairs; any other one is handed to ``make``.
    BadArguments without a table, or for one that needs ``make`` where there is none; whatever
    ``read_pairs`` and ``make`` raise.
    """
    table = spec.sections.get("pairs")
    if not table or not isinstance(table, dict):
        raise BadArguments(
            f'{spec.source} names no [pairs] to learn from: file = "pairs.jsonl", for one'
        )
    if set(table) == {_FILE}:
        name = table[_FILE]
        if not isinstance(name, str):
            raise BadData(f"{spec.source} [pairs]: {_FILE!r} is {name!r}, expected str")
        return Path(name).name, read_pairs(spec.path(name))
    if make is None:
        raise BadArguments(
            f"{spec.source} [pairs] has the keys {', '.join(table)}: nobody here makes pairs of "
            f"that; write them to a file first, and name it as file"
        )
    pairs = make(table)
    if not pairs:
        raise BadData(f"{spec.source} [pairs]: not one pair was made of it")
    return _told(table), pairs


def _told(table: Mapping[str, Any]) -> str:
    """Source and names of files, without their folders."""
    paths = [Path(str(table[name])).name for name in ("corpus", _FILE) if table.get(name)]
    return " ".join(["source", str(table.get("source", "?")), *(f"of {name}" for name in paths)])
