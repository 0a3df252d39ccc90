"""The cold tier in a search: which queries need it, and their hot answers completed from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments, Mismatch
from ...core.protocols import Encoder
from ...index.lexical.bm25s import Bm25sIndex
from ...index.tiers import TieredPassages, joined
from ..retrievers import DenseRetriever, LexicalRetriever
from .signals import SIGNALS, mode_of, sureness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from ...core.protocols import Encoded, EncoderCard, Role
    from ...core.records import Float32Array, Float64Array, Int32Array, Query, Ranking
    from ...core.stopwatch import Stopwatch
    from ...index.cold_sketch import ColdSketch
    from ...index.folder import IndexFolder
    from ..retrievers import FirstStage

WHEN = ("auto", "always", "never")

SKETCH_STAGE = "cold sketch"
"""What the time is called that telling unsure queries takes; every query spends it."""


@dataclass(frozen=True)
class ColdTier:
    """What lies below the hot stages of a search; nothing of it is loaded before it is asked.

    ``thresholds`` are the manifest's, by mode: a query goes cold, in all its stages, where its
    sureness is not above the threshold. None: every query does. ``sketch`` is what the hot tier
    knows of this one, by which it is told how sure an answer is.
    """

    folder: IndexFolder
    hot_rows: int
    thresholds: Mapping[str, Mapping[str, Any]] | None
    sketch: ColdSketch | None = None

    @property
    def told(self) -> list[Any]:
        """JSON values that say, of one index, which queries go cold: by these rules, or all."""
        if self.thresholds is None:
            return [self.hot_rows]
        return [self.hot_rows, {mode: dict(rule) for mode, rule in self.thresholds.items()}]

    def misfits(self, stages: Sequence[FirstStage]) -> list[str]:
        """Why these hot stages cannot be completed from this tier; nothing where they can."""
        wrong = [
            f"{stage.name} reads passages without the cold tier: take its stages from one index"
            for stage in stages
            if not isinstance(stage.passages, TieredPassages)
            or not isinstance(stage, DenseRetriever | LexicalRetriever)
        ]
        mode = mode_of(stage.name for stage in stages)
        if self.thresholds is not None and mode not in self.thresholds:
            known = ", ".join(self.thresholds) or "none"
            wrong.append(
                f"the cold tier has no threshold for {mode} (known: {known}): set one with "
                f"tamis tune-cold, or search it always or never"
            )
        if self.thresholds is not None and self.sketch is None:
            wrong.append(without_sketch(self.folder.path.parent))
        return wrong

    def completed(
        self,
        stages: Sequence[FirstStage],
        found: Mapping[str, Sequence[Ranking]],
        queries: Sequence[Query],
        clock: Stopwatch,
    ) -> tuple[dict[str, list[Ranking]], NDArray[np.bool_]]:
        """The rankings of every stage, those of unsure queries joined with the cold tier's own;
        and which queries that were."""
        unsure = self.unsure(stages, found, queries, clock)
        places = np.flatnonzero(unsure).tolist()
        asked = [queries[place] for place in places]
        whole = {name: list(rankings) for name, rankings in found.items()}
        for stage in stages if places else ():
            answers = self._beside(stage).retrieve(asked, clock)
            with clock.stage("join tiers"):
                for place, answer in zip(places, answers, strict=True):
                    hot = whole[stage.name][place]
                    whole[stage.name][place] = joined(hot, answer, self.hot_rows, stage.k)
        return whole, unsure

    def unsure(
        self,
        stages: Sequence[FirstStage],
        found: Mapping[str, Sequence[Ranking]],
        queries: Sequence[Query],
        clock: Stopwatch,
    ) -> NDArray[np.bool_]:
        """[queries]: whether the hot answers call for the cold tier. Mismatch for a threshold on
        another signal than this version computes."""
        if self.thresholds is None:
            return np.ones(len(queries), np.bool_)
        mode = mode_of(found)
        rule = self.thresholds[mode]
        if rule["signal"] != SIGNALS[mode]:
            raise Mismatch(
                f"the threshold of {self.folder.path} for {mode} is one on {rule['signal']!r}, "
                f"this tamis compares {SIGNALS[mode]!r}: run tamis tune-cold again"
            )
        if rule["threshold"] is None:
            return np.zeros(len(queries), np.bool_)
        assert self.sketch is not None, "its lack is a misfit"
        with clock.stage(SKETCH_STAGE):
            sure = sureness(found, best_below(self.sketch, stages, queries))
        unsure: NDArray[np.bool_] = sure <= rule["threshold"]
        return unsure

    def _beside(self, stage: FirstStage) -> FirstStage:
        """The same stage over the cold tier."""
        name = cold_name(stage.name)
        if isinstance(stage, DenseRetriever):
            return replace(stage, index=self.folder.dense, name=name)
        assert isinstance(stage, LexicalRetriever), "all others are misfits"
        return replace(stage, index=self.folder.lexical, name=name)


def best_below(
    sketch: ColdSketch, stages: Sequence[FirstStage], queries: Sequence[Query]
) -> dict[str, Float64Array]:
    """By stage [queries]: what the cold tier's best score is thought to be, from its sketch."""
    found = {}
    for stage in stages:
        if isinstance(stage, DenseRetriever):
            vectors = stage.encoder.encode_queries([query.text for query in queries])
            found[stage.name] = sketch.best_products(vectors)
        else:
            assert isinstance(stage, LexicalRetriever), "all others are misfits"
            assert isinstance(stage.index, Bm25sIndex), "no other engine has tiers"
            found[stage.name] = stage.index.bounds(queries, sketch.terms)
    return found


def without_sketch(index: Path) -> str:
    """What is said of an index that an older tamis built."""
    return (
        f"{index} holds no sketch of its cold tier, which says when to search it: build it again "
        f"with --overwrite, or search the tier always or never"
    )


def cold_name(stage: str) -> str:
    """What a first stage is called where it searches the cold tier."""
    return f"{stage} (cold)"


def cold_tier(folder: IndexFolder, when: str) -> ColdTier | None:
    """The cold tier of an index, to be asked ``when``; None for never, and where there is none.

    Raises BadArguments for an unknown word, and for "always" where there is none.
    """
    if when not in WHEN:
        raise BadArguments(f"cold is {when!r}; known: {', '.join(WHEN)}")
    if when == "always" and folder.cold is None:
        raise BadArguments(
            f"{folder.path} has no cold tier: build it with --keep and --cold, or search without"
        )
    if when == "never" or folder.cold is None:
        return None
    assert folder.manifest is not None, "a foreign index has no cold tier"
    assert folder.manifest.cold is not None, "the case above"
    thresholds = None if when == "always" else folder.manifest.cold["thresholds"]
    return ColdTier(folder.cold, len(folder), thresholds, folder.sketch)


def remembering(
    stages: Sequence[FirstStage],
) -> list[FirstStage]:
    """The same stages for one run, whose encoder is asked once for the queries of both tiers."""
    return [
        replace(stage, encoder=LastQueries(stage.encoder))
        if isinstance(stage, DenseRetriever)
        else stage
        for stage in stages
    ]


class LastQueries(Encoder):
    """An encoder that remembers the vectors of its last batch of queries, for the second tier."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._last: dict[str, Float32Array] = {}

    @property
    def card(self) -> EncoderCard:
        return self._encoder.card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        return self._encoder.encode(texts, role)

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        return self._encoder.count_tokens(texts, role)

    def encode_queries(self, texts: Sequence[str]) -> Float32Array:
        last = self._last
        if texts and all(text in last for text in texts):
            return np.stack([last[text] for text in texts])
        vectors = self._encoder.encode_queries(texts)
        self._last = dict(zip(texts, vectors, strict=True))
        return vectors
