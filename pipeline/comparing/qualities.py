"""The ways of pruning that are held against each other, each a column of scores and a rule."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments
from ...core.fingerprints import of_value
from ...encoders.quality.chance import RandomQuality
from ...encoders.quality.length import LengthQuality
from ...index.building.score_shards import BLOCK, ScoreShards, scores_of
from ...index.pruning import Cut
from ..scorers import Given, fitted, scorer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...core.progress import Progress
    from ...core.protocols import QualityModel, QualityRecipe
    from ...core.records import Float32Array, Int64Array
    from .collection import Collection
    from .desk import Desk

MODEL, LENGTH, RANDOM, ORACLE = "model", "length", "random", "oracle"
"""Kinds: what was asked for, two controls, and a bound that has seen the judgments."""

_SHARD_ROWS = 8192
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True)
class Column:
    """Scores [passages] float32, higher means keep, and rows that no cut takes.

    ``seconds`` is what scoring every passage took, fitting included; None for scores from a file
    and for the oracle, which cost nothing that a build would pay. ``seed`` is random's.
    """

    name: str
    kind: str
    scores: Float32Array
    protected: Int64Array
    fingerprint: str
    seconds: float | None = None
    seed: int | None = None

    def kept(self, share: float) -> NDArray[np.bool_]:
        """[passages]: what ``tamis build --keep`` of 1 - share would index."""
        keep = float(1 - Fraction(str(share)))  # as it is written: 1 - .7 is .3 and no more
        return Cut(keep=keep).mask(self.scores, self.protected)


class Qualities:
    """All that can be refused without the corpus is refused here. Raises what ``--quality`` does.

    Each quality is a model, a recipe, the name or file of one, or a ``.npy`` file of scores.
    """

    def __init__(
        self, chosen: Sequence[str | Path | QualityModel | QualityRecipe], seeds: int
    ) -> None:
        if seeds < 1:
            raise BadArguments(f"seeds is {seeds}; random pruning needs at least one, such as 10")
        self._seeds = seeds
        self._scorers: dict[str, QualityModel | QualityRecipe | Given] = {}
        for each in chosen:
            name = _name(each)
            if name in (LENGTH, RANDOM):
                continue  # they are there in any case
            if name in self._scorers or name == ORACLE:
                raise BadArguments(
                    f"two qualities are called {name!r}; give each once, under a name of its own"
                )
            self._scorers[name] = scorer_of(each)

    def columns(self, collection: Collection, desk: Desk, progress: Progress) -> list[Column]:
        """Those asked for, in their order, then length, random (a column a seed) and the oracle."""
        found = [
            _column(name, scorer, collection, desk, progress)
            for name, scorer in self._scorers.items()
        ]
        found.append(_column(LENGTH, LengthQuality(), collection, desk, progress, LENGTH))
        with progress.stage("score (random)", self._seeds * len(collection)) as advance:
            for seed in range(self._seeds):
                scores = _random(seed, collection)
                made_by = of_value([RANDOM, seed])
                found.append(Column(RANDOM, RANDOM, scores, _NOTHING, made_by, None, seed))
                advance(len(collection))
        protected = collection.relevant_rows()
        return [
            *found,
            Column(ORACLE, ORACLE, _random(0, collection), protected, of_value([ORACLE, 0])),
        ]


def _name(quality: str | Path | QualityModel | QualityRecipe) -> str:
    if isinstance(quality, str | Path):
        text = str(quality)
        return Path(text).name if text.endswith(".npy") or Path(text).is_file() else text
    return str(quality.name if hasattr(quality, "name") else quality.card.name)


def _column(
    name: str,
    scorer: QualityModel | QualityRecipe | Given,
    collection: Collection,
    desk: Desk,
    progress: Progress,
    kind: str = MODEL,
) -> Column:
    if isinstance(scorer, Given):
        scores = scorer.of(len(collection))
        return Column(name, kind, scores, _NOTHING, scorer.card.fingerprint)
    start = time.perf_counter()
    every = np.arange(len(collection))
    model = _Timed(fitted(scorer, collection.table, every, progress))
    fitting = time.perf_counter() - start
    made_by = model.card.fingerprint
    shards = ScoreShards(desk.folder("scores", made_by), model, len(collection), _SHARD_ROWS)
    with progress.stage(f"score ({name})", len(collection)) as advance:
        scores = shards.complete(collection.texts, advance)

    def seconds() -> float:
        if not model.passages:  # all scores were there, and nobody noted what they cost
            scores_of(model, collection.texts(0, BLOCK))
        return fitting + model.seconds / model.passages * len(collection)

    spent = desk.value("score-seconds", [collection.corpus, made_by], seconds)
    return Column(name, kind, scores, _NOTHING, made_by, spent)


def _random(seed: int, collection: Collection) -> Float32Array:
    model = RandomQuality(seed=seed)
    texts = (passage.full_text for passage in collection.table.stream())
    return np.concatenate([model.score([text]) for text in texts])


class _Timed:
    """A quality model that notes how long it takes."""

    def __init__(self, model: QualityModel) -> None:
        self._model = model
        self.card = model.card
        self.seconds = 0.0
        self.passages = 0

    def score(self, texts: Sequence[str]) -> Float32Array:
        start = time.perf_counter()
        scores = self._model.score(texts)
        self.seconds += time.perf_counter() - start
        self.passages += len(texts)
        return scores
