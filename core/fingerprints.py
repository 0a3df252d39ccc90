"""Hashes that say whether two things are the same: of texts, of values, of whole files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BLOCK = 4 * 1024 * 1024
"""Files are hashed in blocks of 4 MiB, so that a part can be verified without the whole."""


def of_texts(texts: Iterable[str]) -> str:
    """sha256 of a sequence of texts; each is preceded by its length, so that none can merge."""
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def of_value(value: object) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def of_blocks(path: Path) -> list[str]:
    """sha256 of each 4 MiB block of a file, in order; an empty file has no block."""
    with path.open("rb") as file:
        return [hashlib.sha256(block).hexdigest() for block in iter(lambda: file.read(BLOCK), b"")]


def of_file(path: Path) -> str:
    """sha256 of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
