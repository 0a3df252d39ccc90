"""The model that a run begins with: new, or loaded from a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments
from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ..folded.model import FoldedModel
from ..folded.spec import FoldedSpec
from ..folded.untrained import random_weights
from ..recurrent.kinds import TOKENIZER, kind_of
from ..recurrent.stored_model import read_model
from ..static import zipf_weights
from ..word_pieces import WordPieces
from .trainee import PackedTrainee

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.records import Float32Array
    from .spec import ModelSpec, TrainingSpec
    from .teacher import Teacher
    from .trainee import Trainee

_TABLE_RMS = 0.25  # of a new table's entries, and of the states that the next layer reads: one
_STATE_RMS = 0.2  # learning rate then moves every matrix by about as much, in parts of itself
_VECTOR = 2.0  # brings the mean over a text's tokens near unit length: token states are targets


def student(spec: TrainingSpec, teacher: Teacher) -> Trainee:
    """Made as ``[model]`` says, in the teacher's space."""
    own = spec.model
    if own.kind == "transformer":
        from .transformer_trainee import TransformerTrainee

        return TransformerTrainee(own.start, half=spec.half, device=spec.device)
    if own.start:
        return started(spec.path(own.start), spec)
    if own.kind == "recurrent":
        return _recurrent(spec, teacher)
    pieces = WordPieces(teacher.folder / TOKENIZER)
    model = FoldedModel.of(*folded_from(teacher, own, spec.seed, pieces.vocabulary))
    return PackedTrainee(model, pieces, half=spec.half, device=spec.device)


def started(folder: Path, spec: TrainingSpec) -> PackedTrainee:
    """An encoder of ours, to go on with. BadArguments when the folder is none."""
    if kind_of(folder) is None:
        raise BadArguments(f"[model] start: {folder} holds no encoder of tamis")
    pieces = WordPieces(folder / TOKENIZER)
    return PackedTrainee(read_model(folder), pieces, half=spec.half, device=spec.device)


def folded_from(
    teacher: Teacher, own: ModelSpec, seed: int, vocabulary: int
) -> tuple[FoldedSpec, FoldedWeights]:
    """A folded student that begins as the bag of the teacher's vectors of single word pieces.

    Its layers are random and its output is zero, so that they can only add context. A rank below
    the teacher's dimension keeps the first principal components.
    """
    spec = FoldedSpec(
        own.layers,
        own.width if own.layers else 0,
        rank=own.rank,
        dim=teacher.card.dim,
        vocabulary=vocabulary,
        max_length=own.max_length,
        space=teacher.card.space,
    )
    table, base = _components(teacher.piece_vectors(), own.rank)
    rms = float(np.sqrt(np.square(table).mean()))
    drawn = random_weights(spec, seed)
    scale = np.float32(_VECTOR * rms / _TABLE_RMS)
    layers = [_rescaled(layer) for layer in drawn.layers]
    return spec, FoldedWeights(
        TokenTable.exact(table * np.float32(_TABLE_RMS / rms)),
        zipf_weights(vocabulary) * scale,
        base,
        layers,
        None if drawn.output is None else np.zeros_like(drawn.output),
    )


def _rescaled(layer: Layer) -> Layer:
    """Reads the table and the states at their size, and so computes what it did."""
    return replace(
        layer,
        tokens=layer.tokens / np.float32(_TABLE_RMS),
        states=None if layer.states is None else layer.states / np.float32(_STATE_RMS),
        gain=layer.gain * np.float32(_STATE_RMS),
    )


def _components(vectors: Float32Array, rank: int) -> tuple[Float32Array, Float32Array | None]:
    """(coordinates [n, rank], directions [rank, dim]); at full rank the vectors themselves."""
    if rank == vectors.shape[1]:
        return vectors, None
    if rank > vectors.shape[1]:
        raise BadArguments(
            f"[model] rank is {rank}, more than the {vectors.shape[1]} dimensions of the teacher"
        )
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    base = np.ascontiguousarray(directions[:rank], np.float32)
    return np.ascontiguousarray(vectors @ base.T, np.float32), base


def _recurrent(spec: TrainingSpec, teacher: Teacher) -> PackedTrainee:
    """Any cell, any depth: its own spec, the teacher's vectors as word embeddings."""
    import torch

    from ..recurrent.model import RecurrentModel
    from ..recurrent.spec import RecurrentSpec

    own = spec.model
    pieces = WordPieces(teacher.folder / TOKENIZER)
    described = RecurrentSpec(
        cell=own.cell,
        layers=own.layers,
        width=own.width,
        vocabulary=pieces.vocabulary,
        dim=teacher.card.dim,
        bidirectional=own.bidirectional,
        pooling=own.pooling,
        max_length=own.max_length,
        space=teacher.card.space,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = RecurrentModel(described)
    return PackedTrainee(model, pieces, half=spec.half, device=spec.device)
