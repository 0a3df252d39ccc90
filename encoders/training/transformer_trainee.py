"""A sentence-transformers model in training: by the same recipes, on the same batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.durable import new_folder, sync_folder
from ...core.errors import BadData
from ..transformer import TransformerEncoder
from .trainee import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...core.protocols import Encoder, Role

_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [tamis, sentence-transformers, feature-extraction]
---

# {name}

A sentence-transformers model of {dim} dimensions, compared by {similarity}. It began as
`{start}`, whose licence holds for it too, and learnt with tamis. {trained_on}

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}")
vectors = model.encode_document(["A flea lives two to three months."])
```

```
tamis build corpus.jsonl -o index --encoder {name}
```

Weights are read from safetensors only.
"""


class TransformerTrainee:
    """A ``Trainee``: any model that ``TransformerEncoder`` reads and whose vectors depend on word
    pieces alone. BadData for the others: INSTRUCTOR, static embeddings, images.

    Parameters are float32. ``half`` multiplies in bfloat16 while it learns; ``encoder()`` never
    does. Dropout draws from torch's global generator.
    """

    def __init__(
        self, model: str | Path, *, name: str = "", half: bool = False, device: str = "cpu"
    ) -> None:
        self._start = name or str(model)
        self._live = _Learning(model, name=self._start, device=device)
        self._half = half
        self._device = torch.device(device)

    @property
    def module(self) -> nn.Module:
        module: nn.Module = self._live.model
        return module

    @property
    def dim(self) -> int:
        return self._live.card.dim

    def tokens(self, texts: Sequence[str], role: Role) -> Tokens:
        return self._live.tokens(texts, role)

    def vectors(self, tokens: Tokens) -> Tensor:
        """[texts, dim] float32; of unit length where the model compares by cosine."""
        starts = np.cumsum(tokens.lengths) - tokens.lengths
        found, order = [], []
        for rows in of_like_length(tokens.lengths):
            features = self._live.padded(
                [tokens.ids[starts[row] : starts[row] + tokens.lengths[row]] for row in rows]
            )
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                found.append(self._live.model(features)["sentence_embedding"].float())
            order.append(rows)
        empty = np.flatnonzero(tokens.lengths == 0)
        found.append(torch.zeros(len(empty), self.dim, device=self._device))
        places = torch.from_numpy(np.argsort(np.concatenate([*order, empty])))
        vectors = torch.cat(found)[places.to(self._device)]
        if self._live.card.similarity == "dot":
            return vectors
        return nn.functional.normalize(vectors, dim=1)

    def encoder(self) -> Encoder:
        """The live model, in evaluation mode."""
        self._live.model.eval()
        return self._live

    def save(self, folder: Path | str, *, trained_on: str) -> None:
        """As sentence-transformers saves a model, whole or not at all.

        BadArguments when something stands at ``folder``, FailedWhileRunning when it cannot be
        written.
        """
        card = _CARD.format(
            name=Path(folder).absolute().name,
            dim=self.dim,
            similarity=self._live.card.similarity,
            start=self._start,
            trained_on=trained_on,
        )
        with new_folder(Path(folder)) as draft:
            self._live.model.save_pretrained(str(draft), create_model_card=False)
            (draft / "README.md").write_text(card, "utf-8")
            for path in draft.rglob("*"):
                sync_folder(path)


class _Learning(TransformerEncoder):
    """The encoder of a model that changes: its vectors are those of this moment."""

    def __init__(self, model: str | Path, *, name: str, device: str) -> None:
        super().__init__(model, name=name, device=device)
        self._model.float()
        if self._tokenizer is None:
            raise BadData(
                f"{name} cannot be trained here: its vectors are not made from word pieces alone "
                f"(an instruction model, a static embedding or one of images)"
            )
        probe = self._tokenizer.backend_tokenizer.encode("a")
        if any(probe.type_ids):
            raise BadData(f"{name} cannot be trained here: its tokenizer marks tokens by type")
        self._card = replace(self._card, fingerprint="in training", space="in training")

    @property
    def model(self) -> Any:
        return self._model

    def tokens(self, texts: Sequence[str], role: Role) -> Tokens:
        encodings, _ = self._tokenize(texts, role)
        lengths = np.array([len(encoding.ids) for encoding in encodings], np.int64)
        parts = [np.array(encoding.ids, np.int64) for encoding in encodings]
        return Tokens(np.concatenate(parts) if parts else np.empty(0, np.int64), lengths)

    def padded(self, texts: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """What the modules read, [texts, longest]; padded on the right, as ``_outputs`` does."""
        width = max(map(len, texts))
        ids = np.full((len(texts), width), self._tokenizer.pad_token_id, np.int64)
        mask = np.zeros((len(texts), width), np.int64)
        for row, own in enumerate(texts):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        return {name: x.to(self._device) for name, x in features.items()}

    def _pack(self) -> None:
        """Left as they are, so that they can learn."""


def of_like_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of texts that are padded together, longest first: none is shorter than half of the
    longest. Texts without a token are in none."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):
        alike = int((2 * lengths[order] >= lengths[order[0]]).sum())
        yield order[:alike]
        order = order[alike:]
