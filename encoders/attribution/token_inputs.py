"""A text as the vectors that a model begins with: what attribution walks along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ...core.protocols import Role


@dataclass(frozen=True)
class TokenInputs:
    """One text of T tokens.

    inputs [T, width] float32, the vectors that its tokens begin as; reference [T, width], those of
    a text of the same length that says nothing. ``pooled`` takes [n, T, width] to [n, dim], each
    text's vector before it is brought to unit length.
    """

    tokens: tuple[str, ...]
    inputs: Tensor
    reference: Tensor
    pooled: Callable[[Tensor], Tensor]


class ReadsTokens(Protocol):
    """An encoder opened for attribution; ``cosine``: its scores are of vectors of unit length."""

    @property
    def cosine(self) -> bool: ...

    def read(self, text: str, role: Role) -> TokenInputs:
        """Cut where the encoder cuts."""
        ...
