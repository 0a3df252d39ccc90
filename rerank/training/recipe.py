"""Train a ranker on graded lists: batches, losses and the dev value, for a training loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ...core.protocols import Candidates
from ...core.records import Ranking
from .lists import batches_per_epoch, epoch_batches
from .losses import LOSSES, MARGIN_MSE, margin_mse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Sized

    from torch import Tensor, nn

    from ...core.records import Float32Array, Int64Array, Passage
    from .lists import GradedList
    from .losses import Loss

    DevValue = Callable[[Sequence[Float32Array]], float]
    """Scores of the dev lists' candidates to a measure, higher is better."""


class LearningScorer(Protocol):
    """A model with what it reads by: texts to arrays, whose lengths are what they cost, and arrays
    to scores that have gradients."""

    @property
    def model(self) -> nn.Module: ...

    def read_queries(self, texts: Sequence[str]) -> Sequence[Sized]:
        """As the model reads them, each as long as it has tokens."""
        ...

    def read_passages(self, passages: Sequence[Passage]) -> Sequence[Sized]: ...

    def __call__(self, queries: Any, passages: Any, asked: Int64Array) -> Tensor:
        """[passages] float32; passage i is to answer query ``asked[i]``."""
        ...

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """As a reranker does, without gradients."""
        ...


@dataclass(frozen=True, slots=True)
class LearningRanker:
    """The model in training."""

    module: nn.Module


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of the training lists, and the places [lists, n] of their candidates in one column."""

    rows: Int64Array
    places: Tensor
    present: Tensor


class RankingRecipe:
    """``loss`` names one of LOSSES or "margin-mse", which needs lists with a teacher's scores.

    A batch is a function of the seed and its step alone, so that a run can be resumed anywhere.
    """

    def __init__(
        self,
        scorer: LearningScorer,
        lists: Sequence[GradedList],
        *,
        loss: str,
        epochs: float,
        batch_pieces: int,
        seed: int,
        dev: tuple[str, Sequence[GradedList], DevValue] | None = None,
    ) -> None:
        """``dev``: a name for the log, lists, and what turns their scores into a value."""
        self.scorer, self._lists, self._seed = scorer, list(lists), seed
        self.trainee = LearningRanker(scorer.model)
        self._loss, self._budget, self._dev = loss, batch_pieces, dev
        self._queries = scorer.read_queries([each.query.text for each in lists])
        self._passages = [scorer.read_passages(each.passages) for each in lists]
        self._sizes = np.array(
            [
                sum(map(len, own)) + len(own) * len(query)
                for query, own in zip(self._queries, self._passages, strict=True)
            ],
            np.int64,
        )
        self.steps = max(1, round(epochs * self.per_epoch))

    @property
    def per_epoch(self) -> int:
        return batches_per_epoch(self._sizes, self._budget)

    def batches(self, start: int) -> Iterator[_Batch]:
        for epoch in range(start // self.per_epoch, -(-self.steps // self.per_epoch)):
            batches = epoch_batches(self._sizes, self._budget, self._seed, epoch)
            for place, rows in enumerate(batches, epoch * self.per_epoch):
                if start <= place < self.steps:
                    yield self._batch(rows)

    def _batch(self, rows: Int64Array) -> _Batch:
        lengths = np.array([len(self._passages[row]) for row in rows])
        present = np.arange(lengths.max()) < lengths[:, None]
        places = np.zeros(present.shape, np.int64)
        places[present] = np.arange(lengths.sum())
        return _Batch(rows, torch.from_numpy(places), torch.from_numpy(present))

    def losses(self, batch: _Batch) -> Mapping[str, Tensor]:
        scorer, lists = self.scorer, [self._lists[row] for row in batch.rows]
        passages = [each for row in batch.rows for each in self._passages[row]]
        sizes = [len(each.passages) for each in lists]
        asked = np.repeat(np.arange(len(lists)), sizes)
        queries = [self._queries[row] for row in batch.rows]
        scores = scorer(queries, passages, asked)[batch.places]
        grades = torch.from_numpy(np.concatenate([each.grades for each in lists]))[batch.places]
        loss = self._loss_of(lists, batch)
        return {self._loss: loss(scores, grades, batch.present)}

    def _loss_of(self, lists: Sequence[GradedList], batch: _Batch) -> Loss:
        if self._loss != MARGIN_MSE:
            return LOSSES[self._loss]
        teacher = np.concatenate([each.teacher for each in lists if each.teacher is not None])
        return margin_mse(torch.from_numpy(teacher)[batch.places])

    def watch(self) -> Mapping[str, float]:
        """The dev value; empty without dev lists."""
        if self._dev is None:
            return {}
        name, _, value = self._dev
        self.scorer.model.eval()
        found = value(self.scorer.score(self._dev_candidates))
        return {name: found, "mean": found}

    @cached_property
    def _dev_candidates(self) -> list[Candidates]:
        assert self._dev is not None
        return [candidates_of(each) for each in self._dev[1]]


def candidates_of(given: GradedList) -> Candidates:
    """A list as any reranker reads it; what was found before says nothing."""
    rows = np.arange(len(given.passages), dtype=np.int64)
    scores = np.zeros(len(rows), np.float32)
    return Candidates(Ranking(given.query, rows, scores), given.passages)
