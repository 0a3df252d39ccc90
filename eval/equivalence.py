"""Whether a system may be called as good as its baseline: equivalence, shown and not assumed.

A paired test that finds no difference proves nothing: it may have had too few queries. Here the
burden is turned round (two one-sided t tests, TOST: Schuirmann 1987): equivalence is what has to
be shown, and what the queries could not have shown is said beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadArguments, BadData, Mismatch

if TYPE_CHECKING:
    from ..core.records import Float64Array
    from .evaluate import Evaluation


MARGIN = 0.05
"""Of the baseline's mean, to either side."""
ALPHA = 0.05
POWER = 0.8
_ROUNDING = 1e-12
"""Differences closer than this, beside the values they come from, are one value."""
_NODES = 128


@dataclass(frozen=True, slots=True)
class Equivalence:
    """System minus baseline over the same queries, held against a margin.

    Absolute, in the measure's unit: ``delta`` (mean difference), ``sd`` (of the differences),
    ``margin``, ``low`` and ``high`` (the 1 - 2 alpha interval of the mean difference: 90 %).
    ``p_lower`` is the p value of "worse by the margin or more", ``p_upper`` of "better by the
    margin or more". ``detectable``: the smallest true difference that a two-sided paired t test at
    alpha shows with probability .8 with this many queries and this ``sd``. ``power_if_equal``: how
    probably this test shows equivalence when the true difference is 0.

    None stands for what cannot be had; ``reason`` says why, and what is odd otherwise.
    """

    queries: int
    baseline_mean: float
    delta: float
    relative_margin: float
    alpha: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p_lower: float | None = None
    p_upper: float | None = None
    detectable: float | None = None
    power_if_equal: float | None = None
    reason: str = ""

    @property
    def margin(self) -> float:
        return self.relative_margin * self.baseline_mean

    @property
    def p_equivalence(self) -> float | None:
        """The larger of the two: both one-sided tests must pass."""
        if self.p_lower is None or self.p_upper is None:
            return None
        return max(self.p_lower, self.p_upper)

    @property
    def equivalent(self) -> bool:
        """Shown to lie within the margin on both sides. False says "not shown", not "different"."""
        return self.p_equivalence is not None and self.p_equivalence < self.alpha

    @property
    def not_inferior(self) -> bool:
        """Shown to be worse by less than the margin, the one-sided question alone."""
        return self.p_lower is not None and self.p_lower < self.alpha

    @property
    def equivalence_margin(self) -> float | None:
        """The absolute margin at which equivalence would just hold; above it, it does."""
        return None if self.low is None or self.high is None else max(-self.low, self.high)

    @property
    def non_inferiority_margin(self) -> float | None:
        """The same for non-inferiority; 0 where the system is shown to be better."""
        return None if self.low is None else max(0.0, -self.low)

    @property
    def detectable_share(self) -> float | None:
        """``detectable`` as a share of the baseline's mean."""
        return None if self.detectable is None else self.detectable / self.baseline_mean

    def to_json(self) -> dict[str, Any]:
        """With the verdicts and the power that the fields imply."""
        return {
            **asdict(self),
            "margin": self.margin,
            "equivalent": self.equivalent,
            "not_inferior": self.not_inferior,
            "detectable_share": self.detectable_share,
        }


def equivalence(
    system: Float64Array, baseline: Float64Array, *, margin: float = MARGIN, alpha: float = ALPHA
) -> Equivalence:
    """Paired TOST and non-inferiority of two systems' values [queries], the same query a place.

    ``margin`` is a share of the baseline's mean over these queries, and taken as a known number.
    One query has no test. Where all queries differ by one and the same amount the difference
    counts as known (p is 0 or 1) and no statement of power can be had. Raises BadData for no query
    at all, for values that are not finite and for a baseline whose mean is not above 0; Mismatch
    for arrays of two shapes; BadArguments.
    """
    system, baseline = np.asarray(system, np.float64), np.asarray(baseline, np.float64)
    _refuse(system, baseline, margin, alpha)
    differences = system - baseline
    bare = Equivalence(
        queries=len(differences),
        baseline_mean=float(baseline.mean()),
        delta=float(differences.mean()),
        relative_margin=margin,
        alpha=alpha,
    )
    if len(differences) < 2:
        return replace(bare, reason="only one query")
    scale = max(np.abs(system).max(), np.abs(baseline).max())
    if np.ptp(differences) <= _ROUNDING * scale:
        return _constant(bare)
    return _tested(bare, float(differences.std(ddof=1)))


def equivalence_in(
    measure: str,
    system: Evaluation,
    baseline: Evaluation,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> Equivalence:
    """The same for one measure of two evaluations; Mismatch unless they judge the same queries."""
    if system.queries != baseline.queries:
        odd = sorted(set(system.queries) ^ set(baseline.queries))
        raise Mismatch(
            f"the system is judged on {len(system.queries)} queries and the baseline on "
            f"{len(baseline.queries)}, {len(odd)} of them ({', '.join(odd[:3])}, ...) on one side "
            f"only; expected the same queries: evaluate both with the same judgments"
        )
    for evaluation in (system, baseline):
        if measure not in evaluation.values:
            known = ", ".join(evaluation.values)
            raise BadArguments(f"{measure!r} was not measured; measured: {known}")
    return equivalence(system.values[measure], baseline.values[measure], margin=margin, alpha=alpha)


def detectable_effect(queries: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest mean difference, in standard deviations of the differences, that a two-sided
    paired t test shows with this power (Cohen's d_z, by the noncentral t distribution)."""
    if queries < 2:
        raise BadArguments(f"{queries} queries have no t test; expected at least 2")
    return _shown_shift(queries, alpha, power) / float(np.sqrt(queries))


def _refuse(system: Float64Array, baseline: Float64Array, margin: float, alpha: float) -> None:
    if not 0 < margin < np.inf:
        raise BadArguments(f"the margin is {margin}; expected a share above 0, such as {MARGIN}")
    if not 0 < alpha < 0.5:
        raise BadArguments(f"alpha is {alpha}; expected a number between 0 and .5, such as {ALPHA}")
    if system.shape != baseline.shape or system.ndim != 1:
        raise Mismatch(
            f"the system has values of shape {system.shape}, the baseline of {baseline.shape}; "
            f"expected one value a query in both, for the same queries"
        )
    if not len(system):
        raise BadData("no query to compare the systems on; expected at least two")
    for name, values in (("system", system), ("baseline", baseline)):
        if not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise BadData(
                f"the {name} has {values[place]} at query {place}; expected finite values"
            )
    if baseline.mean() <= 0:
        raise BadData(
            f"the baseline's mean is {baseline.mean():g}, so no margin can be a share of it; "
            f"expected a baseline that finds something"
        )


def _constant(bare: Equivalence) -> Equivalence:
    delta = bare.delta
    amount = "no query differs" if abs(delta) <= _ROUNDING else "every query differs by one amount"
    return replace(
        bare,
        sd=0.0,
        low=delta,
        high=delta,
        p_lower=float(delta <= -bare.margin),
        p_upper=float(delta >= bare.margin),
        reason=f"{amount}: without variance nothing can be said of power",
    )


def _tested(bare: Equivalence, sd: float) -> Equivalence:
    from scipy import special

    n, delta, alpha = bare.queries, bare.delta, bare.alpha
    error = sd / float(np.sqrt(n))
    half = float(special.stdtrit(n - 1, 1 - alpha)) * error
    return replace(
        bare,
        sd=sd,
        low=delta - half,
        high=delta + half,
        p_lower=float(special.stdtr(n - 1, -(delta + bare.margin) / error)),
        p_upper=float(special.stdtr(n - 1, (delta - bare.margin) / error)),
        detectable=_shown_shift(n, alpha, POWER) * error,
        power_if_equal=_power_if_equal(n, bare.margin / error, alpha),
    )


@cache
def _shown_shift(n: int, alpha: float, power: float) -> float:
    """The true difference, in standard errors of the mean difference, shown with this power."""
    from scipy import optimize, special

    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    errors, chances = _observed_errors(n - 1, np.inf)

    def lacking(shift: float) -> float:
        """The noncentral t's two tails: scipy's own is NaN for few queries (SciPy 1.17)."""
        tails = special.ndtr(shift - critical * errors) + special.ndtr(-shift - critical * errors)
        return float(chances @ tails) - power

    top = 2.0
    while lacking(top) < 0:
        top *= 2
    return float(optimize.brentq(lacking, 0.0, top, xtol=1e-9))


def _power_if_equal(n: int, margin: float, alpha: float) -> float:
    """Probability that TOST passes at a true difference of 0; ``margin`` in standard errors.

    It passes when the observed difference lies within margin - t * observed error.
    """
    from scipy import special

    critical = float(special.stdtrit(n - 1, 1 - alpha))
    errors, chances = _observed_errors(n - 1, margin / critical)  # beyond it nothing passes
    return float(chances @ (2 * special.ndtr(margin - critical * errors) - 1))


def _observed_errors(df: int, highest: float) -> tuple[Float64Array, Float64Array]:
    """Observed standard errors up to ``highest``, in true ones, and the chance of each.

    Nodes and weights by Gauss and Legendre's rule over the distribution function of a chi
    variable, which is independent of the observed difference.
    """
    from scipy import special

    last = special.chdtr(df, df * highest**2)
    nodes, weights = _legendre()
    share = last * (nodes + 1) / 2
    errors = np.sqrt(2 * special.gammaincinv(df / 2, share) / df)
    return errors, last / 2 * weights


@cache
def _legendre() -> tuple[Float64Array, Float64Array]:
    return np.polynomial.legendre.leggauss(_NODES)
