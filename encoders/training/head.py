"""Parts that only training needs: learned with the model, kept by checkpoints, never saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ...core.protocols import Encoder, Role
    from .trainee import Tokens, Trainee


class WithHead:
    """A trainee whose ``module`` holds its model and a head; all else it says is the model's."""

    def __init__(self, inner: Trainee, head: nn.Module) -> None:
        self._inner = inner
        device = next(inner.module.parameters()).device
        self._module = nn.ModuleDict({"model": inner.module, "head": head.to(device)})

    @property
    def module(self) -> nn.Module:
        return self._module

    @property
    def dim(self) -> int:
        return self._inner.dim

    def tokens(self, texts: Sequence[str], role: Role) -> Tokens:
        return self._inner.tokens(texts, role)

    def vectors(self, tokens: Tokens) -> Tensor:
        return self._inner.vectors(tokens)

    def encoder(self) -> Encoder:
        return self._inner.encoder()

    def save(self, folder: Path | str, *, trained_on: str) -> None:
        self._inner.save(folder, trained_on=trained_on)
