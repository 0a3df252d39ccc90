"""A comparison that was made: all numbers, before anything is put on paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ....eval.comparison import Comparison
    from ....eval.equivalence import Equivalence
    from .budget import Choice
    from .examples import Example
    from .spec import CompareSpec, SystemSpec
    from .splits import Split
    from .worker import Costs


@dataclass(frozen=True)
class Measured:
    """One system's costs: None for a run file, whose making nobody here has seen.

    ``index_bytes`` by part, those that the system reads; ``model_bytes`` by model, None where its
    files are not known. ``reused``: nothing was run again.
    """

    spec: SystemSpec
    costs: Costs | None
    index_bytes: Mapping[str, int]
    model_bytes: Mapping[str, int | None]
    reused: bool

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Compared:
    """Systems on one test split. All by system is keyed by its name.

    ``equivalences``: system -> measure, where they were asked for; ``examples``: the queries that
    differ most from the baseline, wins first. ``choice``: how depths were chosen for a latency
    budget, where one was given.
    """

    spec: CompareSpec
    test: Split
    systems: Sequence[Measured]
    comparison: Comparison
    equivalences: Mapping[str, Mapping[str, Equivalence]]
    examples: Mapping[str, Sequence[Example]]
    passages: int
    machine: str
    command: str
    versions: Mapping[str, str]
    warnings: Sequence[str]
    choice: Choice | None = None

    def write(self, folder: Path | str) -> list[Path]:
        """``write_comparison``: report.html, report.md, report.json and figures."""
        from .writing import write_comparison

        return write_comparison(self, folder)

    @property
    def measures(self) -> list[str]:
        """Their canonical names, in the order asked for."""
        return list(self.comparison.evaluations[self.spec.baseline].values)

    @property
    def others(self) -> list[Measured]:
        """All but the baseline."""
        return [system for system in self.systems if system.name != self.spec.baseline]

    @property
    def frontier(self) -> list[str]:
        """The systems that no other beats in both quality and milliseconds, the fastest first."""
        first, best = self.measures[0], float("-inf")
        timed = [each for each in self.systems if each.costs is not None]
        value = {each.name: self.comparison.evaluations[each.name].value(first) for each in timed}
        found = []
        for each in sorted(timed, key=lambda s: (s.costs.p50_ms, -value[s.name])):  # type: ignore[union-attr]
            if value[each.name] > best:
                best = value[each.name]
                found.append(each.name)
        return found
