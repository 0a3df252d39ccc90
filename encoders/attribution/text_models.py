"""Folded students and recurrent encoders, opened for attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...kernels.packing import pack_lengths
from ..folded.encoder import FoldedEncoder
from ..folded.model import FoldedModel
from ..recurrent.model import RecurrentModel
from .token_inputs import TokenInputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ...core.protocols import Role
    from ..recurrent.encoder import RecurrentEncoder
    from ..recurrent.text_model import TextModel
    from ..word_pieces import WordPieces


class TextModelTokens:
    """A token begins as its row of the token table.

    A text that says nothing is rows of zeros to a folded student, whose weight of a word piece
    stays what it is along the walk. Other recurrent encoders normalise what they read, so that at
    zero their vectors jump: there it is the row of piece 0 again and again, which is the padding
    in BERT's vocabularies.
    """

    cosine = True

    def __init__(self, encoder: FoldedEncoder | RecurrentEncoder) -> None:
        self._model: TextModel
        if isinstance(encoder, FoldedEncoder):
            self._model = FoldedModel.of(encoder.spec, encoder.weights).eval()
        else:
            self._model = encoder.model
        self._pieces: WordPieces = encoder.pieces
        self._card = encoder.card

    def read(self, text: str, role: Role) -> TokenInputs:
        prefix = self._card.query_prefix if role == "query" else self._card.passage_prefix
        packed = self._pieces.pack([text], prefix, self._card.max_length)
        device = next(self._model.parameters()).device
        ids = torch.from_numpy(packed.ids).long().to(device)
        tokens = tuple(self._pieces.written(packed.ids))
        return TokenInputs(tokens, *self._inputs(ids))

    def _inputs(self, ids: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Inputs, reference, and what pools them."""
        model = self._model
        if isinstance(model, FoldedModel):
            weights = model.weight.detach()[ids]

            def folded(inputs: Tensor) -> Tensor:
                packed = pack_lengths([inputs.shape[1]] * len(inputs), inputs.device)
                flat = inputs.flatten(0, 1)
                place = torch.arange(len(flat), device=inputs.device)
                repeated = weights.repeat(len(inputs))
                return model.means_of(flat, repeated, place, packed, packed)

            inputs = model.embedding.detach()[ids]
            return inputs, torch.zeros_like(inputs), folded
        assert isinstance(model, RecurrentModel), "there are two kinds"

        def recurrent(inputs: Tensor) -> Tensor:
            packed = pack_lengths([inputs.shape[1]] * len(inputs), inputs.device)
            return model.pooled(inputs.flatten(0, 1), packed)

        table = model.embedding.weight.detach()
        return table[ids], table[:1].expand(len(ids), -1), recurrent
