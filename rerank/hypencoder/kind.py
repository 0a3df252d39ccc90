"""Which folders hold a hypencoder: by the key "kind" of ``config.json``. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stored_model import kind_in

if TYPE_CHECKING:
    from pathlib import Path

KIND = "hypencoder"


def is_hypencoder(folder: Path) -> bool:
    """Whether a folder holds what ``folder.save`` wrote."""
    return kind_in(folder) == KIND
