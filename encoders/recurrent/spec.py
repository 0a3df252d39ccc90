"""What a recurrent encoder is made of, as plain values: the ``config.json`` of its folder."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from ...core import strict_json
from ...core.errors import BadArguments, BadData

POOLINGS = ("mean", "max", "last", "mean+max", "attention")
OWN = "own"
_MOST = {"layers": 1024, "width": 65_536, "dim": 65_536, "vocabulary": 2**31, "max_length": 2**31}
"""Beyond these a file is wrong or hostile, and building the model would only take the memory."""


@dataclass(frozen=True)
class RecurrentSpec:
    """A cell by its registered name, how often, how wide, and how its outputs become a vector.

    ``vocabulary`` is the number of token ids; ``width`` a multiple of 8. ``dim`` is the vector's
    length, ``width`` when not given. ``feed_forward`` is the inner width of the feed-forward half
    of a layer as a multiple of ``width``; 0 leaves it out. ``pooling`` is one of POOLINGS, or
    "own" for a whole-body cell, which needs no layers of ours (``layers`` is then 1).
    ``max_length`` in tokens, no special ones are added; 0 never cuts. ``space`` is the fingerprint
    of the teacher's space, "" when the encoder has its own. Raises BadArguments.
    """

    kind: ClassVar[str] = "recurrent"

    cell: str
    vocabulary: int
    layers: int = 1
    width: int = 64
    dim: int = 0
    bidirectional: bool = True
    feed_forward: float = 0.0
    pooling: str = "mean"
    max_length: int = 512
    passage_prefix: str = ""
    query_prefix: str = ""
    space: str = ""
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        if self.dim == 0:
            object.__setattr__(self, "dim", self.width)
        object.__setattr__(self, "feed_forward", float(self.feed_forward))
        self._check()

    @property
    def title(self) -> str:
        return f"recurrent {self.cell}"

    def _check(self) -> None:
        if not self.cell:
            raise BadArguments("the cell has no name; any of tamis.cells will do")
        for name, most in _MOST.items():
            value = getattr(self, name)
            least = 0 if name == "max_length" else 1
            if not least <= value <= most:
                raise BadArguments(f"{name} is {value}, expected {least} to {most}")
        if self.width % 8:
            raise BadArguments(f"width is {self.width}, expected a multiple of 8")
        if not (math.isfinite(self.feed_forward) and 0 <= self.feed_forward <= 64):
            raise BadArguments(f"feed_forward is {self.feed_forward}, expected 0 (none) to 64")
        if self.pooling not in (*POOLINGS, OWN):
            raise BadArguments(
                f"no pooling is called {self.pooling!r}; known: {', '.join(POOLINGS)}, and "
                f"{OWN} for a cell that pools itself"
            )
        if self.similarity != "cosine":
            raise BadArguments(f"similarity is {self.similarity!r}, expected cosine")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, body: object, source: str) -> RecurrentSpec:
        """What ``to_json`` wrote, and nothing else: BadData names the key and its value."""
        if isinstance(body, dict):
            if body.get("kind") != cls.kind:
                raise BadData(f"{source}: 'kind' is {body.get('kind')!r}, expected {cls.kind!r}")
            body = {key: value for key, value in body.items() if key != "kind"}
        return strict_json.from_json(cls, body, source)

    def cut_at(self, max_length: int) -> RecurrentSpec:
        return replace(self, max_length=max_length)
