"""Token ids to unit vectors: an embedding, layers of a cell, a pooling, a projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...core import registry
from ...core.errors import BadArguments
from .classics.body import Body
from .spec import OWN, RecurrentSpec
from .stack import Stack
from .text_model import TextModel

if TYPE_CHECKING:
    from ...kernels.packing import Packed


class RecurrentModel(TextModel):
    """What the spec says, its weights drawn from torch's global generator.

    ``embedding`` [vocabulary, width], rows from N(0, 1); ``body`` is a ``Stack`` or a whole-body
    cell, [tokens, width] to [N, out_width]; ``projection`` to dim, without bias.
    """

    def __init__(self, spec: RecurrentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocabulary, spec.width)
        self.body = _body(spec)
        self.projection = nn.Linear(self.body.out_width, spec.dim, bias=False)

    def forward(self, ids: Tensor, packed: Packed) -> Tensor:
        """ids [tokens] int64 to [N, dim] float32 of unit length; an empty text is zero."""
        vectors = nn.functional.normalize(self.pooled(self.embedding(ids), packed), dim=-1)
        empty = (packed.cu_seqlens[1:] == packed.cu_seqlens[:-1])[:, None]
        return vectors.masked_fill(empty, 0)

    def pooled(self, embedded: Tensor, packed: Packed) -> Tensor:
        """embedded [tokens, width] to [N, dim] float32: the vectors before unit length."""
        pooled = self.body(embedded, packed)
        vectors: Tensor = self.projection(pooled.to(self.projection.weight.dtype)).float()
        return vectors


def is_whole_body(cell: str) -> bool:
    """Whether a registered cell is a whole encoder body, with layers and pooling of its own."""
    found = registry.load("cell", cell)
    return isinstance(found, type) and issubclass(found, Body)


def _body(spec: RecurrentSpec) -> Stack | Body:
    """The layers and the pooling. BadArguments where the spec asks of a cell what it has not."""
    found = registry.load("cell", spec.cell)
    if not is_whole_body(spec.cell):
        if spec.pooling == OWN:
            raise BadArguments(f"the cell {spec.cell!r} has no pooling of its own; name one")
        return Stack(spec, found)
    plain = (spec.layers, spec.pooling, spec.feed_forward, spec.bidirectional)
    if plain != (1, OWN, 0.0, True):
        raise BadArguments(
            f"{spec.cell!r} is a whole encoder body: it takes pooling {OWN!r}, layers 1, "
            f"feed_forward 0 and bidirectional, not {plain}"
        )
    body: Body = found(spec.width)
    return body
