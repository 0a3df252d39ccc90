"""What pruning costs: a measure against the share pruned, and how far it may be called free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from .equivalence import ALPHA, MARGIN, Equivalence, equivalence
from .intervals import bootstrap_intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..core.records import Float64Array

Claim: TypeAlias = Literal["equivalence", "non-inferiority"]
CLAIMS: tuple[Claim, ...] = ("equivalence", "non-inferiority")


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measure at one share. ``value`` is the mean over queries.

    ``low`` and ``high``: the unpruned mean plus the 95 % bootstrap interval of the paired
    difference, so that what is shaded is what the tests look at; None where it was not asked for.
    """

    value: float
    low: float | None
    high: float | None
    test: Equivalence

    @property
    def relative(self) -> float:
        """The difference to the unpruned mean, as a share of it."""
        return self.test.delta / self.test.baseline_mean

    def shows(self, claim: Claim) -> bool:
        return self.test.equivalent if claim == "equivalence" else self.test.not_inferior


@dataclass(frozen=True, slots=True)
class Point:
    """One share of the passages pruned: how many were kept, and each measure by its name."""

    share: float
    kept: int
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Curve:
    """One way of pruning in one pipeline, its points by rising share.

    ``kind`` is "model", "length", "random" (then of one ``seed``) or "oracle" (which has seen the
    judgments). ``unpruned``: each measure's mean when nothing is pruned.
    """

    quality: str
    kind: str
    pipeline: str
    unpruned: Mapping[str, float]
    points: Sequence[Point]
    seed: int | None = None

    def largest(self, measure: str, claim: Claim) -> Point | None:
        """The last point up to which the claim holds without a gap; None when the first fails."""
        found = None
        for point in self.points:
            if not point.estimates[measure].shows(claim):
                break
            found = point
        return found

    def first_failure(self, measure: str, claim: Claim) -> Point | None:
        """The point at which the run of ``largest`` ends; None when every point holds."""
        failing = (p for p in self.points if not p.estimates[measure].shows(claim))
        return next(failing, None)


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of one way of pruning in one pipeline: [shares, measures, queries]."""

    quality: str
    kind: str
    pipeline: str
    kept: Sequence[int]
    values: Float64Array
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The largest share that may be pruned: with every smaller one tested, it passes.

    ``share`` is a mean over ``seeds``, which holds the share of each where pruning is random. At
    each one's own share: ``values`` and ``relative`` (to unpruned), means over seeds; 0 pruned
    counts as it is. ``failure`` is the point where it ends, where there is one curve alone.
    """

    quality: str
    kind: str
    pipeline: str
    claim: Claim
    share: float
    values: Mapping[str, float]
    relative: Mapping[str, float]
    seeds: Sequence[float] = ()
    largest: Point | None = None
    failure: Point | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Random pruning at one share: mean, lowest and highest over the seeds, by measure."""

    share: float
    means: Mapping[str, float]
    lows: Mapping[str, float]
    highs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """The margin is a share of the unpruned mean."""

    margin: float = MARGIN
    alpha: float = ALPHA
    seed: int = 0
    shares: Sequence[float] = field(default_factory=tuple)
    measures: Sequence[str] = field(default_factory=tuple)


def curves_of(
    samples: Sequence[Samples], unpruned: Mapping[str, Float64Array], settings: Settings
) -> list[Curve]:
    """Every sample as a curve, tested against its pipeline unpruned.

    unpruned: pipeline -> [measures, queries]. Random curves carry no bands: their seeds are their
    spread. Raises what ``equivalence`` does, BadData where a pipeline finds nothing unpruned.
    """
    return [_curve(each, unpruned[each.pipeline], settings) for each in samples]


def verdicts(curves: Sequence[Curve], measure: str) -> list[Verdict]:
    """For each pipeline and way of pruning both claims; all seeds of random pruning are one way."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.pipeline, curve.quality), []).append(curve)
    return [_verdict(group, measure, claim) for group in groups.values() for claim in CLAIMS]


def spreads(curves: Sequence[Curve]) -> list[Spread]:
    """Random curves of one pipeline, share by share; no curve, no spread."""
    found = []
    for points in zip(*(curve.points for curve in curves), strict=True):
        by_measure = {
            name: [point.estimates[name].value for point in points] for name in points[0].estimates
        }
        found.append(
            Spread(
                points[0].share,
                _each(by_measure, np.mean),
                _each(by_measure, np.min),
                _each(by_measure, np.max),
            )
        )
    return found


def _curve(sample: Samples, unpruned: Float64Array, settings: Settings) -> Curve:
    shares, measures, queries = sample.values.shape
    differences = (sample.values - unpruned).reshape(shares * measures, queries)
    bands: list[tuple[float | None, float | None]] = [(None, None)] * len(differences)
    if sample.kind != "random":
        bands = _bands(differences, settings.seed)
    points = []
    for place, (share, kept) in enumerate(zip(settings.shares, sample.kept, strict=True)):
        estimates = {}
        for number, name in enumerate(settings.measures):
            test = equivalence(
                sample.values[place, number],
                unpruned[number],
                margin=settings.margin,
                alpha=settings.alpha,
            )
            low, high = bands[place * measures + number]
            mean = test.baseline_mean
            estimates[name] = Estimate(
                value=float(sample.values[place, number].mean()),
                low=None if low is None else mean + low,
                high=None if high is None else mean + high,
                test=test,
            )
        points.append(Point(share, kept, estimates))
    means = dict(zip(settings.measures, unpruned.mean(axis=1).tolist(), strict=True))
    return Curve(sample.quality, sample.kind, sample.pipeline, means, points, sample.seed)


def _bands(differences: Float64Array, seed: int) -> list[tuple[float | None, float | None]]:
    """Where all queries differ alike, resampling cannot vary and the band has no width."""
    found: list[tuple[float | None, float | None]] = []
    intervals = bootstrap_intervals(differences, seed=seed)
    for row, interval in zip(differences, intervals, strict=True):
        if interval.low is None and len(row) > 1:
            found.append((float(row.mean()), float(row.mean())))
        else:
            found.append((interval.low, interval.high))
    return found


def _verdict(curves: Sequence[Curve], measure: str, claim: Claim) -> Verdict:
    first = curves[0]
    largest = [curve.largest(measure, claim) for curve in curves]
    shares = [point.share if point else 0.0 for point in largest]
    values = {
        name: float(np.mean([point.estimates[name].value if point else mean for point in largest]))
        for name, mean in first.unpruned.items()
    }
    relative = {name: value / first.unpruned[name] - 1 for name, value in values.items()}
    alone = len(curves) == 1
    return Verdict(
        quality=first.quality,
        kind=first.kind,
        pipeline=first.pipeline,
        claim=claim,
        share=float(np.mean(shares)),
        values=values,
        relative=relative,
        seeds=() if alone else tuple(shares),
        largest=largest[0] if alone else None,
        failure=first.first_failure(measure, claim) if alone else None,
    )


def _each(
    values: Mapping[str, Sequence[float]], of: Callable[[Sequence[float]], float]
) -> dict[str, float]:
    return {name: float(of(each)) for name, each in values.items()}
