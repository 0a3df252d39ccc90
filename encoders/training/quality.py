"""A passage quality model: does some query want this passage? Binary cross-entropy on one score.

As QualT5 is trained (Chang et al. 2024, arXiv 2407.12170): passages that answer a query against
passages that were retrieved for one and do not, with the query thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import BadArguments, BadData, MissingResource
from ..folded.encoder import FoldedEncoder
from ..folded.model import FoldedModel
from ..folded.spec import FoldedSpec
from ..folded.untrained import random_weights
from ..quality.recurrent import HEAD, is_quality_folder, read_head, save_quality
from ..shipped import tamis_small
from .head import WithHead
from .named_models import start_folder
from .spec import at_least
from .students import started
from .token_store import TokenStore, rows_of_steps, steps_per_epoch
from .trainee import PackedTrainee

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ...core.records import Float32Array
    from .labels import LabelledText
    from .spec import TrainingSpec
    from .trainee import Tokens, Trainee

RECIPE = "quality"

_TABLE_RMS = 0.25  # of a new table's entries: one learning rate then suits every matrix
_SCALE = 8.0  # a unit vector times a small head would move the score too little a step
_SCORED = 1024  # held-out texts at once


@dataclass(frozen=True, slots=True)
class QualitySpec:
    """dim: of the vector below the head of a new model, a multiple of 32. held_out: the share of
    the queries that is kept apart with their passages, to judge the model by."""

    dim: int = 32
    held_out: float = 0.1

    def __post_init__(self) -> None:
        at_least("[quality] dim", self.dim, 32)
        if not 0 <= self.held_out < 1:
            raise BadArguments(f"[quality] held_out is {self.held_out}, expected 0 to below 1")


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts with labels and weights [n] float32."""

    tokens: Tokens
    labels: np.ndarray
    weights: np.ndarray


class QualityTraining:
    """The recipe. ``learned`` and ``held_out`` share no query; ``told`` is for the model card."""

    def __init__(
        self,
        spec: TrainingSpec,
        own: QualitySpec,
        learned: Sequence[LabelledText],
        held_out: Sequence[LabelledText],
        told: str,
    ) -> None:
        wanted = sum(each.label == 1 for each in learned)
        if not 0 < wanted < len(learned):
            raise BadData(
                f"{spec.source}: {len(learned)} texts to learn from, {wanted} of them wanted; "
                f"both kinds are needed"
            )
        self._spec, self._told = spec, told
        self._student, self._head = _started(spec, own)
        self._trainee = WithHead(self._student, self._head)
        self._learned = _Labelled(learned, self._student)
        self._held_out = _Labelled(held_out, self._student)

    @property
    def trainee(self) -> Trainee:
        return self._trainee

    @property
    def trained_on(self) -> str:
        return self._told

    @cached_property
    def steps(self) -> int:
        return max(1, int(self._per_epoch * self._spec.schedule.epochs))

    @property
    def _per_epoch(self) -> int:
        store = self._learned.store
        tokens = int(store.lengths.sum())
        return steps_per_epoch(tokens, len(store), self._spec.schedule.batch_tokens)

    def batches(self, start: int) -> Iterator[Batch]:
        n = len(self._learned.store)
        for _, rows in rows_of_steps(n, self._per_epoch, self._spec.seed, start, self.steps):
            yield self._learned.batch(np.sort(rows))

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        scores = self._scores(batch.tokens)
        labels = torch.from_numpy(batch.labels).to(scores.device)
        weights = torch.from_numpy(batch.weights).to(scores.device)
        loss = nn.functional.binary_cross_entropy_with_logits(
            scores, labels, weight=weights, reduction="sum"
        )
        return {"wanted": loss / weights.sum().clamp(min=1e-6)}

    def watch(self) -> Mapping[str, float]:
        """Nothing: what is held out is judged by whoever has a measure, see ``held_out``."""
        return {}

    @torch.no_grad()
    def held_out(self) -> tuple[Float32Array, Float32Array]:
        """Scores and labels [held-out texts], as the model is now."""
        self._trainee.module.eval()
        rows = np.arange(len(self._held_out.store))
        found = [
            self._scores(self._held_out.store.take(part)).cpu().numpy()
            for part in np.array_split(rows, max(1, len(rows) // _SCORED))
        ]
        return np.concatenate(found).astype(np.float32), self._held_out.labels

    def save(self, folder: Path | str) -> None:
        """A quality model's folder; nothing may stand there."""
        weight, bias = self.head()
        save_quality(folder, self.encoder(), weight, bias, self._told)

    def encoder(self) -> FoldedEncoder:
        """Without its head."""
        made = self._student.encoder()
        assert isinstance(made, FoldedEncoder), "the student is folded"
        return made

    def head(self) -> tuple[Float32Array, float]:
        """(weight [dim], bias): a text's score is bias + weight . (its unit vector)."""
        weight, bias = self._head.weight.detach(), self._head.bias.detach()
        return (_SCALE * weight).cpu().numpy().astype(np.float32), float(bias)

    def _scores(self, tokens: Tokens) -> Tensor:
        scores: Tensor = self._head(self._student.vectors(tokens))
        return scores


class Head(nn.Module):
    """[n, dim] unit vectors to [n] log-odds."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        return _SCALE * (vectors @ self.weight) + self.bias


class _Labelled:
    """Labelled texts, tokenised once."""

    def __init__(self, texts: Sequence[LabelledText], model: PackedTrainee) -> None:
        self.store = TokenStore([model.tokens([each.text for each in texts], "passage")])
        self.labels = np.array([each.label for each in texts], np.float32)
        self.weights = np.array([each.weight for each in texts], np.float32)

    def batch(self, rows: np.ndarray) -> Batch:
        return Batch(self.store.take(rows), self.labels[rows], self.weights[rows])


def check_quality_spec(spec: TrainingSpec) -> QualitySpec:
    """``[quality]``; BadArguments, BadData or MissingResource for what no quality model can be."""
    if spec.recipe != RECIPE:
        raise BadArguments(f"{spec.source}: recipe is {spec.recipe!r}; expected {RECIPE!r}")
    spec.only("quality", "labels")
    own = spec.section(QualitySpec, "quality")
    if spec.model.kind != "folded":
        raise BadArguments(
            f"{spec.source} [model]: kind is {spec.model.kind!r}; a quality model is folded"
        )
    if spec.evaluations:
        raise BadArguments(
            f"{spec.source} has [[evaluate]], which is for encoders; a quality model is judged on "
            f"the queries that [quality] held_out keeps apart"
        )
    if spec.schedule.patience and not own.held_out:
        raise BadArguments(f"{spec.source}: [schedule] patience needs [quality] held_out")
    if spec.model.start and not is_quality_folder(start_folder(spec)):
        raise MissingResource(
            f"{spec.source} [model]: start is {spec.model.start!r}, and no quality model lies at "
            f"{start_folder(spec)}"
        )
    return own


def _started(spec: TrainingSpec, own: QualitySpec) -> tuple[PackedTrainee, Head]:
    """New, or as it is stored in the folder ``start``."""
    torch.manual_seed(spec.seed)
    if not spec.model.start:
        return new_student(spec, own), Head(own.dim)
    student = started(start_folder(spec), spec)
    weight, bias = read_head(start_folder(spec) / HEAD)
    head = Head(len(weight))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight / np.float32(_SCALE)))
        head.bias.fill_(bias)
    return student, head


def new_student(spec: TrainingSpec, own: QualitySpec) -> PackedTrainee:
    """A small folded student: the principal components of tamis-small's token table, all else
    random. BadArguments for a rank above that table's."""
    small = tamis_small()
    assert isinstance(small, FoldedEncoder), "on the CPU"
    table = small.weights.table.rows(slice(None))
    rank = spec.model.rank
    if rank > table.shape[1]:
        raise BadArguments(f"[model] rank is {rank}; tamis-small's table has {table.shape[1]}")
    described = FoldedSpec(
        spec.model.layers,
        spec.model.width if spec.model.layers else 0,
        rank=rank,
        dim=own.dim,
        vocabulary=small.spec.vocabulary,
        max_length=spec.model.max_length,
    )
    centred = table - table.mean(0)
    # of its Gram matrix, 384 x 384: the same directions as of the table itself, at once
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept = centred @ directions[:, ::-1][:, :rank]
    model = FoldedModel.of(described, random_weights(described, spec.seed))
    with torch.no_grad():
        scale = _TABLE_RMS / float(np.sqrt(np.square(kept).mean()))
        model.embedding.copy_(torch.from_numpy(np.ascontiguousarray(kept * scale, np.float32)))
    return PackedTrainee(model, small.pieces, half=spec.half, device=spec.device)
