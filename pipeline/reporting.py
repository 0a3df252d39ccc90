"""What a check found: errors and warnings with counts, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..core.corpus import Flaw

EXAMPLES = 5
"""Places named for each finding when it is printed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing: how often it was found, what it means, and some of the places."""

    kind: str
    count: int
    message: str = ""
    places: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """Everything found about one target; ``facts`` say what was looked at (counts, format)."""

    target: str
    facts: dict[str, str | int] = field(default_factory=dict)
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong; warnings do not count."""
        return not self.errors

    def to_json(self) -> dict[str, object]:
        """The report as JSON values: target, ok, facts, errors, warnings."""
        return {
            "target": self.target,
            "ok": self.ok,
            "facts": dict(self.facts),
            "errors": [_json(finding) for finding in self.errors],
            "warnings": [_json(finding) for finding in self.warnings],
        }

    def lines(self) -> list[str]:
        """The report for people: facts, then errors, then warnings, then the verdict."""
        printed = [
            self.target,
            *(f"  {name}: {_number(fact)}" for name, fact in self.facts.items()),
        ]
        for severity, findings in (("error", self.errors), ("warning", self.warnings)):
            for finding in findings:
                printed += _lines(severity, finding)
        printed.append("ok" if self.ok else "not ok")
        return [printable(line) for line in printed]


def findings(counts: Mapping[str, int], kept: Iterable[Flaw]) -> list[Finding]:
    """One finding per kind of flaw, most frequent first, with all the places that were kept."""
    places: dict[str, list[str]] = {}
    for flaw in kept:
        places.setdefault(flaw.kind, []).append(f"{flaw.where}: {flaw.message}")
    return [
        Finding(kind, count, places=tuple(places.get(kind, ())))
        for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _json(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "count": finding.count,
        "message": finding.message,
        "places": list(finding.places),
    }


def _lines(severity: str, finding: Finding) -> Iterator[str]:
    told = f" ({finding.message})" if finding.message else ""
    yield f"{severity}: {finding.kind}: {finding.count:,}{told}"
    for place in finding.places[:EXAMPLES]:
        yield f"    {place}"
    if finding.count > EXAMPLES and finding.places:
        yield f"    and {finding.count - EXAMPLES:,} more"


def printable(line: str) -> str:
    """Text that a terminal shows as it is: control signs and half surrogates become escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)


def _number(fact: str | int) -> str:
    return f"{fact:,}" if isinstance(fact, int) else fact


SHOWN = 80
"""Characters of a passage in a list of samples."""


def beginning(text: str) -> str:
    """Of a passage, on one line."""
    words = " ".join(text[: 4 * SHOWN].split())
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 1]}…"
