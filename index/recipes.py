"""What an approximate index is made of, as a plain value: kind and parameters, no engine.

``hnsw``, ``ivf:nlist=4096,nprobe=32``: the text is what a user types after ``--ann``. Resolving a
recipe fills in what was left open, from the number of vectors and their dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isqrt
from typing import TYPE_CHECKING

from ..core.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMITS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "flat": {},
    "sq8": {},
    "hnsw": {
        "M": (2, 512),
        "efConstruction": (1, 65_536),
        "efSearch": (1, 65_536),
        "threads": (1, 1_024),
    },
    "ivf": {"nlist": (1, 1 << 24), "nprobe": (1, 1 << 24)},
    "ivfpq": {"nlist": (1, 1 << 24), "nprobe": (1, 1 << 24), "m": (1, 4_096), "bits": (4, 8)},
}
"""Kind -> parameter -> least and greatest value. ``flat`` is exact; ``sq8`` has a byte a number."""

POINTS_PER_CENTROID = 39
"""Fewer training points a centroid and FAISS warns that its k-means is not to be trusted."""


@dataclass(frozen=True, slots=True)
class AnnRecipe:
    """A kind of index and the parameters somebody chose; the rest is open until ``resolved``."""

    kind: str
    parameters: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        chosen = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.kind}:{chosen}" if chosen else self.kind

    @property
    def reproducible(self) -> bool:
        """False where the same vectors may give other bytes: HNSW inserted by several threads."""
        return self.parameters.get("threads", 1) == 1

    def resolved(self, n: int, dim: int) -> AnnRecipe:
        """The recipe with every parameter filled in for n vectors of ``dim`` numbers.

        A small corpus gets few lists, down to one, which is exact search; ``nprobe`` never exceeds
        the number of lists. BadArguments where what was asked for cannot be had from n vectors:
        more lists than n / 39, ``ivfpq`` below 624 vectors, an ``m`` that does not divide ``dim``.
        """
        if self.kind == "hnsw":
            return AnnRecipe("hnsw", _hnsw(self.parameters, n))
        if self.kind == "ivf":
            return AnnRecipe("ivf", _ivf(self.parameters, n))
        if self.kind == "ivfpq":
            bits = _bits(self.parameters, n)
            pieces = {"m": _pieces(self.parameters, dim), "bits": bits}
            return AnnRecipe("ivfpq", _ivf(self.parameters, n) | pieces)
        return self

    def to_json(self) -> dict[str, str | int | bool]:
        """For the manifest: kind, every parameter, and whether a rebuild gives the same bytes."""
        return {"kind": self.kind, **self.parameters, "reproducible": self.reproducible}


def parse_recipe(text: str) -> AnnRecipe:
    """``flat | sq8 | hnsw | ivf | ivfpq``, then perhaps a colon and ``name=value`` with commas.

    BadArguments lists the right kinds, the right names or the right range.
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in LIMITS:
        raise BadArguments(f"no kind of index is called {kind!r}; known: {', '.join(LIMITS)}")
    chosen: dict[str, int] = {}
    for setting in filter(None, (part.strip() for part in rest.split(","))):
        name, _, value = (part.strip() for part in setting.partition("="))
        if name in chosen:
            raise BadArguments(f"{name} is set twice in {text!r}; once is enough")
        chosen[name] = _checked(kind, name, value)
    return AnnRecipe(kind, chosen)


def _checked(kind: str, name: str, value: str) -> int:
    limits = LIMITS[kind]
    if name not in limits:
        known = ", ".join(limits) or "none"
        raise BadArguments(f"{kind} has no parameter {name!r}; known: {known}")
    low, high = limits[name]
    if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
        raise BadArguments(
            f"{kind}:{name} is {value!r}; it must be a whole number from {low} to {high}"
        )
    return int(value)


def _hnsw(chosen: Mapping[str, int], n: int) -> dict[str, int]:
    """Effort that grows with the corpus.

    Measured on MiniLM vectors of English passages and real questions: recall at 100 reaches 0.95
    with efSearch 104 at 10,000 passages and 120 at 20,000; 24 more for each doubling beyond
    32,768 is an extrapolation, which the recall in the manifest confirms or not.
    """
    effort = 128 + 24 * max(0, n.bit_length() - 15)
    defaults = {"M": 32, "efConstruction": 200, "efSearch": effort, "threads": 1}
    return defaults | dict(chosen)


def _ivf(chosen: Mapping[str, int], n: int) -> dict[str, int]:
    """About 4 sqrt(n) lists, as the FAISS guidelines advise, each with enough training points.

    7 sqrt(nlist) of them are searched: on MiniLM vectors of 2,500 to 20,000 English passages, real
    questions needed 5.5, 6.4, 7.0 and 6.5 times sqrt(nlist) for a recall of 0.95 at 100.
    """
    most = max(1, n // POINTS_PER_CENTROID)
    nlist = chosen.get("nlist", min(4 * isqrt(n), most) or 1)
    if nlist > most:
        raise BadArguments(
            f"nlist={nlist} needs {nlist * POINTS_PER_CENTROID} vectors "
            f"({POINTS_PER_CENTROID} a list) and there are {n}; at most nlist={most}, "
            f"or leave nlist out"
        )
    nprobe = chosen.get("nprobe", isqrt(49 * nlist))
    return {"nlist": nlist, "nprobe": min(nprobe, nlist)}


def _bits(chosen: Mapping[str, int], n: int) -> int:
    """8 bits (256 centroids a piece) where the vectors can train them, else as many as they can."""
    most = min(8, (n // POINTS_PER_CENTROID).bit_length() - 1)
    if most < LIMITS["ivfpq"]["bits"][0]:
        raise BadArguments(
            f"ivfpq needs at least {POINTS_PER_CENTROID * 16} vectors to learn its codes "
            f"and there are {n}; use flat, which is exact and small enough here"
        )
    bits = chosen.get("bits", most)
    if bits > most:
        raise BadArguments(
            f"bits={bits} needs {POINTS_PER_CENTROID << bits} vectors and there are {n}; "
            f"at most bits={most}, or leave bits out"
        )
    return bits


def _pieces(chosen: Mapping[str, int], dim: int) -> int:
    """How many pieces a vector is cut into: of 4 numbers each, or the next length that fits."""
    if "m" not in chosen:
        for length in (4, 5, 6, 7, 8):
            if dim % length == 0:
                return dim // length
    m = chosen.get("m", 0)
    if m < 1 or dim % m:
        fitting = ", ".join(str(k) for k in range(1, dim + 1) if dim % k == 0)
        seen = f"m={m} does not divide" if m else "no length from 4 to 8 divides"
        raise BadArguments(
            f"{seen} the dimension {dim}, as ivfpq needs; m may be one of {fitting}, "
            f"or use ivf or sq8"
        )
    return m
