"""A cascade as a value: which first stages, how they are joined, which rerankers, how deep each.

From a TOML file (``cascade_file``), from the command line's options or written down in Python; it
names its parts, and ``over`` an index they become a ``Search``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core import registry
from ..core.errors import BadArguments, TamisError
from ..core.fingerprints import of_value
from ..core.near import near
from ..core.protocols import Prepared
from .cold.tier import WHEN
from .components import reranker, reranker_factory, reranker_options
from .early_exit import MARGINS, EarlyExit
from .fusion import METHODS, checked_weights
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..core.protocols import Reranker
    from .opening import Index, When
    from .retrievers import DenseRetriever, LexicalRetriever

DEPTH = 100
"""Candidates of a rerank stage that names no depth."""


@dataclass(frozen=True)
class RerankStage:
    """A reranker by name or path, the depth it scores to, and its factory's own options.

    ``exit``: the queries that pass the stage by (see ``early_exit``); None, and none does.
    """

    name: str
    keep: int = DEPTH
    options: Mapping[str, Any] = field(default_factory=dict)
    exit: EarlyExit | None = None

    def load(self, device: str = "cpu") -> Reranker:
        """The reranker, its model loaded; raises what loading raises."""
        made = reranker(self.name, keep=self.keep, device=device, **self.options)
        if isinstance(made, Prepared):
            made.prepare()
        return made


@dataclass(frozen=True)
class Cascade:
    """Depths of the first stages (None: not asked), their fusion, and the rerank stages in order.

    ``weights`` and ``fuse`` matter with both first stages only. ``k`` is how many answers are
    kept, None all that the last stage leaves. ``cold`` says when the pruned passages are searched,
    where the index keeps them: auto (where the hot answer looks unsure), always or never. Any
    values may be held: ``problems`` tells what is wrong with them, and ``over`` refuses to run
    what is.
    """

    dense: int | None = None
    lexical: int | None = None
    fuse: str = "rrf"
    weights: Mapping[str, float] | None = None
    rerank: Sequence[RerankStage] = ()
    k: int | None = None
    cold: str = "auto"

    @property
    def depth(self) -> int:
        """How many candidates the last stage leaves at most."""
        return min(
            [max(self.dense or 0, self.lexical or 0), *(stage.keep for stage in self.rerank)]
        )

    def problems(self) -> list[TamisError]:
        """All that is wrong whatever the index: unknown names and options, depths, fusion.

        Rerankers are imported for it (their packages found missing), models are not loaded.
        """
        return [
            *map(BadArguments, self._first_stage_problems()),
            *map(BadArguments, self._depth_problems()),
            *(problem for stage in self.rerank for problem in _stage_problems(stage)),
            *map(BadArguments, self._stale_exits()),
        ]

    def over(self, index: Index, *, device: str = "cpu") -> Search:
        """The search over this index, its models loaded: what can be refused is refused here.

        Every misfit is told at once: those of ``problems``, no texts to rerank, no BM25, an
        encoder or a model that cannot be had. One kind of error raises as itself, several as
        BadArguments.
        """
        found = [*self.problems(), *index_problems(self, index)]
        parts: dict[str, DenseRetriever | LexicalRetriever] = {}
        rerankers: list[Reranker] = []
        if not any(isinstance(problem, BadArguments) for problem in found):
            found += self._assembled(index, device, parts, rerankers)
        refuse(found)
        return Search(
            dense=parts.get("dense"),
            lexical=parts.get("lexical"),
            fuse=self.fuse,
            weights=self.weights,
            rerank=rerankers,
            exits=[stage.exit for stage in self.rerank],
            k=self.k,
            cold=index.cold(cast("When", self.cold)),
            origin=index.fingerprint,
        )

    def _assembled(
        self,
        index: Index,
        device: str,
        parts: dict[str, DenseRetriever | LexicalRetriever],
        rerankers: list[Reranker],
    ) -> Iterator[TamisError]:
        """Fills ``parts`` and ``rerankers``; yields what could not be had."""
        wanted: list[tuple[str, int | None, Callable[[int], DenseRetriever | LexicalRetriever]]] = [
            ("dense", self.dense, index.dense),
            ("lexical", self.lexical, index.lexical),
        ]
        for name, depth, retriever in wanted:
            if depth is not None:
                try:
                    parts[name] = retriever(depth)
                except TamisError as failure:
                    yield failure
        for stage in self.rerank:
            try:
                rerankers.append(index.lending(stage.load(device)))
            except TamisError as failure:
                yield failure

    def _first_stage_problems(self) -> Iterator[str]:
        depths = {"dense": self.dense, "lexical": self.lexical}
        asked = [name for name, depth in depths.items() if depth is not None]
        if not asked:
            yield "it has no first stage: give a depth for dense, lexical or both"
        for name in asked:
            if depths[name] < 1:  # type: ignore[operator]
                yield f"{name} has depth {depths[name]}; expected at least 1"
        if self.fuse not in METHODS:
            known = ", ".join(METHODS)
            yield f"no fusion is called {self.fuse!r}{near(self.fuse, METHODS)} known: {known}"
        if self.cold not in WHEN:
            known = ", ".join(WHEN)
            yield f"cold is {self.cold!r}{near(self.cold, WHEN) or ','} known: {known}"
        if self.weights and len(asked) == 1:
            yield f"weights are for a fusion, and {asked[0]} is alone"
        elif self.weights:
            try:
                checked_weights(self.weights, asked)
            except BadArguments as failure:
                yield str(failure)

    def _stale_exits(self) -> Iterator[str]:
        for number, stage in enumerate(self.rerank):
            learned = stage.exit.calibration.get("stages") if stage.exit else None
            if learned is not None and learned != stages_fingerprint(self, number):
                yield (
                    f"the exit before {stage.name} was calibrated with other stages, depths or "
                    f"models: run tamis calibrate again, or delete its calibration to keep it"
                )

    def _depth_problems(self) -> Iterator[str]:
        reach = max(self.dense or 0, self.lexical or 0)
        for place, stage in enumerate(self.rerank, 1):
            if stage.keep < 1:
                yield f"rerank stage {place} ({stage.name}) has depth {stage.keep}; at least 1"
                continue
            if reach and stage.keep > reach:
                yield (
                    f"rerank stage {place} ({stage.name}) wants {stage.keep} candidates, "
                    f"at most {reach} reach it"
                )
            reach = min(reach, stage.keep) if reach else 0
        if self.k is not None and self.k < 1:
            yield f"k is {self.k}; ask for at least one passage"
        elif self.k is not None and reach and self.k > reach:
            yield f"k is {self.k}, and at most {reach} candidates are left at the end"


def from_options(
    k: int,
    *,
    mode: str,
    fuse: str,
    weights: Mapping[str, float] | None,
    rerank: Sequence[RerankStage],
    first_stage: int,
    cold: str = "auto",
) -> Cascade:
    """What ``tamis search`` runs without a file: first stages as deep as any later one asks.

    Two first stages are ``first_stage`` deep at least. ``k`` is cut to what the stages leave.
    """
    deepest = max([k, *(stage.keep for stage in rerank)])
    depth = max(deepest, first_stage) if mode == "hybrid" else deepest
    return Cascade(
        dense=depth if mode != "lexical" else None,
        lexical=depth if mode != "dense" else None,
        fuse=fuse,
        weights=weights,
        rerank=tuple(rerank),
        k=min([k, *(stage.keep for stage in rerank)]),
        cold=cold,
    )


def stages_fingerprint(cascade: Cascade, number: int) -> str:
    """Of all that an exit before rerank stage ``number`` (from 0) was calibrated with.

    The stages up to and with this one and the exits before it; of paths the last part alone, so
    that folders may move.
    """
    stages = [
        [
            Path(stage.name).name,
            stage.keep,
            {name: _last_part(value) for name, value in sorted(stage.options.items())},
            None
            if place == number or not stage.exit
            else [stage.exit.margin, stage.exit.threshold],
        ]
        for place, stage in enumerate(cascade.rerank[: number + 1])
    ]
    weights = dict(cascade.weights or {})
    told = [cascade.dense, cascade.lexical, cascade.fuse, weights, cascade.cold, stages]
    return of_value(repr(told))[:16]


def _last_part(value: object) -> object:
    return Path(value).name if isinstance(value, str | Path) else value


def parse_stage(text: str) -> RerankStage:
    """``NAME``, ``NAME:DEPTH``, ``NAME=MODEL`` or ``NAME=MODEL:DEPTH``; a path holds no "="."""
    name, colon, depth = text.rpartition(":")
    if not colon or not depth.isdigit():
        name, depth = text, str(DEPTH)
    name, equals, model = name.partition("=")
    return RerankStage(name, int(depth), {"model": model} if equals else {})


def reranker_of(text: str, device: str = "cpu") -> Reranker:
    """The reranker that ``parse_stage`` reads in ``text``, its model loaded.

    Raises UnknownComponent, BadArguments for a model that its kind does not take, and what loading
    raises.
    """
    stage = parse_stage(text)
    refuse(list(_stage_problems(stage)))
    return stage.load(device)


def refuse(problems: Sequence[TamisError], what: str = "this cascade") -> None:
    """Raise all problems as one error about ``what``; nothing for none."""
    if not problems:
        return
    kinds = {type(problem) for problem in problems}
    kind = kinds.pop() if len(kinds) == 1 else BadArguments
    if len(problems) == 1:
        raise kind(f"{what} cannot run: {problems[0]}")
    told = "".join(f"\n  - {problem}" for problem in problems)
    raise kind(f"{what} cannot run, for {len(problems)} reasons:{told}")


def _stage_problems(stage: RerankStage) -> Iterator[TamisError]:
    try:
        factory = reranker_factory(stage.name)
    except TamisError as failure:
        known = registry.names("reranker")
        yield type(failure)(f"{failure}{near(stage.name, known)}")
        return
    allowed = reranker_options(factory)
    for option in stage.options:
        if option not in allowed:
            legal = ", ".join(sorted(allowed)) or "none"
            yield BadArguments(
                f"{stage.name} has no option {option!r}{near(option, allowed)}; options: {legal}"
            )
    if stage.exit is None:
        return
    if stage.exit.margin not in MARGINS:
        known_margins = ", ".join(MARGINS)
        yield BadArguments(
            f"no margin is called {stage.exit.margin!r}{near(stage.exit.margin, MARGINS)} "
            f"known: {known_margins}"
        )
    if math.isnan(stage.exit.threshold):
        yield BadArguments(f"the exit before {stage.name} has the threshold nan")


def index_problems(cascade: Cascade, index: Index) -> Iterator[TamisError]:
    if cascade.rerank and not index.passages.has_texts:
        names = ", ".join(stage.name for stage in cascade.rerank)
        yield BadArguments(
            f"{index.folder.path} holds no texts, which {names} would read; build an index of ours"
        )
    manifest = index.folder.manifest
    if cascade.lexical is not None and (manifest is None or manifest.lexical is None):
        yield BadArguments(
            f"{index.folder.path} holds no BM25, so lexical cannot be asked; "
            f"build it with --lexical bm25s"
        )
    if cascade.cold in WHEN:
        try:
            index.cold(cast("When", cascade.cold))
        except TamisError as failure:
            yield failure
