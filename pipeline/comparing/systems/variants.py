"""The cheaper forms of a cascade: shallower stages, fewer of them, one first stage for two."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...cascade import Cascade, RerankStage

LADDER = (1000, 300, 100, 30, 10)
"""Depths that are tried below the one that is written; each costs about a third of the last."""


def variants(cascade: Cascade) -> list[Cascade]:
    """Every combination of first stages, their common depth, and rerank stages with their depths,
    none deeper than written, depths never growing along the cascade; the one written among them,
    without ``k`` beyond what its last stage leaves."""
    deepest = max(cascade.dense or 0, cascade.lexical or 0)
    found = []
    for dense, lexical in _first_stages(cascade):
        for depth in _depths(deepest):
            reach = max(min(depth, each or 0) for each in _asked(cascade, dense, lexical))
            for stages in product(*map(_forms, cascade.rerank)):
                kept = tuple(stage for stage in stages if stage is not None)
                if _shrinks(reach, kept):
                    found.append(_made(cascade, dense, lexical, depth, kept))
    return list({repr(each): each for each in found}.values())


def no_deeper(one: Cascade, other: Cascade) -> bool:
    """Whether ``one`` asks the same stages as ``other`` or some of them, none of them deeper."""
    for mine, theirs in ((one.dense, other.dense), (one.lexical, other.lexical)):
        if (mine or 0) > (theirs or 0):
            return False
    behind = iter(other.rerank)  # stages of a form keep their order, and two may have one name
    return all(
        any(_same(stage, each) and stage.keep <= each.keep for each in behind)
        for stage in one.rerank
    )


def _same(one: RerankStage, other: RerankStage) -> bool:
    return one.name == other.name and one.options == other.options


def effort(cascade: Cascade) -> tuple[int, int, int]:
    """What is dear comes first: pairs to rerank, first stages, their depth. For sorting alone."""
    first = [depth for depth in (cascade.dense, cascade.lexical) if depth is not None]
    return sum(stage.keep for stage in cascade.rerank), len(first), sum(first)


def _first_stages(cascade: Cascade) -> Iterator[tuple[bool, bool]]:
    dense, lexical = cascade.dense is not None, cascade.lexical is not None
    yield dense, lexical
    if dense and lexical:
        yield True, False
        yield False, True


def _asked(cascade: Cascade, dense: bool, lexical: bool) -> Iterator[int | None]:
    """The depths that are written for the first stages of a form."""
    yield cascade.dense if dense else None
    yield cascade.lexical if lexical else None


def _depths(written: int) -> list[int]:
    return [written, *(step for step in LADDER if step < written)]


def _forms(stage: RerankStage) -> list[RerankStage | None]:
    """None: left out."""
    return [None, *(replace(stage, keep=keep) for keep in _depths(stage.keep))]


def _shrinks(depth: int, stages: tuple[RerankStage, ...]) -> bool:
    depths = [depth, *(stage.keep for stage in stages)]
    return all(later <= earlier for earlier, later in pairwise(depths))


def _made(
    cascade: Cascade, dense: bool, lexical: bool, depth: int, stages: tuple[RerankStage, ...]
) -> Cascade:
    made = replace(
        cascade,
        dense=min(depth, cascade.dense or 0) if dense else None,
        lexical=min(depth, cascade.lexical or 0) if lexical else None,
        weights=cascade.weights if dense and lexical else None,
        rerank=stages,
        k=None,
    )
    return made if cascade.k is None else replace(made, k=min(cascade.k, made.depth))
