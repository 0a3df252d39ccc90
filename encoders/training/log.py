"""``training.jsonl``: one line for each group of steps and each evaluation of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


LOG = "training.jsonl"


class TrainingLog:
    """Appends; lines of steps after ``step``, which a killed run left behind, are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = [line for line in read_log(path) if line["step"] <= step]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), "utf-8")

    def write(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        line = {"step": step, "seconds": round(seconds, 1)}
        line |= {name: round(value, 6) for name, value in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines, in order; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
