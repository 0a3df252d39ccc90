"""What is to be compared: a collection, indexes over it, systems over those, and how to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from ....core.errors import BadArguments
from ....core.near import near
from ....eval.equivalence import ALPHA, MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ....core.errors import TamisError
    from ...cascade import Cascade

MEASURES = ("nDCG@10", "RR@10", "R@100")
SAMPLE = 100
"""Queries that are asked one at a time for their milliseconds, and together for the throughput."""

EXAMPLES = 3
"""Best wins, and as many worst losses, that are shown with their texts."""

OWN_INDEX = "main"
"""The index that a system has which names none, where the file declares none."""


@dataclass(frozen=True)
class CollectionSpec:
    """Passages by ``corpus`` (whatever a build reads) or by an ``index`` that holds them.

    ``queries`` are files that hold the queries of both splits; ``test`` and ``dev`` are files of
    judgments (dev may be missing), each the judged queries of its split.
    """

    corpus: str | None
    index: str | None
    queries: tuple[str, ...]
    test: str
    dev: str | None = None


@dataclass(frozen=True)
class IndexSpec:
    """An index that is there (``path``), or the ``options`` of the build that makes it."""

    name: str
    path: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemSpec:
    """A ``cascade`` over an ``index`` of the file, or the ``run`` file of a peer (TREC)."""

    name: str
    index: str = OWN_INDEX
    cascade: Cascade | None = None
    run: str | None = None


@dataclass(frozen=True)
class EquivalenceSpec:
    """Two one-sided tests: ``margin`` is a share of the baseline's mean, to either side."""

    margin: float = MARGIN
    alpha: float = ALPHA


@dataclass(frozen=True)
class CompareSpec:
    """One file of ``tamis compare``; ``source`` is where it lies. The first measure is the one that
    figures, examples and a latency budget look at."""

    source: Path
    collection: CollectionSpec
    indexes: Mapping[str, IndexSpec]
    systems: Sequence[SystemSpec]
    baseline: str
    measures: Sequence[str] = MEASURES
    equivalence: EquivalenceSpec | None = None
    sample: int = SAMPLE
    examples: int = EXAMPLES
    title: str = ""

    @property
    def cascades(self) -> list[SystemSpec]:
        """The systems that can be run and timed here."""
        return [system for system in self.systems if system.cascade is not None]


@dataclass(frozen=True)
class Budget:
    """Milliseconds that the ``percentile`` (p50 or p95) of the queries may take, one at a time, and
    the system whose depths are chosen for it: None for the only cascade there is."""

    milliseconds: float
    percentile: str = "p50"
    system: str | None = None

    def problems(self, spec: CompareSpec) -> Iterator[TamisError]:
        """What makes a choice impossible, whatever the rest of the file is worth."""
        if not 0 < self.milliseconds < inf:
            yield BadArguments(f"the budget is {self.milliseconds:g} ms; expected a time above 0")
        if spec.collection.dev is None:
            yield BadArguments(
                "a budget needs a dev split to choose depths on, and [collection] has no dev: give "
                "judgments of other queries than those of test"
            )
        names = [system.name for system in spec.cascades]
        told = ", ".join(names) or "none"
        if self.system is None and len(names) != 1:
            yield BadArguments(
                f"a budget is for one cascade, and the file has {len(names)} ({told}): name one "
                f"with --system"
            )
        elif self.system is not None and self.system not in names:
            hint = near(self.system, names) or ","
            yield BadArguments(f"no cascade is called {self.system!r}{hint} cascades: {told}")
        else:
            yield from self._exits(spec)

    def system_of(self, spec: CompareSpec) -> SystemSpec:
        """The one that is meant; only where there are no ``problems``."""
        return next(each for each in spec.cascades if self.system in (None, each.name))

    def _exits(self, spec: CompareSpec) -> Iterator[TamisError]:
        system = self.system_of(spec)
        if system.cascade is not None and any(stage.exit for stage in system.cascade.rerank):
            yield BadArguments(
                f"system {system.name!r} has early exits, calibrated for the depths it has: take "
                f"them out, choose depths, then run tamis calibrate"
            )
