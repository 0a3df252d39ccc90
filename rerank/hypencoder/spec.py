"""What a hypencoder is beside its weights: the ``config.json`` of its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.errors import BadArguments, BadData
from ...core.strict_json import from_json
from .kind import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class HypencoderOptions:
    """``layers`` hidden ones of ``width`` in the query's network, 0 for a single product with a
    vector made of the query; ``attention``: channels of the heads that make the weights. ``dense``:
    add the plain score of both vectors, times a learned factor, so that training begins there."""

    width: int = 64
    layers: int = 2
    attention: int = 64
    dense: bool = True

    def __post_init__(self) -> None:
        if min(self.width, self.attention) < 1 or not 0 <= self.layers <= 16:
            raise BadArguments(
                f"width {self.width}, attention {self.attention}, layers {self.layers}: expected "
                f"1 or more, and 0 to 16 layers"
            )


@dataclass(frozen=True)
class HypencoderSpec:
    """``encoder`` and its ``fingerprint`` are whose vectors of ``dim`` the network reads; at most
    ``query_pieces`` tokens of a query count. Raises BadArguments or BadData."""

    kind: ClassVar[str] = KIND

    encoder: str
    fingerprint: str
    dim: int
    query_pieces: int = 32
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dim < 1 or self.query_pieces < 1:
            raise BadArguments(
                f"dim {self.dim} and query_pieces {self.query_pieces}; expected 1 or more"
            )
        read_options(self.options, "options")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, body: object, source: str) -> HypencoderSpec:
        """What ``to_json`` wrote, and nothing else: BadData names the key and its value."""
        if not isinstance(body, dict) or body.get("kind") != cls.kind:
            raise BadData(f"{source} is no {cls.kind}'s config: {str(body)[:80]}")
        return from_json(cls, {k: v for k, v in body.items() if k != "kind"}, source)


def read_options(options: Mapping[str, Any], source: str) -> HypencoderOptions:
    """BadData names what is wrong in ``source``."""
    return from_json(HypencoderOptions, options, source)
