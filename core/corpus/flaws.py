"""What is wrong with one place of an input, and a tally of many such places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias

from ..errors import BadData

FlawKind: TypeAlias = Literal[
    "malformed",
    "not utf-8",
    "blank id",
    "id with space",
    "empty",
    "duplicate id",
    "duplicate text",
    "no passages",
]

KEPT = 1000
"""Flaws remembered word for word per kind; the rest are counted only."""

SHOWN = 20
"""Flaws spelled out in one error message; the rest are counted only."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with an input; ``where`` reads like "corpus.jsonl:17", lines from 1."""

    kind: FlawKind
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.message}"


@dataclass(slots=True)
class Tally:
    """Flaws counted by kind, of which the first ``KEPT`` of each kind are remembered."""

    counts: dict[str, int] = field(default_factory=dict)
    kept: list[Flaw] = field(default_factory=list)

    def add(self, flaw: Flaw) -> None:
        count = self.counts.get(flaw.kind, 0)
        self.counts[flaw.kind] = count + 1
        if count < KEPT:
            self.kept.append(flaw)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def refuse(self, source: str, expected: str) -> NoReturn:
        """Raise BadData with everything found, however many; say what was expected."""
        shown = [f"  {flaw}" for flaw in self.kept[:SHOWN]]
        if self.total > len(shown):
            shown.append(f"  and {self.total - len(shown)} more")
        found = "1 flaw" if self.total == 1 else f"{self.total} flaws"
        raise BadData(f"{source} has {found}; expected {expected}\n" + "\n".join(shown))


def shown(value: object, limit: int = 60) -> str:
    """A value as a message shows it: its repr, cut so that a broken file cannot flood a screen."""
    if isinstance(value, str | bytes):
        value = value[: limit + 1]
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
