"""What somebody may have meant by a name that nobody knows."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def near(name: str, known: Iterable[str]) -> str:
    """The clause ", did you mean 'x'?" for a name close to a known one, or nothing."""
    found = get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.6)
    return f", did you mean {found[0]!r}?" if found else ""
