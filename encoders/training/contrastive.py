"""Contrastive fine-tuning: queries nearer to their passages than to others."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import BadArguments, BadData
from .draws import sample
from .losses import (
    cosine_distance,
    in_batch_nce,
    listwise_kl,
    margin_mse,
    over_dimensions,
    triplet_margin,
)
from .pair_batches import PairTexts, tokens_of
from .spec import at_least
from .token_store import rows_of_steps, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ...core.protocols import Role
    from .pair_batches import PairBatch
    from .pairs import Pair
    from .spec import TrainingSpec
    from .teacher_cache import TeacherCache
    from .token_store import TokenStore
    from .trainee import Trainee

log = logging.getLogger(__name__)

_RANKING = ("infonce", "triplet", "margin_mse", "kl")
_OF_NEGATIVES = ("triplet", "margin_mse", "kl")
_OF_SCORES = ("margin_mse", "kl")
_NEGATIVES = 1  # what random numbers are for; 0 is the order of an epoch
_SHARD = 4096  # texts whose goals are asked for together


@dataclass(frozen=True, slots=True)
class ContrastiveSpec:
    """Weights of the terms, 0 for none of it, and how batches are made.

    infonce: each query's positive among all passages of its batch, at ``temperature``; both_ways
    asks each positive for its query too. triplet: over own negatives, by ``margin``. margin_mse
    and kl (at ``kl_temperature``): a teacher's scores of own negatives, which are first brought
    to the scale of cosines by ``score_scale``. keep: 1 - cos to the vector that the teacher, or
    without one the encoder that the run begins with, gives each text; a run without it leaves the
    teacher's space. dims: Matryoshka sizes of all terms.

    negatives: at most so many a pair and batch, others the next time. batch_pairs: pairs of a
    batch; 0 takes as many as make ``batch_tokens`` of the schedule on average. held_out: queries
    that are never trained on, for ``watch``.
    """

    infonce: float = 1.0
    temperature: float = 0.05
    both_ways: bool = False
    triplet: float = 0.0
    margin: float = 0.2
    margin_mse: float = 0.0
    kl: float = 0.0
    kl_temperature: float = 0.05
    score_scale: float = 1.0
    keep: float = 0.0
    dims: list[int] = field(default_factory=list)
    negatives: int = 4
    batch_pairs: int = 0
    held_out: int = 0

    def __post_init__(self) -> None:
        for name in (*_RANKING, "margin", "keep", "negatives", "held_out", "batch_pairs"):
            at_least(f"[contrastive] {name}", getattr(self, name), 0)
        for name in ("temperature", "kl_temperature", "score_scale"):
            if not getattr(self, name) > 0:
                raise BadArguments(f"[contrastive] {name} is {getattr(self, name)}, expected > 0")
        for size in self.dims:
            at_least("[contrastive] dims", size, 1)
        if not any(getattr(self, name) for name in _RANKING):
            raise BadArguments(f"[contrastive] {', '.join(_RANKING)} are all 0: nothing to learn")
        for name in _OF_NEGATIVES:
            if getattr(self, name) and not self.negatives:
                raise BadArguments(f"[contrastive] {name} needs negatives, which is 0")

    def check_pairs(self, pairs: Sequence[Pair], source: str) -> None:
        """BadData when no pair has what a term needs, or too few queries are left to learn from."""
        for name in _OF_NEGATIVES:
            if getattr(self, name) and not any(pair.negatives for pair in pairs):
                raise BadData(
                    f"[contrastive] {name} is {getattr(self, name)}, but no pair of {source} has "
                    f"negatives: mine some, or set {name} = 0"
                )
        for name in _OF_SCORES:
            if getattr(self, name) and not any(pair.negatives and pair.scores for pair in pairs):
                raise BadData(
                    f"[contrastive] {name} is {getattr(self, name)}, but no pair of {source} has "
                    f"a teacher's scores: mine with a teacher, or set {name} = 0"
                )
        queries = len({pair.query for pair in pairs})
        if queries <= self.held_out + 1:
            raise BadData(
                f"{source} has {queries} different queries, {self.held_out} of them held out: two "
                f"at least must be left to learn from"
            )


class Contrastive:
    """The recipe. Sources: InfoNCE with in-batch negatives (Karpukhin et al. 2020), MarginMSE
    (Hofstaetter et al. 2020), the KL of listwise scores (Lin et al. 2020).

    ``source`` names the pairs and ``keep`` is who says what texts are to stay near, None for
    nobody. A passage that several queries of a batch have as their positive is a negative of none
    of them, and so is any passage that some pair gives as an answer to the same query.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        own: ContrastiveSpec,
        pairs: Sequence[Pair],
        trainee: Trainee,
        keep: TeacherCache | None,
        *,
        source: str,
    ) -> None:
        own.check_pairs(pairs, source)
        for size in own.dims:
            if size >= trainee.dim:
                raise BadArguments(
                    f"{spec.source} [contrastive]: dims names {size}, and the vectors have "
                    f"{trainee.dim}, which are always learnt: name smaller sizes"
                )
        self._spec, self._own, self._source = spec, own, source
        self._trainee, self._keep = trainee, keep
        queries = list(dict.fromkeys(pair.query for pair in pairs))
        self._unseen = set(sample(queries, own.held_out, spec.seed, "held out"))
        self._held_out = [pair for pair in pairs if pair.query in self._unseen]
        self._pairs = PairTexts([pair for pair in pairs if pair.query not in self._unseen])

    @property
    def trainee(self) -> Trainee:
        return self._trainee

    @property
    def trained_on(self) -> str:
        own = self._own
        terms = [name for name in (*_RANKING, "keep") if getattr(own, name)]
        return f"Trained on {len(self._pairs):,} pairs of {self._source}, by {', '.join(terms)}."

    @cached_property
    def steps(self) -> int:
        return max(1, int(self._per_epoch * self._spec.schedule.epochs))

    def batches(self, start: int) -> Iterator[tuple[PairBatch, np.ndarray | None]]:
        """Each with what its queries and its passages are to stay near [n + m, dim]."""
        pairs, seed = self._pairs, self._spec.seed
        for step, rows in rows_of_steps(len(pairs), self._per_epoch, seed, start, self.steps):
            rng = np.random.default_rng([seed, _NEGATIVES, step])
            batch = pairs.batch(rows, self._own.negatives, rng)
            yield batch, self._goals_of(batch)

    def losses(self, batch: tuple[PairBatch, np.ndarray | None]) -> Mapping[str, Tensor]:
        own, (pairs, goals) = self._own, batch
        query_tokens, passage_tokens = self._tokens
        queries = self._trainee.vectors(query_tokens.take(pairs.queries))
        passages = self._trainee.vectors(passage_tokens.take(pairs.passages))

        def over(term: Callable[[Tensor], Tensor]) -> Tensor:
            return over_dimensions(lambda q, p: term(q @ p.T), own.dims, queries, passages)

        found = {
            name: getattr(own, name) * over(term)
            for name, term in self._terms(pairs, queries.device).items()
            if getattr(own, name)
        }
        if goals is not None:
            goal = torch.from_numpy(goals).to(queries.device)
            vectors = nn.functional.normalize(torch.cat([queries, passages]), dim=1)
            found["keep"] = own.keep * over_dimensions(cosine_distance, own.dims, vectors, goal)
        return found

    def watch(self) -> Mapping[str, float]:
        """Over the held-out pairs: the mean reciprocal rank of each query's best answer among all
        their passages, and the mean cosine to what their texts are to stay near, by role."""
        if not self._held_out:
            return {}
        held = PairTexts(self._held_out)
        encoder = self._trainee.encoder()
        queries = encoder.encode_queries(held.queries)
        passages = encoder.encode_passages(held.passages)
        found = {"held-out RR": _reciprocal_rank(queries @ passages.T, held.answers)}
        if self._keep is not None:
            goals = self._asked(self._keep, held.queries, "query")
            found["cosine query"] = _mean_cosine(queries, goals)
            goals = self._asked(self._keep, held.passages, "passage")
            found["cosine passage"] = _mean_cosine(passages, goals)
        return found

    @cached_property
    def _tokens(self) -> tuple[TokenStore, TokenStore]:
        """Of queries and passages. Made before the first step, and so never by two threads."""
        return (
            tokens_of(self._trainee, self._pairs.queries, "query"),
            tokens_of(self._trainee, self._pairs.passages, "passage"),
        )

    @cached_property
    def _per_epoch(self) -> int:
        """Batches of an epoch: a function of the pairs and the spec, so that any step is found."""
        queries, passages = self._tokens
        if self._own.batch_pairs:
            return math.ceil(len(self._pairs) / self._own.batch_pairs)
        total = self._pairs.tokens(queries.lengths, passages.lengths, self._own.negatives)
        pairs = len(self._pairs) // 2  # one alone would have no negatives
        return steps_per_epoch(round(total), pairs, self._spec.schedule.batch_tokens)

    @cached_property
    def _goals(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What queries and passages are to stay near, [texts, dim] float16."""
        if self._keep is None:
            return None
        return (
            self._asked(self._keep, self._pairs.queries, "query"),
            self._asked(self._keep, self._pairs.passages, "passage"),
        )

    def _goals_of(self, batch: PairBatch) -> np.ndarray | None:
        if self._goals is None:
            return None
        queries, passages = self._goals
        rows = np.concatenate([queries[batch.queries], passages[batch.passages]])
        return _unit(rows.astype(np.float32))

    def _asked(self, keep: TeacherCache, texts: Sequence[str], role: Role) -> np.ndarray:
        shards = [texts[start : start + _SHARD] for start in range(0, len(texts), _SHARD)]
        if not all(keep.holds(shard, role) for shard in shards):
            log.warning("%s encodes %d texts to stay near", keep.teacher_name, len(texts))
        return np.concatenate([keep.targets(shard, role).vectors for shard in shards])

    def _terms(
        self, batch: PairBatch, device: torch.device
    ) -> dict[str, Callable[[Tensor], Tensor]]:
        """Each as a function of the scores of the queries with the passages [n, m]."""
        own = self._own
        columns = torch.from_numpy(batch.columns).to(device)
        present = torch.from_numpy(batch.present).to(device)
        answers = torch.from_numpy(batch.answers).to(device)
        teacher = torch.from_numpy(batch.scores * np.float32(own.score_scale)).to(device)
        scored = present & torch.from_numpy(batch.scored).to(device)[:, None]
        return {
            "infonce": lambda scores: in_batch_nce(
                scores, columns[:, 0], answers, own.temperature, both_ways=own.both_ways
            ),
            "triplet": lambda scores: triplet_margin(
                scores.gather(1, columns), present, own.margin
            ),
            "margin_mse": lambda scores: margin_mse(scores.gather(1, columns), teacher, scored),
            "kl": lambda scores: listwise_kl(
                scores.gather(1, columns), teacher, scored, own.kl_temperature
            ),
        }


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, np.float32(1))


def _mean_cosine(found: np.ndarray, goals: np.ndarray) -> float:
    return float((_unit(found) * _unit(goals)).sum(1).mean())


def _reciprocal_rank(scores: np.ndarray, answers: Sequence[set[int]]) -> float:
    """The mean over queries; what ties with the best answer stands before it."""
    total = 0.0
    for own, known in zip(scores, answers, strict=True):
        mine = np.zeros(len(own), bool)
        mine[list(known)] = True
        total += 1 / (1 + int((own[~mine] >= own[mine].max()).sum()))
    return total / len(answers)
