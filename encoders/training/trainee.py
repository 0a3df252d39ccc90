"""A model in training: texts to vectors with gradients, whatever is inside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...kernels.packing import pack_lengths
from ...kernels.segment_pool import segment_pool
from ..folded.encoder import FoldedEncoder, card_of
from ..folded.model import FoldedModel
from ..recurrent.encoder import RecurrentEncoder
from ..recurrent.model_folder import write_folder
from ..recurrent.text_model import model_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.protocols import Encoder, Role
    from ..recurrent.text_model import TextModel
    from ..word_pieces import WordPieces


class Trainee(Protocol):
    """Texts go through ``tokens`` (any thread, no gradient) and then through ``vectors``."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def dim(self) -> int: ...

    def tokens(self, texts: Sequence[str], role: Role) -> Tokens:
        """Word pieces, cut at the model's maximum length."""
        ...

    def vectors(self, tokens: Tokens) -> Tensor:
        """[texts, dim] float32, of unit length where the model's are."""
        ...

    def encoder(self) -> Encoder:
        """The model as it is now, for evaluation."""
        ...

    def save(self, folder: Path | str, *, trained_on: str) -> None:
        """A model folder that ``tamis.encoder`` loads; nothing may stand there."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """Word pieces of texts: ids [tokens] int64, lengths [texts] int64. ``features`` is what a
    model that needs more made of them, None for the others."""

    ids: np.ndarray
    lengths: np.ndarray
    features: Any = None


class PackedTrainee:
    """A recurrent or folded text model with its word pieces."""

    def __init__(
        self, model: TextModel, pieces: WordPieces, *, half: bool = False, device: str = "cpu"
    ) -> None:
        self.model: TextModel = model.to(device)
        if isinstance(model, FoldedModel):
            model.in_bfloat16 = half and device == "cpu"
        self._half = half
        self._pieces = pieces
        self._device = torch.device(device)

    @property
    def module(self) -> nn.Module:
        return self.model

    @property
    def dim(self) -> int:
        return self.model.spec.dim

    def tokens(self, texts: Sequence[str], role: Role) -> Tokens:
        spec = self.model.spec
        prefix = spec.query_prefix if role == "query" else spec.passage_prefix
        packed = self._pieces.pack(texts, prefix, spec.max_length)
        return Tokens(packed.ids.astype(np.int64), np.diff(packed.bounds))

    def vectors(self, tokens: Tokens) -> Tensor:
        ids = torch.from_numpy(tokens.ids).to(self._device)
        with self._autocast():
            return self.model(ids, pack_lengths(tokens.lengths, self._device)).float()

    def vectors_and_runs(self, tokens: Tokens, run: int) -> tuple[Tensor, Tensor]:
        """Vectors [texts, dim], and for each run of ``run`` tokens of each text the mean of what
        the vector is the mean of [runs, dim]; the last run of a text may be shorter. For folded
        students only."""
        assert isinstance(self.model, FoldedModel), "checked when the recipe was read"
        lengths, runs_of = run_lengths(tokens.lengths, run)
        ids = torch.from_numpy(tokens.ids).to(self._device)
        packed = pack_lengths(tokens.lengths, self._device)
        with self._autocast():
            means = self.model.run_means(ids, packed, pack_lengths(lengths, self._device)).float()
        # a text's mean over tokens from the means of its runs
        share = lengths * np.repeat(runs_of / np.maximum(tokens.lengths, 1), runs_of)
        weights = torch.from_numpy(share.astype(np.float32)).to(self._device)
        over = pack_lengths(runs_of, self._device)
        return nn.functional.normalize(segment_pool(means * weights[:, None], over, "mean")), means

    def encoder(self) -> Encoder:
        if not isinstance(self.model, FoldedModel):
            self.model.eval()
            return RecurrentEncoder(
                self.model,
                self._pieces,
                name="in training",
                fingerprint="in training",
                space=self.model.spec.space,
                device=str(self._device),
            )
        spec, weights = self.model.spec, self.model.weights()
        table = replace(weights.table, values=weights.table.values.copy())
        card = card_of(spec, "in training", "in training", spec.space)
        return FoldedEncoder(spec, replace(weights, table=table), self._pieces, card)

    def save(self, folder: Path | str, *, trained_on: str) -> None:
        files = model_files(self.model, self._pieces)
        write_folder(folder, self.model.spec, files, trained_on, "apache-2.0")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            "cuda", torch.bfloat16, enabled=self._half and self._device.type == "cuda"
        )


def run_lengths(lengths: np.ndarray, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each run [runs], and how many runs each text has [texts]; none without tokens."""
    runs_of = -(-lengths // run)
    sizes = np.full(int(runs_of.sum()), run, np.int64)
    ends = np.cumsum(runs_of)[runs_of > 0] - 1
    sizes[ends] = (lengths - (runs_of - 1) * run)[runs_of > 0]
    return sizes, runs_of
