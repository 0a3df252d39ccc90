"""A text model's vectors of single tokens: in the text vectors' space where it pools by sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from ...core.errors import BadArguments
from ...kernels.packing import pack_lengths
from ..folded.model import FoldedModel
from .model import RecurrentModel
from .stack import Stack

if TYPE_CHECKING:
    from torch import Tensor

    from ...kernels.packing import Packed
    from .text_model import TextModel


def token_vectors(model: TextModel, ids: Tensor, packed: Packed) -> Tensor:
    """[tokens, dim], not normalised: what is pooled, with the projection applied to each token.

    A folded student's vectors have the text's as their mean (before normalising). ids [tokens]
    int64. BadArguments for a cell that is a whole encoder body and pools unseen, and for a stack
    that pools in several ways at once, whose projection no single token fits.
    """
    if isinstance(model, FoldedModel):
        alone = pack_lengths([1] * len(ids), ids.device)
        return model.run_means(ids, packed, alone)
    assert isinstance(model, RecurrentModel), "there are two kinds"
    body = model.body
    if not isinstance(body, Stack) or body.out_width != model.embedding.embedding_dim:
        raise BadArguments(
            f"{model.spec.title} gives no vectors of single tokens: it pools unseen or in several "
            f"ways; name another encoder"
        )
    states = body.states(model.embedding(ids), packed)
    return nn.functional.linear(states, model.projection.weight)
