"""The model that a run begins with: new, or loaded from a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...core.errors import BadArguments, BadData, Mismatch
from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ..folded.model import FoldedModel
from ..folded.spec import FoldedSpec
from ..folded.untrained import random_weights
from ..recurrent.kinds import TOKENIZER, kind_of, read_spec
from ..recurrent.spec import RecurrentSpec
from ..recurrent.stored_model import read_model
from ..static import zipf_weights
from ..word_pieces import WordPieces
from .named_models import model_of, start_folder
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


def student(spec: TrainingSpec, teacher: Teacher | None) -> Trainee:
    """Made as ``[model]`` says, in the teacher's space; without a teacher, in its own one.

    A new model needs a teacher. BadData when vectors of a ``start`` are not of the teacher's size,
    or are compared by dot product where its are by cosine.
    """
    own = spec.model
    if own.start:
        made = _started(spec)
        if teacher is not None:
            _check_beside(made, teacher)
            enter_space(made, teacher.card.space)
        return made
    assert teacher is not None, "checked when the recipe was read"
    if own.kind == "recurrent":
        return _recurrent(spec, teacher)
    pieces = WordPieces(teacher.folder / TOKENIZER)
    model = FoldedModel.of(*folded_from(teacher, own, spec.seed, pieces.vocabulary))
    model.hold_equal_weights()
    return PackedTrainee(model, pieces, half=spec.half, device=spec.device)


def started(folder: Path, spec: TrainingSpec) -> PackedTrainee:
    """An encoder of ours, to go on with. BadArguments when the folder is none."""
    if kind_of(folder) is None:
        raise BadArguments(f"[model] start: {folder} holds no encoder of tamis")
    model = read_model(folder)
    if isinstance(model, FoldedModel):
        model.hold_equal_weights()
    return PackedTrainee(model, WordPieces(folder / TOKENIZER), half=spec.half, device=spec.device)


def _started(spec: TrainingSpec) -> Trainee:
    own = spec.model
    if own.kind == "transformer":
        from .transformer_trainee import TransformerTrainee

        return TransformerTrainee(
            model_of(own.start, spec), name=own.start, half=spec.half, device=spec.device
        )
    return started(start_folder(spec), spec)


def _check_beside(made: Trainee, teacher: Teacher) -> None:
    """BadData unless the student's vectors can be held against the teacher's."""
    if made.dim != teacher.card.dim:
        raise BadData(
            f"[model] start has vectors of {made.dim} numbers, the teacher {teacher.card.name} of "
            f"{teacher.card.dim}: take a teacher of the same size"
        )
    if isinstance(made, PackedTrainee) or made.encoder().card.similarity == "cosine":
        return
    raise BadData(
        "[model] start compares by dot product: it cannot learn a teacher's vectors, whose length "
        "says nothing; leave [teacher] out, or begin with a model that compares by cosine"
    )


def enter_space(made: Trainee, space: str) -> None:
    """Say whose vectors the student's can be compared with: a teacher's, by the fingerprint of its
    space, or nobody's, "". A transformer's folder names no space but that of its own weights."""
    if isinstance(made, PackedTrainee):
        made.model.spec = replace(cast("Any", made.model.spec), space=space)


def check_same_space(spec: TrainingSpec, teacher: Teacher) -> None:
    """Mismatch when an encoder of ours begins in another space than the teacher's."""
    own = spec.model
    if not own.start or own.kind == "transformer":
        return
    found = read_spec(start_folder(spec)).space
    if found != teacher.card.space:
        raise Mismatch(
            f"[model] start is {own.start!r} of space {found[:12] or 'its own'!r}, the teacher "
            f"{teacher.card.name} of {teacher.card.space[:12]!r}: to stay near what it was, leave "
            f"[teacher] out; to learn the teacher's vectors, take the recipe distillation"
        )


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
    weights = zipf_weights(vocabulary) * np.float32(_VECTOR * rms / _TABLE_RMS)
    if own.piece_weights == "equal":
        weights = np.full_like(weights, weights.mean())
    layers = [_rescaled(layer) for layer in drawn.layers]
    return spec, FoldedWeights(
        TokenTable.exact(table * np.float32(_TABLE_RMS / rms)),
        weights,
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
    """Any cell, any depth. Word embeddings are the teacher's vectors of single word pieces, as
    large on average as the random ones they take the place of: all of them where the width is the
    teacher's dimension, their first principal components where it is less, beside random numbers
    where it is more. With mean pooling the projection leads back to the teacher's dimensions."""
    import torch

    from ..recurrent.model import RecurrentModel

    own = spec.model
    pieces = WordPieces(teacher.folder / TOKENIZER)
    described = recurrent_spec(own, pieces.vocabulary, teacher.card.dim, teacher.card.space)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = RecurrentModel(described)
    kept = min(own.width, teacher.card.dim)
    table, base = _components(teacher.piece_vectors(), kept)
    scale = np.float32(1 / np.sqrt(np.square(table).mean()))
    back = np.eye(kept, dtype=np.float32) if base is None else base
    with torch.no_grad():
        model.embedding.weight[:, :kept] = torch.from_numpy(table * scale)
        if own.pooling == "mean":
            model.projection.weight[:, :kept] = torch.from_numpy(back.T)
    return PackedTrainee(model, pieces, half=spec.half, device=spec.device)


def recurrent_spec(own: ModelSpec, vocabulary: int, dim: int, space: str) -> RecurrentSpec:
    """BadArguments when ``[model]`` asks for what no recurrent encoder is."""
    return RecurrentSpec(
        cell=own.cell,
        layers=own.layers,
        width=own.width,
        vocabulary=vocabulary,
        dim=dim,
        bidirectional=own.bidirectional,
        pooling=own.pooling,
        max_length=own.max_length,
        space=space,
    )
