"""Quick-Thoughts: tell which sentences of a batch stand beside a sentence, from text alone.

Logeswaran and Lee 2018, "An efficient framework for learning sentence representations"
(1803.02893). They train two encoders f and g, score f(s) . g(s') and search with f and g side by
side. Here g is f: what is trained is then what a search compares, and vectors stay as short as
they were. Standing beside is mutual, so one encoder can say it. As our vectors are of unit length,
the product is a cosine and has a temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ...core.errors import BadArguments, BadData
from .own_space import plain_sources, student_in_own_space
from .sentences import sentences
from .spec import at_least
from .texts import interleaved
from .token_store import TokenStore, rows_of_steps, spans, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from .recipe import Recipe
    from .spec import TrainingSpec
    from .texts import TextSource
    from .trainee import Tokens, Trainee

_WORDS = range(3, 65)  # a sentence with fewer says little alone, with more it was cut wrongly
_HELD_OUT = 2  # has random numbers of its own; 0 is the epochs'


@dataclass(frozen=True, slots=True)
class QuickThoughtsSpec:
    """window: so many sentences to each side are neighbours, 1 to 3. temperature: of the softmax; a
    transformer that compares by dot product wants 1. longest: a text with more sentences is cut
    into passages of so many. held_out: passages that are never learned from, for ``watch``."""

    window: int = 1
    temperature: float = 0.05
    longest: int = 32
    held_out: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 3:
            raise BadArguments(f"[quick-thoughts] window is {self.window}, expected 1 to 3")
        if self.temperature <= 0:
            raise BadArguments(f"[quick-thoughts] temperature is {self.temperature}, expected > 0")
        at_least("[quick-thoughts] longest", self.longest, 2)
        at_least("[quick-thoughts] held_out", self.held_out, 0)


def quick_thoughts(spec: TrainingSpec, cache: Path) -> Recipe:
    """The recipe ready to train; everything that can be wrong in the spec is found first."""
    del cache  # no teacher is asked anything
    spec.only("teacher", "quick-thoughts", "texts")
    own = spec.section(QuickThoughtsSpec, "quick-thoughts")
    sources = plain_sources(spec)
    for source in sources:
        if source.part != "whole":
            raise BadArguments(
                f"{spec.source} [[texts]]: part is {source.part!r} for {source.path}, where no "
                f'sentence has a neighbour; expected "whole"'
            )
    return QuickThoughts(spec, own, sources, student_in_own_space(spec))


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences; passage and place [n], where each stands; words [n], equal for equal texts."""

    tokens: Tokens
    passage: np.ndarray
    place: np.ndarray
    words: np.ndarray


class QuickThoughts:
    """The recipe. Passages are whole in a batch, so that every sentence has a neighbour there."""

    def __init__(
        self,
        spec: TrainingSpec,
        own: QuickThoughtsSpec,
        sources: list[TextSource],
        trainee: Trainee,
    ) -> None:
        self._spec, self._own, self._trainee = spec, own, trainee
        parts, words, counts = [], [], []
        for shard in interleaved(sources):
            found = [p for text in shard.texts for p in passages(text, own.longest)]
            flat = [sentence for passage in found for sentence in passage]
            parts.append(trainee.tokens(flat, shard.role))
            words += [hash(sentence) for sentence in flat]
            counts += [len(passage) for passage in found]
        self._store = TokenStore(parts)
        self._words = np.array(words, np.int64)
        self._counts = np.array(counts, np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        if len(counts) <= own.held_out:
            raise BadData(
                f"{spec.source}: {len(counts)} texts with two sentences in a row, {own.held_out} "
                f"held out"
            )
        order = np.random.default_rng([spec.seed, _HELD_OUT]).permutation(len(counts))
        self._held_out, self._learned = order[: own.held_out], order[own.held_out :]
        self._files = sorted({source.file.name for source in sources})

    @property
    def trainee(self) -> Trainee:
        return self._trainee

    @property
    def trained_on(self) -> str:
        return (
            f"It learned which sentences stand side by side in {len(self._learned):,} passages of "
            f"{', '.join(self._files)}."
        )

    @cached_property
    def steps(self) -> int:
        return max(1, int(self._batches_of(self._learned) * self._spec.schedule.epochs))

    def batches(self, start: int) -> Iterator[Batch]:
        n, per_epoch = len(self._learned), self._batches_of(self._learned)
        for _, rows in rows_of_steps(n, per_epoch, self._spec.seed, start, self.steps):
            yield self.batch(self._learned[rows])

    def batch(self, rows: np.ndarray) -> Batch:
        """All sentences of the passages ``rows``."""
        counts = self._counts[rows]
        at = spans(self._starts[rows], counts)
        place = spans(np.zeros(len(rows), np.int64), counts)
        passage = np.repeat(np.arange(len(rows)), counts)
        return Batch(self._store.take(at), passage, place, self._words[at])

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        loss, _ = self._told_apart(batch)
        return {"neighbours": loss}

    def watch(self) -> Mapping[str, float]:
        """Over held-out passages the loss, and how often what seems nearest is a neighbour."""
        if not len(self._held_out):
            return {}
        self._trainee.module.eval()
        found = np.zeros(2)
        for rows in np.array_split(self._held_out, self._batches_of(self._held_out)):
            batch = self.batch(rows)
            with torch.no_grad():
                loss, first = self._told_apart(batch)
            found += len(batch.words) * np.array([float(loss), float(first)])
        loss, first = found / self._counts[self._held_out].sum()
        return {"held-out neighbours": float(loss), "neighbour found first": float(first)}

    def _told_apart(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the share of sentences whose nearest candidate is a neighbour."""
        vectors = self._trainee.vectors(batch.tokens)
        positives = torch.from_numpy(neighbours(batch.passage, batch.place, self._own.window))
        same = torch.from_numpy(batch.words[:, None] == batch.words)
        positives, same = positives.to(vectors.device), same.to(vectors.device)
        scores = (vectors @ vectors.T / self._own.temperature).masked_fill(
            same & ~positives, -torch.inf
        )
        right = positives.gather(1, scores.argmax(1, keepdim=True))
        return neighbour_loss(scores, positives), right.float().mean()

    def _batches_of(self, rows: np.ndarray) -> int:
        at = spans(self._starts[rows], self._counts[rows])
        tokens = int(self._store.lengths[at].sum())
        return steps_per_epoch(tokens, len(rows), self._spec.schedule.batch_tokens)


def passages(text: str, longest: int) -> list[list[str]]:
    """The sentences of a text of 3 to 64 words, in order, each once; at most ``longest`` to a
    passage, and at least 2: what has no neighbour is left out."""
    fit = [s for s in dict.fromkeys(sentences(text)) if len(s.split()) in _WORDS]
    cut = [fit[start : start + longest] for start in range(0, len(fit), longest)]
    return [passage for passage in cut if len(passage) > 1]


def neighbours(passage: np.ndarray, place: np.ndarray, window: int) -> np.ndarray:
    """[n, n] bool: sentences of one passage, at most ``window`` places apart, not the same."""
    apart = np.abs(place[:, None] - place)
    near = (passage[:, None] == passage) & (apart > 0) & (apart <= window)
    return np.asarray(near)


def neighbour_loss(scores: Tensor, positives: Tensor) -> Tensor:
    """Cross-entropy of each row's softmax with its positives, each of them as likely.

    scores [n, n], -inf for what is no candidate; positives [n, n] bool, at least one a row and
    each a candidate.
    """
    logs = nn.functional.log_softmax(scores, 1).masked_fill(~positives, 0)
    return -(logs.sum(1) / positives.sum(1)).mean()
