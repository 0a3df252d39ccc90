"""How far behind a candidate may lie and still be scored: learned on a dev split, its loss bounded.

For each rerank stage thresholds are tried from the widest on, in steps fixed beforehand (shares of
the candidates scored). The stage keeps the narrowest one before the first whose loss could, at the
wanted confidence, exceed the bound. Every step runs the cascade for real: a reranker that looks at
all its candidates together gives other scores when there are fewer.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments, BadData
from ..core.near import near
from ..core.progress import Silent
from ..eval.bounded_loss import ALPHA, bounded_loss
from ..eval.evaluate import evaluate
from ..eval.measures import parse_measure
from .cascade import Cascade, stages_fingerprint
from .early_exit import DEFAULT_MARGIN, MARGINS, EarlyExit, gaps
from .stage_outputs import StageOutputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..core.progress import Advance, Progress
    from ..core.records import Float64Array, Judgments, Query
    from .opening import Index
    from .search import Run, Search

MEASURE = "nDCG@10"
LOSS = 0.01
"""Of the mean that the cascade has without exits."""

SHARES = (0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0)
"""Shares of the candidates that are still scored, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold tried before rerank ``stage`` (from 1).

    ``scored`` is the share of the stage's candidates that it left to score; ``loss`` and ``bound``
    are shares of the mean without it: what was lost on dev, and what is lost at most.
    """

    stage: int
    threshold: float
    scored: float
    loss: float
    bound: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """``cascade`` holds the thresholds found; ``mean`` is the measure's without any, on dev."""

    cascade: Cascade
    steps: list[Step]
    queries: int
    mean: float


@dataclass(frozen=True)
class Calibrator:
    """Dev ``queries`` with their ``judgments`` (others are left out), and what may be lost.

    ``loss`` is the share of the mean that all stages together may cost, with confidence
    1 - ``alpha``; both are divided equally among the stages. ``measure`` has values in 0..1.
    ``margin`` is the gap of the first rerank stage; later ones take "scaled". Never calibrate on
    the queries that you report.
    """

    index: Index
    queries: Sequence[Query]
    judgments: Judgments
    loss: float = LOSS
    alpha: float = ALPHA
    measure: str = MEASURE
    margin: str = DEFAULT_MARGIN
    device: str = "cpu"
    kept: StageOutputs | None = None

    def __post_init__(self) -> None:
        if not 0 < self.loss < 1:
            raise BadArguments(f"the loss is {self.loss}; expected a share between 0 and 1")
        if not 0 < self.alpha < 0.5:
            raise BadArguments(f"the confidence is {1 - self.alpha:g}; expected above .5, below 1")
        if self.margin not in MARGINS:
            hint = near(self.margin, MARGINS) or ","
            known = ", ".join(MARGINS)
            raise BadArguments(f"no margin is called {self.margin!r}{hint} known: {known}")
        parse_measure(self.measure)
        judged = [query for query in self.queries if self.judgments.get(query.id)]
        if not judged:
            raise BadData("none of the queries is judged; expected the queries of the judgments")
        object.__setattr__(self, "queries", judged)

    def calibrate(self, cascade: Cascade, progress: Progress | None = None) -> Calibration:
        """The same cascade with an exit before every stage that can afford one.

        Exits that it had are dropped. Raises BadArguments for a cascade that cannot run or has no
        rerank stage, and what running it raises.
        """
        if not cascade.rerank:
            raise BadArguments("the cascade has no rerank stage, so there is nothing to leave out")
        stages = tuple(replace(stage, exit=None) for stage in cascade.rerank)
        cascade = replace(cascade, rerank=stages)
        search = replace(cascade, k=None).over(self.index, device=self.device)
        with tempfile.TemporaryDirectory(prefix="tamis-calibrate-") as folder:
            work = _Work(self, search, self.kept or StageOutputs(Path(folder)))
            steps = work.all_stages(progress or Silent())
        return Calibration(self._told(cascade, work, steps), steps, len(self.queries), work.mean)

    def _told(self, cascade: Cascade, work: _Work, steps: Sequence[Step]) -> Cascade:
        """The cascade with its exits, each with how it was found."""
        for number, rule in enumerate(work.exits):
            if rule is None:
                continue
            step = [each for each in steps if each.stage == number + 1 and each.accepted][-1]
            told = {
                "measure": self.measure,
                "queries": len(self.queries),
                "scored": round(step.scored, 4),
                "loss": round(step.loss, 6),
                "loss_at_most": round(step.bound, 6),
                "confidence": round(1 - self.alpha / len(cascade.rerank), 6),
                "stages": stages_fingerprint(cascade, number),
            }
            stage = replace(cascade.rerank[number], exit=replace(rule, calibration=told))
            behind = cascade.rerank[number + 1 :]
            cascade = replace(cascade, rerank=(*cascade.rerank[:number], stage, *behind))
        return cascade


class _Work:
    """The search under calibration: its exits so far, and what it is worth without any."""

    def __init__(self, asked: Calibrator, search: Search, kept: StageOutputs) -> None:
        self._asked = asked
        self._search = search
        self._kept = kept
        self._queries = list(asked.queries)
        self.exits: list[EarlyExit | None] = [None] * len(search.rerank)
        self._whole = self._values()
        self.mean = float(self._whole.mean())
        if self.mean <= 0:
            raise BadData(f"the cascade's {asked.measure} is 0 on dev: nothing is there to lose")

    def all_stages(self, progress: Progress) -> list[Step]:
        steps: list[Step] = []
        for number, stage in enumerate(self._search.rerank):
            with progress.stage(f"calibrate {stage.name}", None) as advance:
                steps += self._stage(number, advance)
            self._whole = self._values()
        return steps

    def _stage(self, number: int, advance: Advance) -> Iterator[Step]:
        """Steps in their order until one fails; the last accepted one stays in ``exits``."""
        margin = self._asked.margin if number == 0 else "scaled"
        earlier = replace(
            self._search, rerank=self._search.rerank[:number], exits=self.exits[:number]
        )
        keep = self._search.rerank[number].keep
        before = [gaps(margin, each.top(keep)) for each in self._run(earlier)]
        settled = None
        for threshold in _thresholds(before):
            self.exits[number] = EarlyExit(threshold, margin)
            step = self._step(number, threshold, before)
            advance(len(self._queries))
            yield step
            if not step.accepted:
                break
            settled = self.exits[number]
        self.exits[number] = settled

    def _step(self, number: int, threshold: float, before: Sequence[Float64Array]) -> Step:
        asked, stages = self._asked, len(self._search.rerank)
        found = bounded_loss(self._whole, self._values(), alpha=asked.alpha / stages)
        inside = sum(int(np.count_nonzero(each <= threshold)) for each in before)
        return Step(
            stage=number + 1,
            threshold=threshold,
            scored=inside / max(sum(map(len, before)), 1),
            loss=found.loss / self.mean,
            bound=found.bound / self.mean,
            accepted=found.bound <= asked.loss / stages * self.mean,
        )

    def _values(self) -> Float64Array:
        wanted = {query.id: self._asked.judgments[query.id] for query in self._queries}
        run = self._run(replace(self._search, exits=self.exits))
        (values,) = evaluate(run.scores(), wanted, [self._asked.measure]).values.values()
        return values

    def _run(self, search: Search) -> Run:
        return search.run(self._queries, kept=self._kept)


def _thresholds(before: Sequence[Float64Array]) -> list[float]:
    """Falling, no two alike: the gap within which each share of all candidates lies."""
    everything = np.concatenate([*before, np.empty(0)])
    if not len(everything):
        return []
    found = [float(np.quantile(everything, share)) if share else -1.0 for share in SHARES]
    return list(dict.fromkeys(found))
