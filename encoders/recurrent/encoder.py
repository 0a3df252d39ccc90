"""A torch model as an encoder: texts packed by a token budget, without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.protocols import Encoded, Encoder, EncoderCard, TokenVectors
from ...kernels.device import check_device
from ...kernels.packing import pack_lengths
from ..unit_rows import unit_rows
from .model_folder import write_folder
from .text_model import model_files
from .token_packs import token_packs
from .token_states import token_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.packed_texts import PackedTexts
    from ...core.protocols import Role
    from ...core.records import Float32Array, Int32Array
    from ..word_pieces import WordPieces
    from .text_model import TextModel

_BUDGET = {"cpu": 4096, "cuda": 65_536}  # tokens of a pack; beyond, the work leaves the CPU's cache


class RecurrentEncoder(Encoder):
    """A model with its word pieces; an empty text is the zero vector, which matches nothing.

    The model is moved to ``device`` and put in evaluation mode. BadArguments when the device is
    not there.
    """

    def __init__(
        self,
        model: TextModel,
        pieces: WordPieces,
        *,
        name: str,
        fingerprint: str,
        space: str,
        device: str = "cpu",
    ) -> None:
        check_device(device)
        self.model: TextModel = model.to(device).eval()
        self.pieces = pieces
        self._device = torch.device(device)
        spec = model.spec
        self._card = EncoderCard(
            name=name,
            fingerprint=fingerprint,
            space=space,
            dim=spec.dim,
            similarity="cosine",
            pooling=spec.pooling,
            max_length=spec.max_length,
            passage_prefix=spec.passage_prefix,
            query_prefix=spec.query_prefix,
        )

    @property
    def card(self) -> EncoderCard:
        return self._card

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        return self.pieces.pack(texts, self._prefix(role)).counts

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        vectors = np.zeros((len(texts), self._card.dim), np.float32)
        tokens = np.empty(len(texts), np.int32)
        chunks = self.pieces.pack_ahead(texts, self._prefix(role), self._card.max_length)
        for start, packed in chunks:
            tokens[start : start + len(packed.counts)] = packed.counts
            lengths = np.diff(packed.bounds)
            for rows in token_packs(lengths, _BUDGET[self._device.type]):
                vectors[start + rows] = self._vectors(packed, rows, lengths[rows])
        return Encoded(vectors, tokens)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> TokenVectors:
        """What the model pools and projects, token by token: see ``token_vectors``."""
        vectors = [np.empty((0, self._card.dim), np.float32)]
        lengths = [np.empty(0, np.int64)]
        chunks = self.pieces.pack_ahead(texts, self._prefix(role), self._card.max_length)
        for _, packed in chunks:
            own = np.diff(packed.bounds)
            lengths.append(own)
            found: list[Float32Array] = [vectors[0]] * len(own)
            for rows in token_packs(own, _BUDGET[self._device.type]):
                whole = self._of_tokens(packed, rows, own[rows])
                parts = np.split(whole, np.cumsum(own[rows])[:-1])
                for row, part in zip(rows.tolist(), parts, strict=True):
                    found[row] = part
            vectors += found
        return TokenVectors(unit_rows(np.concatenate(vectors)), np.concatenate(lengths))

    def _of_tokens(self, texts: PackedTexts, rows: np.ndarray, lengths: np.ndarray) -> Float32Array:
        """[tokens of these rows, dim], not normalised."""
        ids = np.concatenate([texts.ids[texts.bounds[row] : texts.bounds[row + 1]] for row in rows])
        with torch.inference_mode():
            flat = torch.from_numpy(ids.astype(np.int64)).to(self._device)
            found = token_vectors(self.model, flat, pack_lengths(lengths, self._device))
            out: Float32Array = found.float().cpu().numpy()
        return out

    def save(
        self, folder: Path | str, *, trained_on: str = "", licence: str = "apache-2.0"
    ) -> None:
        """Write a new model folder, for tamis and sentence-transformers: see ``write_folder``."""
        files = model_files(self.model, self.pieces)
        write_folder(folder, self.model.spec, files, trained_on, licence)

    def _vectors(self, texts: PackedTexts, rows: np.ndarray, lengths: np.ndarray) -> Float32Array:
        """[len(rows), dim] of one pack."""
        ids = np.concatenate([texts.ids[texts.bounds[row] : texts.bounds[row + 1]] for row in rows])
        with torch.inference_mode():
            flat = torch.from_numpy(ids.astype(np.int64)).to(self._device)
            found = self.model(flat, pack_lengths(lengths, self._device))
            out: Float32Array = found.cpu().numpy()
        return out

    def _prefix(self, role: Role) -> str:
        return self._card.query_prefix if role == "query" else self._card.passage_prefix
