"""May this file be written? Asked before any work, so that a typo costs no hours and no input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_output(output: Path, inputs: Iterable[str | Path]) -> None:
    """BadArguments when ``output`` is a folder, lies in none or in an index, or is an input.

    ``inputs`` are what the command reads; an index folder among them protects all it holds.
    """
    where = Path(os.path.realpath(output))
    if where.is_dir():
        raise BadArguments(f"{output} is a folder; name a file to write")
    if not where.parent.is_dir():
        raise BadArguments(
            f"{output} cannot be written: {where.parent} is no folder; make it first"
        )
    if not os.access(where if where.exists() else where.parent, os.W_OK):
        raise BadArguments(f"{output} cannot be written: no permission; choose another place")
    for given in inputs:
        source = Path(os.path.realpath(given))
        if where == source or (source.is_dir() and source in where.parents and _index(source)):
            raise BadArguments(f"{output} would overwrite {given}, which is read; choose another")


def _index(folder: Path) -> bool:
    return (folder / "index").is_file()
