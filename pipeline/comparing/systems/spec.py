"""What is to be compared: a collection, indexes over it, systems over those, and how to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....eval.equivalence import ALPHA, MARGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
