"""The curve of pruning: points by hand, the rule of the largest share, random's spread."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.core.errors import BadData
from tamis.eval.equivalence import equivalence
from tamis.eval.pruning_curve import (
    Curve,
    Estimate,
    Point,
    Samples,
    Settings,
    curves_of,
    spreads,
    verdicts,
)

SHARES = (0.1, 0.2, 0.3)
SETTINGS = Settings(shares=SHARES, measures=("nDCG@10", "R@100"))
RNG = np.random.default_rng(0)
UNPRUNED = RNG.uniform(0.4, 0.9, (2, 60))


def sampled(quality: str, drops: list[float], *, seed: int | None = None) -> Samples:
    """Every query loses about ``drop``; R@100 twice as much."""
    noise = RNG.normal(0, 0.01, (len(drops), 2, 60))
    loss = np.array(drops)[:, None, None] * np.array([1, 2])[None, :, None]
    kind = "random" if seed is not None else "model"
    values = UNPRUNED[None] - loss + noise
    return Samples(quality, kind, "dense", [90, 80, 70], values, seed)


def test_a_point_says_what_the_test_says_and_shades_the_difference() -> None:
    sample = sampled("itn", [0.0, 0.01, 0.2])
    (curve,) = curves_of([sample], {"dense": UNPRUNED}, SETTINGS)
    point = curve.points[1]
    assert (point.share, point.kept) == (0.2, 80)
    found = point.estimates["R@100"]
    assert found.test == equivalence(sample.values[1, 1], UNPRUNED[1])
    assert found.value == pytest.approx(sample.values[1, 1].mean())
    assert found.relative == pytest.approx(found.value / UNPRUNED[1].mean() - 1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.02, "of the difference, not of the mean: that one is wide"
    assert curve.unpruned == pytest.approx(
        {"nDCG@10": UNPRUNED[0].mean(), "R@100": UNPRUNED[1].mean()}
    )


def test_no_difference_is_a_band_without_width() -> None:
    same = Samples("itn", "model", "dense", [9, 9, 9], np.stack([UNPRUNED] * 3))
    (curve,) = curves_of([same], {"dense": UNPRUNED}, SETTINGS)
    found = curve.points[0].estimates["nDCG@10"]
    assert found.low == found.high == pytest.approx(found.value)
    assert found.shows("equivalence")


def test_a_share_that_passes_after_one_that_failed_does_not_count() -> None:
    curve = hand(0.02, 0.08, 0.01)
    held = curve.largest("nDCG@10", "equivalence")
    failed = curve.first_failure("nDCG@10", "equivalence")
    assert held is not None
    assert failed is not None
    assert (held.share, failed.share) == (0.1, 0.2)
    assert hand(0.08, 0.01, 0.01).largest("nDCG@10", "equivalence") is None
    whole = hand(0.01, 0.01, 0.01)
    assert whole.largest("nDCG@10", "equivalence") is whole.points[-1]
    assert whole.first_failure("nDCG@10", "equivalence") is None


def test_better_is_not_inferior_and_not_equivalent() -> None:
    better = hand(-0.2, -0.2, -0.2)
    assert better.largest("nDCG@10", "equivalence") is None
    assert better.largest("nDCG@10", "non-inferiority") is better.points[-1]
    told = {verdict.claim: verdict for verdict in verdicts([better], "nDCG@10")}
    assert (told["equivalence"].share, told["non-inferiority"].share) == (0.0, 0.3)
    assert told["equivalence"].values["nDCG@10"] == 0.6, "nothing pruned: the unpruned mean"
    assert told["non-inferiority"].relative["nDCG@10"] == pytest.approx(0.2)


def test_random_is_the_mean_over_its_seeds() -> None:
    curves = [hand(*drops, seed=n) for n, drops in enumerate([(0, 0, 0), (0, 0.2, 0), (0.2, 0, 0)])]
    equivalent, _ = verdicts(curves, "nDCG@10")
    assert equivalent.seeds == (0.3, 0.1, 0.0)
    assert equivalent.share == pytest.approx(0.4 / 3)
    assert equivalent.failure is None
    (first, second, _) = spreads(curves)
    assert first.means["nDCG@10"] == pytest.approx(0.6 * (1 + 1 + 0.8) / 3)
    assert (first.lows["nDCG@10"], first.highs["nDCG@10"]) == pytest.approx((0.48, 0.6))
    assert second.lows["nDCG@10"] == pytest.approx(0.48)
    assert spreads([]) == []


def test_random_curves_carry_no_band() -> None:
    (curve,) = curves_of([sampled("random", [0, 0, 0], seed=3)], {"dense": UNPRUNED}, SETTINGS)
    assert curve.seed == 3
    assert curve.points[0].estimates["nDCG@10"].low is None


def test_a_pipeline_that_finds_nothing_has_no_margin() -> None:
    nothing = np.zeros((2, 60))
    sample = Samples("itn", "model", "dense", [9, 9, 9], np.stack([nothing] * 3))
    with pytest.raises(BadData, match="no margin can be a share of it"):
        curves_of([sample], {"dense": nothing}, SETTINGS)


def hand(*losses: float, seed: int | None = None) -> Curve:
    """A curve from .6 on; each loss is a share of it, with hardly any noise."""
    base = np.full(40, 0.6) + np.tile([-1e-3, 1e-3], 20)
    points = []
    for share, loss in zip(SHARES, losses, strict=True):
        values = base * (1 - loss) + np.repeat([-1e-3, 1e-3], 20)
        estimate = Estimate(float(values.mean()), None, None, equivalence(values, base))
        points.append(Point(share, 0, {"nDCG@10": estimate}))
    kind = "random" if seed is not None else "model"
    return Curve("q", kind, "dense", {"nDCG@10": 0.6}, points, seed)
