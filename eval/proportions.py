"""A share of independent trials and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import BadArguments

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Proportion:
    """``count`` of ``trials`` went well; ``low`` and ``high`` bound the true share (Wilson, 95 %).

    Without a trial the share is 0 and the bounds are 0 and 1: nothing is known.
    """

    count: int
    trials: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.count / self.trials if self.trials else 0.0


def proportion(count: int, trials: int) -> Proportion:
    """Wilson's score interval (1927), which holds near 0 and 1 too. Trials count as independent.

    BadArguments unless 0 <= count <= trials.
    """
    if not 0 <= count <= trials:
        raise BadArguments(f"{count} of {trials} trials; expected a count from 0 to the trials")
    if not trials:
        return Proportion(0, 0, 0.0, 1.0)
    from scipy.stats import binomtest

    bounds = binomtest(count, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Proportion(count, trials, float(bounds.low), float(bounds.high))
