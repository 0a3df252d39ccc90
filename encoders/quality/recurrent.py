"""``recurrent``: a scalar head on a small folded encoder, trained on what people look for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments, BadData, CorruptFile, MissingResource
from ...core.protocols import QualityCard
from ..folded.encoder import FoldedEncoder, load_folded, stored_files
from ..model_files import fingerprint_of_model
from ..recurrent.model_folder import publish_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.packed_texts import PackedTexts
    from ...core.records import Float32Array

HEAD = "quality_head.safetensors"
"""In a model folder, beside the encoder's own files: ``weight`` [dim] and ``bias`` [1], float32."""

SHIPPED = "tamis-quality"
_MODELS = Path(__file__).parent.parent / "models"

_CARD = """---
license: apache-2.0
tags: [tamis, passage-quality]
---

# {name}

A passage quality model: text to the log-odds that some query wants it; higher means keep. {trained}

```
tamis quality corpus.jsonl -o scores.npy --quality {name}
tamis build corpus.jsonl -o index --keep 0.75 --quality {name}
```

A linear head (`quality_head.safetensors`) on the unit vector of a folded encoder: layers
{spec.layers}, channels {spec.width}, rank of the token table {spec.rank}, dimensions {spec.dim}.
"""


class RecurrentQuality:
    """The log-odds that some query wants the passage: bias + head . (unit vector of the text).

    A text without a known word piece scores the bias alone.
    """

    def __init__(
        self, encoder: FoldedEncoder, weight: Float32Array, bias: float, card: QualityCard
    ) -> None:
        """``weight`` [encoder's dim]; BadArguments for another shape, or what is not finite."""
        if weight.shape != (encoder.card.dim,):
            raise BadArguments(
                f"the head has shape {list(weight.shape)}, the vectors {encoder.card.dim} numbers"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias)):
            raise BadArguments("the head holds numbers that are not finite")
        self.encoder = encoder
        self.card = card
        self._weight = weight.astype(np.float32)
        self._bias = np.float32(bias)

    def score(self, texts: Sequence[str]) -> Float32Array:
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # half a pair
        return self._of(self.encoder.encode(whole, "passage").vectors)

    @property
    def token_form(self) -> str:
        """See ``core.protocols.ReadsPacked``."""
        return self.encoder.token_form

    def tokenise(self, texts: Sequence[str]) -> PackedTexts:
        """Passages, whole."""
        return self.encoder.tokenise(texts)

    def score_packed(self, packed: PackedTexts) -> Float32Array:
        """As ``score`` of the passages that were tokenised."""
        return self._of(self.encoder.encode_packed(packed).vectors)

    def _of(self, vectors: Float32Array) -> Float32Array:
        # row by row: a matrix product may round differently in another batch
        scores: Float32Array = np.einsum("nd,d->n", vectors, self._weight, optimize=False)
        return scores + self._bias


def load_recurrent(model: str | Path | None = None) -> RecurrentQuality:
    """The quality model in a folder; without one, the one that comes with the package.

    Raises MissingResource, CorruptFile or BadData, naming the file.
    """
    folder = _MODELS / SHIPPED if model is None else Path(model)
    encoder = load_folded(folder)
    if not isinstance(encoder, FoldedEncoder):
        raise BadData(f"{folder} holds an encoder that is not folded; expected a quality model")
    weight, bias = read_head(folder / HEAD)
    fingerprint, _ = fingerprint_of_model(folder)
    name = "recurrent" if model is None else str(model)
    try:
        return RecurrentQuality(encoder, weight, bias, QualityCard(name, fingerprint))
    except BadArguments as failure:
        raise BadData(f"{folder / HEAD}: {failure}") from None


def is_quality_folder(folder: Path) -> bool:
    """Whether a quality model of this kind lies there."""
    return (folder / HEAD).is_file()


def save_quality(
    folder: Path | str, encoder: FoldedEncoder, weight: Float32Array, bias: float, trained_on: str
) -> None:
    """A new folder that ``load_recurrent`` reads; ``trained_on`` is a sentence for its README.

    Raises BadArguments when something stands there, FailedWhileRunning when it cannot be written.
    """
    from safetensors.numpy import save

    head = {"weight": weight.astype(np.float32), "bias": np.array([bias], np.float32)}
    files = stored_files(encoder.spec, encoder.weights, encoder.pieces)
    card = _CARD.format(name=Path(folder).name, trained=trained_on, spec=encoder.spec)
    publish_folder(Path(folder), {**files, HEAD: save(head), "README.md": card.encode("utf-8")})


def read_head(path: Path) -> tuple[Float32Array, float]:
    """(weight [dim], bias). MissingResource, CorruptFile, BadData."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise MissingResource(f"{path} is not there; expected the folder of a quality model")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    shapes = {name: (array.dtype.name, array.ndim, array.size) for name, array in found.items()}
    weight = shapes.get("weight", ("", 0, 0))
    if shapes.keys() != {"weight", "bias"} or shapes["bias"] != ("float32", 1, 1):
        raise BadData(f"{path} holds {shapes}; expected weight [dim] and bias [1]")
    if weight[:2] != ("float32", 1):
        raise BadData(f"{path} holds a weight of {weight[0]}; expected float32 [dim]")
    return found["weight"], float(found["bias"][0])
