"""Sentence-transformers models, opened for attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...core.errors import BadArguments
from .token_inputs import TokenInputs

if TYPE_CHECKING:
    from torch import Tensor

    from ...core.protocols import Role
    from ..transformer import TransformerEncoder


class TransformerTokens:
    """A token begins as its word embedding, before place and normalisation are added.

    In a text that says nothing every token is the padding token, though looked at, and the special
    tokens are themselves. BadArguments for a model without a plain transformer with a fast
    tokenizer.
    """

    def __init__(self, encoder: TransformerEncoder) -> None:
        if not encoder.reads_plainly:
            raise BadArguments(
                f"{encoder.card.name} has no plain transformer with a fast tokenizer, so its "
                f"tokens cannot be told apart; name another encoder"
            )
        self._encoder = encoder
        self.cosine = encoder.card.similarity == "cosine"
        model = encoder.unpacked()
        model.requires_grad_(False)
        self._modules = [part for part in model if type(part).__name__ != "Normalize"]
        self._words = model[0].auto_model.get_input_embeddings()
        self._given: Tensor | None = None
        self._words.register_forward_hook(self._replaced)

    def read(self, text: str, role: Role) -> TokenInputs:
        encoding = self._encoder.tokenized(text, role)
        weight = self._words.weight
        ids = torch.tensor(encoding.ids, device=weight.device)
        special = torch.tensor(encoding.special_tokens_mask, device=weight.device).bool()
        inputs = weight[ids].detach()
        silent = weight[self._encoder.padding].detach()
        reference = torch.where(special[:, None], inputs, silent)

        def pooled(vectors: Tensor) -> Tensor:
            return self._pooled(vectors, ids)

        return TokenInputs(tuple(encoding.tokens), inputs, reference, pooled)

    def _pooled(self, vectors: Tensor, ids: Tensor) -> Tensor:
        features: dict[str, Any] = {
            "input_ids": ids.repeat(len(vectors), 1),
            "attention_mask": torch.ones(vectors.shape[:2], dtype=torch.long, device=ids.device),
        }
        if "token_type_ids" in self._encoder.model_inputs:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        self._given = vectors
        try:
            for part in self._modules:
                features = part(features)
        finally:
            self._given = None
        out: Tensor = features["sentence_embedding"]
        return out

    def _replaced(self, module: object, given: object, output: Tensor) -> Tensor:
        """The vectors of the walk in the place of the words'."""
        del module, given
        return output if self._given is None else self._given
