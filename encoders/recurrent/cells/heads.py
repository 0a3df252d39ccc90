"""How wide a head is: as wide as 32 channels, where the width allows."""

from __future__ import annotations

_WIDEST = 32


def head_width(width: int, *, even: bool = False) -> int:
    """32, or the widest divisor of the width below that; an even one where halves are needed."""
    sizes = range(2 if even else 1, _WIDEST + 1, 2 if even else 1)
    return max(size for size in sizes if width % size == 0)
