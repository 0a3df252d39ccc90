"""Embedding distillation: a student says of each text what its teacher says, from text alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.errors import BadArguments, BadData
from .losses import cosine_distance, over_dimensions, similarity_kl
from .neighbourhoods import neighbourhoods
from .spec import at_least
from .texts import TextSource, interleaved
from .token_store import spans
from .trainee import PackedTrainee, Tokens, Trainee, run_lengths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from .spec import TrainingSpec
    from .teacher import Targets
    from .teacher_cache import TeacherCache
    from .texts import Shard


@dataclass(frozen=True, slots=True)
class DistillationSpec:
    """Weights of the terms, and how batches are made.

    cosine: 1 - cos to the teacher's vector. similarity: KL between softmaxes of in-batch
    similarities at ``temperature``, student against student; asymmetric: the same, student against
    teacher, for queries that the teacher encodes. states: squared distance of runs of tokens to
    the teacher's token states (sources say where they have any). dims: Matryoshka sizes.
    leaf: texts that are neighbours in the teacher's space and share a batch; 0 draws at random.
    group: shards of 4,096 texts that are mixed at a time. held_out: shards at the end of the
    stream that are never trained on, for ``watch``.
    """

    cosine: float = 1.0
    similarity: float = 0.1
    asymmetric: float = 0.1
    temperature: float = 0.05
    states: float = 0.2
    dims: list[int] = field(default_factory=list)
    leaf: int = 0
    group: int = 64
    held_out: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        for name in ("cosine", "similarity", "asymmetric", "states", "leaf", "held_out", "limit"):
            at_least(f"[distillation] {name}", getattr(self, name), 0)
        at_least("[distillation] group", self.group, 1)
        if self.temperature <= 0:
            raise BadArguments(f"[distillation] temperature is {self.temperature}, expected > 0")


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts with their targets [n, dim]; runs: rows of the student's runs that have a target
    (their squared distances are averaged), and these targets [rows, dim]."""

    tokens: Tokens
    targets: np.ndarray
    run_rows: np.ndarray
    run_targets: np.ndarray


class Distillation:
    """The recipe. Sources: LEAF's alignment of vectors (arXiv 2509.12539), the
    similarity-matrix KL of relational distillation (Park et al. 2019), and token states."""

    def __init__(
        self,
        spec: TrainingSpec,
        own: DistillationSpec,
        sources: list[TextSource],
        trainee: Trainee,
        cache: TeacherCache,
    ) -> None:
        self._spec, self._own, self._cache = spec, own, cache
        self._trainee = trainee
        self._run = max((source.states for source in sources), default=0)
        stream = interleaved(sources)
        if own.limit:
            stream = stream[: own.limit + own.held_out]
        if len(stream) <= own.held_out:
            raise BadData(f"{spec.source}: {len(stream)} shards of text, {own.held_out} held out")
        cut = len(stream) - own.held_out
        self._stream, self._held_out = stream[:cut], stream[cut:]
        self._groups = _in_groups(self._stream, own.group)

    @property
    def trainee(self) -> Trainee:
        return self._trainee

    @property
    def trained_on(self) -> str:
        names = sorted({shard.source.file.name for shard in self._stream})
        lengths = {  # a source may be listed more than once
            (shard.source.path, shard.source.part, shard.texts[0]): len(shard.texts)
            for shard in self._stream
        }
        return (
            f"It learned the vectors that {self._cache.teacher_name} gives for "
            f"{sum(lengths.values()):,} texts of {', '.join(names)}."
        )

    @cached_property
    def steps(self) -> int:
        """Whole epochs' batches are counted from lengths alone, so that no teacher is asked."""
        per_epoch = sum(self._batches_of(group) for group in self._groups)
        return max(1, int(per_epoch * self._spec.schedule.epochs))

    def batches(self, start: int) -> Iterator[Batch]:
        step, epoch = 0, 0
        while step < self.steps:
            for number, group in enumerate(self._groups):
                count = self._batches_of(group)
                if step + count > start:
                    chosen = self._of_group(group, (self._spec.seed, epoch, number), count)
                    for place, batch in enumerate(chosen):
                        if start <= step + place < self.steps:
                            yield batch
                step += count
                if step >= self.steps:
                    return
            epoch += 1

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        own = self._own
        goal = torch.from_numpy(batch.targets).to(self._device)
        vectors, runs = self._forward(batch)
        found = {"cosine": own.cosine * over_dimensions(cosine_distance, own.dims, vectors, goal)}
        t = own.temperature
        if own.similarity:
            found["similarity"] = own.similarity * over_dimensions(
                lambda s, g: similarity_kl(s, s, g, t), own.dims, vectors, goal
            )
        if own.asymmetric:
            found["asymmetric"] = own.asymmetric * over_dimensions(
                lambda s, g: similarity_kl(g, s, g, t), own.dims, vectors, goal
            )
        if runs is not None:
            rows = torch.from_numpy(batch.run_rows).to(self._device)
            targets = torch.from_numpy(batch.run_targets).to(self._device)
            distance = (runs[rows] - targets).square().sum(1)
            found["states"] = own.states * distance.sum() / max(1, len(rows))
        return found

    def watch(self) -> Mapping[str, float]:
        """Mean cosine to the teacher over the held-out shards, by role."""
        cosines: dict[str, list[float]] = {}
        encoder = self._trainee.encoder() if self._held_out else None
        for shard in self._held_out:
            assert encoder is not None
            goal = self._targets(shard).vectors.astype(np.float32)
            found = encoder.encode(shard.texts, shard.role).vectors
            kept = cosines.setdefault(f"cosine {shard.role}", [])
            kept.append(float((goal * found).sum(1).mean()))
        return {name: sum(values) / len(values) for name, values in cosines.items()}

    @property
    def _device(self) -> torch.device:
        return next(self._trainee.module.parameters()).device

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        if self._own.states and self._run and isinstance(self._trainee, PackedTrainee):
            return self._trainee.vectors_and_runs(batch.tokens, self._run)
        return self._trainee.vectors(batch.tokens), None

    def _targets(self, shard: Shard) -> Targets:
        return self._cache.targets(shard.texts, shard.role, shard.source.states)

    def _batches_of(self, group: _Group) -> int:
        return max(1, round(group.tokens(self._trainee) / self._spec.schedule.batch_tokens))

    def _of_group(self, group: _Group, seed: tuple[int, ...], count: int) -> Iterator[Batch]:
        """The group's batches, exactly ``count`` of them."""
        rng = np.random.default_rng(seed)
        loaded = _Loaded(group, [self._targets(shard) for shard in group.shards], self._run)
        n = len(loaded.vectors)
        leaf = self._own.leaf
        leaves = neighbourhoods(loaded.vectors, leaf, rng) if leaf else list(np.arange(n)[:, None])
        order = rng.permutation(len(leaves))
        for part in np.array_split(order, count):
            yield loaded.batch(np.concatenate([leaves[place] for place in part]))


class _Group:
    """Shards that are mixed; tokenised once and kept."""

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards
        self._tokens: list[Tokens] = []

    def tokenised(self, trainee: Trainee) -> list[Tokens]:
        if not self._tokens:
            self._tokens = [
                _compact(trainee.tokens(shard.texts, shard.role)) for shard in self.shards
            ]
        return self._tokens

    def tokens(self, trainee: Trainee) -> int:
        return sum(int(each.lengths.sum()) for each in self.tokenised(trainee))


def _compact(tokens: Tokens) -> Tokens:
    return replace(tokens, ids=tokens.ids.astype(np.int32))


def _in_groups(stream: list[Shard], size: int) -> list[_Group]:
    return [_Group(stream[start : start + size]) for start in range(0, len(stream), size)]


class _Loaded:
    """A group with its targets, ready to be cut into batches."""

    def __init__(self, group: _Group, targets: list[Targets], run: int) -> None:
        tokens = group._tokens
        self.vectors = np.concatenate([each.vectors for each in targets]).astype(np.float32)
        self._ids = np.concatenate([each.ids for each in tokens])
        self._lengths = np.concatenate([each.lengths for each in tokens])
        self._ends = np.cumsum(self._lengths)
        self._run = run
        runs = [
            each.runs if len(each.runs) else np.zeros(len(each.vectors), np.int32)
            for each in targets
        ]
        self._runs = np.concatenate(runs).astype(np.int64)
        self._run_ends = np.cumsum(self._runs)
        self._states = np.concatenate([each.states for each in targets])
        self._scales = np.concatenate([each.scales for each in targets])

    def batch(self, rows: np.ndarray) -> Batch:
        rows = np.sort(rows)
        lengths = self._lengths[rows]
        ids = self._ids[spans(self._ends[rows] - lengths, lengths)].astype(np.int64)
        run_rows, places = self._paired_runs(rows, lengths)
        states = self._states[places].astype(np.float32) * self._scales[places][:, None]
        return Batch(Tokens(ids, lengths), self.vectors[rows], run_rows, states)

    def _paired_runs(self, rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows among the student's runs, rows among the stored ones) of runs that both have."""
        if not self._run:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        _, mine = run_lengths(lengths, self._run)
        both = np.minimum(mine, self._runs[rows])
        return (
            spans(np.cumsum(mine) - mine, both),
            spans(self._run_ends[rows] - self._runs[rows], both),
        )
