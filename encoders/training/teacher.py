"""A teacher: what a student is to say of each text, and of each short run of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData
from ..token_batches import token_batches
from ..transformer import TransformerEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ...core.protocols import Encoder, Role
    from ...core.records import Float32Array

_TOKENS = 6144  # of a batch: token states are wanted too, so this is more than an encoder's
_PIECES = 512  # word pieces of a batch
_LARGEST = 127


@dataclass(frozen=True, slots=True)
class Targets:
    """vectors [n, dim] float16 of unit length. Of each run of ``run`` tokens (the last of a text
    may be shorter; special tokens are left out) the mean of the teacher's token states over the
    length of the text's mean state: their mean over a text is its vector, but for special tokens.

    states [runs, dim] int8 times scales [runs] float32; runs [n] int32, how many each text has.
    Without states, all three are empty.
    """

    vectors: npt.NDArray[np.float16]
    states: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    runs: npt.NDArray[np.int32]


class Teacher(TransformerEncoder):
    """A sentence-transformers model that also tells what it makes of a text's parts.

    Parts are told only by models that mean-pool their token states: BadData for the others.
    """

    @property
    def folder(self) -> Path:
        """Of the model's files."""
        return self._folder

    def piece_vectors(self) -> Float32Array:
        """[vocabulary, dim] float32: the vector of each word piece alone, minus their mean."""
        import torch

        tokenizer = self._model.tokenizer
        begin, *_, end = tokenizer.backend_tokenizer.encode("a").ids
        rows = []
        with torch.inference_mode():
            for start in range(0, len(tokenizer), _PIECES):
                pieces = torch.arange(start, min(start + _PIECES, len(tokenizer)))
                edges = torch.ones_like(pieces)
                ids = torch.stack([edges * begin, pieces, edges * end], dim=1)
                features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
                features = {name: x.to(self._device) for name, x in features.items()}
                rows.append(self._model(features)["sentence_embedding"].float().cpu().numpy())
        vectors = np.concatenate(rows)
        return np.ascontiguousarray(vectors - vectors.mean(axis=0), np.float32)

    def targets(self, texts: Sequence[str], role: Role, run: int) -> Targets:
        """``run`` tokens to a run; 0 for vectors alone. Texts are cut at the maximum length."""
        if not run:
            return vectors_alone(self, texts, role)
        if self._tokenizer is None or self.card.pooling != "mean":
            raise BadData(
                f"{self.card.name} pools by {self.card.pooling}: states of single tokens are "
                f"targets only where vectors are their mean; set states = 0"
            )
        return self._with_states(texts, role, run)

    def _with_states(self, texts: Sequence[str], role: Role, run: int) -> Targets:
        encodings, _ = self._tokenize(texts, role)
        vectors = np.empty((len(texts), self.card.dim), np.float16)
        parts: list[Any] = [None] * len(texts)
        for rows in token_batches(np.array([len(x.ids) for x in encodings], np.int32), _TOKENS):
            outputs = self._outputs([encodings[row] for row in rows])
            states = outputs["token_embeddings"].float().cpu().numpy()
            vectors[rows] = outputs["sentence_embedding"].float().cpu().numpy()
            for row, own in zip(rows, states, strict=True):
                kept = own[: len(encodings[row].ids)]
                length = np.linalg.norm(kept.mean(axis=0))
                inner = kept[np.array(encodings[row].special_tokens_mask) == 0]
                parts[row] = _quantised(_run_means(inner, run) / max(length, 1e-12))
        return Targets(
            vectors,
            np.concatenate([values for values, _ in parts]),
            np.concatenate([scales for _, scales in parts]),
            np.array([len(scales) for _, scales in parts], np.int32),
        )


def vectors_alone(encoder: Encoder, texts: Sequence[str], role: Role) -> Targets:
    """What any encoder can be asked: no states."""
    vectors = encoder.encode(texts, role).vectors.astype(np.float16)
    return Targets(
        vectors,
        np.empty((0, vectors.shape[1]), np.int8),
        np.empty(0, np.float32),
        np.empty(0, np.int32),
    )


def _run_means(states: np.ndarray, run: int) -> np.ndarray:
    """[tokens, dim] to [ceil(tokens / run), dim]."""
    starts = np.arange(0, len(states), run)
    if not len(starts):
        return np.empty((0, states.shape[1]), np.float32)
    counts = np.minimum(run, len(states) - starts)[:, None]
    return np.asarray(np.add.reduceat(states, starts, axis=0) / counts, np.float32)


def _quantised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scales = np.abs(rows).max(axis=1) / _LARGEST
    safe = np.where(scales > 0, scales, 1)[:, None]
    return np.round(rows / safe).astype(np.int8), scales.astype(np.float32)
