"""Choices that look random and depend on a seed and on what they are made for, on nothing else.

A passage's weak pairs, questions and negatives then stay what they are when other passages are
added, left out or worked on first, on every machine and with every version of numpy.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")


def draw(seed: int, *about: str | int) -> float:
    """A number of [0, 1), even over seeds and over what it is about."""
    said = repr((seed, *about)).encode("utf-8", "backslashreplace")
    return (int.from_bytes(blake2b(said, digest_size=8).digest(), "little") >> 11) / 2**53


def choose(items: Sequence[Item], seed: int, *about: str | int) -> Item:
    """One of the items, each as likely; there must be one."""
    return items[int(draw(seed, *about) * len(items))]


def sample(items: Sequence[Item], n: int, seed: int, *about: str | int) -> list[Item]:
    """n different places of ``items`` (all of them where there are fewer), in their order."""
    if n >= len(items):
        return list(items)
    places = sorted(range(len(items)), key=lambda place: draw(seed, *about, place))[:n]
    return [items[place] for place in sorted(places)]
