"""What a folded student is, beside its weights: the content of its ``config.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ...core.errors import BadArguments
from ...core.strict_json import from_json

_RANGES = {
    "layers": (0, 1024),
    "width": (0, 65_536),
    "rank": (1, 65_536),
    "dim": (32, 65_536),
    "vocabulary": (1, 2**31),
    "max_length": (0, 2**31),
}
"""Beyond these a file is wrong or hostile, and reading on would only take the memory."""


@dataclass(frozen=True, slots=True)
class FoldedSpec:
    """Shapes and meaning of a folded student. BadArguments when they do not fit together.

    width: channels of both directions, a multiple of 32 (0 exactly when there are no layers: a
    static encoder); rank: of the token table; dim: of the vectors, a multiple of 32.
    max_length: tokens that are read, 0 for all; special tokens are never added.
    space: fingerprint of the teacher's space, empty for a space of its own.
    """

    layers: int
    width: int
    rank: int
    dim: int
    vocabulary: int
    max_length: int = 512
    passage_prefix: str = ""
    query_prefix: str = ""
    space: str = ""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise BadArguments(
                    f"{name} of a folded student is {value}, expected {least} to {most}"
                )
        if self.width % 32 or self.dim % 32:
            raise BadArguments(
                f"width and dim of a folded student are multiples of 32, "
                f"not {self.width} and {self.dim}"
            )
        if bool(self.layers) != bool(self.width):
            raise BadArguments(f"{self.layers} layers of width {self.width}: one of them is zero")

    @property
    def kind(self) -> str:
        return "folded"

    @property
    def title(self) -> str:
        if not self.layers:
            return "static"
        return f"folded minGRU, {self.layers} layer{'s' if self.layers > 1 else ''}"

    @property
    def pooling(self) -> str:
        return "mean"

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, body: object, source: str) -> FoldedSpec:
        """BadData names the source, the key and the value that is wrong."""
        if isinstance(body, dict):
            body = {key: value for key, value in body.items() if key != "kind"}
        return from_json(cls, body, source)

    def cut_at(self, max_length: int) -> FoldedSpec:
        """The same with another maximum length."""
        return replace(self, max_length=max_length)
