"""Which tokens meet which, and what is forgotten between them: what every twin computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["both", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs (t, s) of one segment of which s reaches t; t itself counts once, undecayed.

    What s wrote fades by the log decays of all tokens strictly between s and t and of one end:
    the later token, the earlier one, or neither.
    """

    past: bool
    future: bool
    end: Literal["later", "earlier", "neither"]

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """The passes over time that make these pairs; only the first may hold the diagonal."""
        found = []
        if self.past:
            found.append(Sweep(False, "read decay write" if self.end == "neither" else INCLUSIVE))
        if self.future:
            order: Order = {
                "earlier": INCLUSIVE,
                "later": "read write decay",
                "neither": "read decay write",
            }[self.end]
            found.append(Sweep(True, order))
        return tuple(found)


Order: TypeAlias = Literal["decay write read", "read decay write", "read write decay"]
INCLUSIVE: Order = "decay write read"


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over time: what each token does to the state, and in which order.

    Who writes before reading meets itself; "decay" is always by the token's own gate.
    """

    reverse: bool
    order: Order


def pairs_of(direction: Direction, *, bonus: bool) -> Pairs:
    """Of the two directions together the decay of token t stands between t - 1 and t."""
    past, future = direction != "backward", direction != "forward"
    if bonus:
        return Pairs(past, future, "neither")
    return Pairs(past, future, "earlier" if direction == "backward" else "later")
