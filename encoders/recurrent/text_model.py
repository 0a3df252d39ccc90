"""What packing, saving and sentence-transformers ask of a model, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, Self

from torch import Tensor, nn

from .kinds import CONFIG, TOKENIZER, WEIGHTS
from .model_folder import json_bytes

if TYPE_CHECKING:
    from ...kernels.packing import Packed
    from ..word_pieces import WordPieces


class TextSpec(Protocol):
    """What a model says of itself; a frozen dataclass, its JSON the folder's ``config.json``.

    ``title`` names it in a few words. ``max_length`` counts tokens, special ones are never added;
    0 means that nothing is ever cut. ``space`` is the fingerprint of the teacher's space, "" when
    the model has its own. Vectors are of unit length, to be compared by cosine.
    """

    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def pooling(self) -> str: ...
    @property
    def max_length(self) -> int: ...
    @property
    def passage_prefix(self) -> str: ...
    @property
    def query_prefix(self) -> str: ...
    @property
    def space(self) -> str: ...

    def to_json(self) -> dict[str, Any]:
        """With the key "kind"."""
        ...

    @classmethod
    def from_json(cls, body: object, source: str) -> Self:
        """BadData names the source, the key and the value that is wrong."""
        ...

    def cut_at(self, max_length: int) -> Self:
        """The same with another maximum length."""
        ...


class TextModel(nn.Module, ABC):
    """Packed token ids to unit vectors. Made as ``Model(spec)``, on the meta device too.

    ``state_dict`` is what ``model.safetensors`` holds; each tensor has storage of its own.
    """

    spec: TextSpec

    @abstractmethod
    def forward(self, ids: Tensor, packed: Packed) -> Tensor:
        """ids [tokens] int64 to [N, dim] float32 of unit length; an empty text is zero."""

    def __call__(self, ids: Tensor, packed: Packed) -> Tensor:
        out: Tensor = super().__call__(ids, packed)
        return out


def model_files(model: TextModel, pieces: WordPieces) -> dict[str, bytes]:
    """The three files that are a text model of any kind, name -> content.

    The same bytes for the same model, whatever device it is on.
    """
    from safetensors.torch import save

    tensors = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    return {
        CONFIG: json_bytes(model.spec.to_json()),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        TOKENIZER: pieces.to_json().encode("utf-8"),
    }
