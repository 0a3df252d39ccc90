"""Which folders hold a hypencoder: by the key "kind" of ``config.json``. Imports no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
KIND = "hypencoder"


def is_hypencoder(folder: Path) -> bool:
    """Whether a folder holds what ``folder.save`` wrote."""
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(settings, dict) and settings.get("kind") == KIND
