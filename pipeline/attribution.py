"""An encoder by name, opened for the attribution of its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import BadArguments
from .components import encoder as load_encoder

if TYPE_CHECKING:
    from ..core.protocols import Encoder
    from ..encoders.attribution.siamese import Attribution
    from ..encoders.attribution.token_inputs import ReadsTokens


def explainable(encoder: str | Encoder, *, device: str = "cpu") -> ReadsTokens:
    """What ``attribute`` reads; BadArguments for an encoder that is no torch module of tokens.

    ``encoder`` is a name or path, or one that is loaded. Folded students are taken over into their
    torch form, sentence-transformers models are loaded once more, and MiniLM in numpy is as well.
    """
    from ..encoders.attribution.text_models import TextModelTokens
    from ..encoders.attribution.transformers import TransformerTokens
    from ..encoders.folded.encoder import FoldedEncoder
    from ..encoders.minilm_numpy import MiniLMNumpy
    from ..encoders.recurrent.encoder import RecurrentEncoder
    from ..encoders.transformer import TransformerEncoder

    found = load_encoder(encoder, device=device) if isinstance(encoder, str) else encoder
    if isinstance(found, MiniLMNumpy):  # the same weights, without a gradient
        found = load_encoder("minilm", device=device)
    if isinstance(found, FoldedEncoder | RecurrentEncoder):
        return TextModelTokens(found)
    if isinstance(found, TransformerEncoder):
        return TransformerTokens(found)
    raise BadArguments(
        f"{found.card.name} has no torch module to look into; expected tamis-small, tamis-tiny, "
        f"minilm, a recurrent model folder or a sentence-transformers model"
    )


def explain(
    query: str,
    passage: str,
    *,
    encoder: str | Encoder,
    query_encoder: str | Encoder | None = None,
    device: str = "cpu",
) -> Attribution:
    """The score of two texts, token by token; ``query_encoder`` where another one of the same
    space reads the query. Raises what ``explainable`` and ``attribute`` raise."""
    from ..encoders.attribution.siamese import attribute

    passages = explainable(encoder, device=device)
    queries = None if query_encoder is None else explainable(query_encoder, device=device)
    return attribute(passages, query, passage, queries=queries)
