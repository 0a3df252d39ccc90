"""Which folders hold a neural ranker: by the key "kind" of ``config.json``. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stored_model import kind_in

if TYPE_CHECKING:
    from pathlib import Path

KIND = "reranker"


def is_neural(folder: Path) -> bool:
    """Whether a folder holds a ranker that ``model_folder.save`` wrote."""
    return kind_in(folder) == KIND
