"""All that is wrong with a comparison, told at once before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.corpus import open_corpus
from ....core.errors import BadArguments, MissingResource, TamisError
from ....core.near import near
from ....core.runs import read_run
from ....eval.evaluate import distinct
from ....index.recipes import parse_recipe
from ...cascade import index_problems, refuse
from ...choices import DEFAULT_ENCODER, Lexical
from ...components import encoder as load_encoder
from ...opening import open_index
from .splits import DEV, TEST, read_splits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ....core.records import RunScores
    from ....eval.measures import Measure
    from ...opening import Index
    from .spec import Budget, CompareSpec, IndexSpec, SystemSpec
    from .splits import Split


@dataclass(frozen=True)
class Checked:
    """A comparison that can be done, and what was read to know it.

    ``opened``: the indexes that are there, by name; the others are to be built. ``runs``: the
    peers' run files, by system.
    """

    spec: CompareSpec
    test: Split
    dev: Split | None
    measures: tuple[Measure, ...]
    opened: Mapping[str, Index]
    runs: Mapping[str, RunScores]


def check(spec: CompareSpec, budget: Budget | None = None) -> Checked:
    """Raises every misfit as one error: its own kind, or BadArguments where several kinds meet."""
    problems: list[TamisError] = [] if budget is None else list(budget.problems(spec))
    splits = read_splits(spec.collection, problems)
    measures = _measures(spec, problems)
    opened = _opened(spec, problems)
    runs = _runs(spec, splits.get(TEST), problems)
    problems += _baseline(spec)
    for system in spec.cascades:
        problems += _system(system, spec, opened)
    refuse(problems, f"the comparison {spec.source}")
    return Checked(spec, splits[TEST], splits.get(DEV), measures, opened, runs)


def _measures(spec: CompareSpec, problems: list[TamisError]) -> tuple[Measure, ...]:
    try:
        return tuple(distinct(spec.measures))
    except TamisError as failure:
        problems.append(failure)
        return ()


def _baseline(spec: CompareSpec) -> Iterator[TamisError]:
    names = [system.name for system in spec.systems]
    if spec.baseline not in names:
        hint = near(spec.baseline, names) or ","
        yield BadArguments(
            f"the baseline {spec.baseline!r} is no system of the file{hint} "
            f"systems: {', '.join(names)}"
        )


def _opened(spec: CompareSpec, problems: list[TamisError]) -> dict[str, Index]:
    used = {system.index for system in spec.cascades}
    found: dict[str, Index] = {}
    for name, index in spec.indexes.items():
        if name not in used:
            problems.append(BadArguments(f"no system uses [index.{name}]; take it out"))
        elif index.path is not None:
            try:
                found[name] = open_index(index.path)
            except TamisError as failure:
                problems.append(type(failure)(f"[index.{name}]: {failure}"))
        else:
            problems += _build_problems(index, spec)
    if spec.collection.corpus is not None:
        try:
            open_corpus(spec.collection.corpus)
        except TamisError as failure:
            problems.append(failure)
    elif spec.collection.index is not None and not Path(spec.collection.index).is_dir():
        problems.append(MissingResource(f"{spec.collection.index} is no index folder"))
    return found


def _build_problems(index: IndexSpec, spec: CompareSpec) -> Iterator[TamisError]:
    where, options = f"[index.{index.name}]", index.options
    if spec.collection.corpus is None:
        yield BadArguments(f"{where} has no path, and [collection] no corpus to build it from")
    lexical = options.get("lexical", "bm25s")
    if lexical not in list(Lexical):
        known = ", ".join(Lexical)
        yield BadArguments(f"lexical in {where} is {lexical!r}; known: {known}")
    keep = options.get("keep")
    if keep is not None and not 0 < keep <= 1:
        yield BadArguments(f"keep in {where} is {keep}; expected a share above 0, at most 1")
    try:
        parse_recipe(options.get("ann", "flat"))
        load_encoder(options.get("encoder", DEFAULT_ENCODER))
    except TamisError as failure:
        yield type(failure)(f"{where}: {failure}")


def _system(
    system: SystemSpec, spec: CompareSpec, opened: Mapping[str, Index]
) -> Iterator[TamisError]:
    """What is wrong with a cascade whatever the index, and what does not fit its index."""
    cascade = system.cascade
    assert cascade is not None, "only those that have one come here"
    found = list(cascade.problems())
    index = spec.indexes.get(system.index)
    if index is None:
        known = ", ".join(spec.indexes) or "none"
        hint = near(system.index, spec.indexes) or ","
        found.append(BadArguments(f"no index is called {system.index!r}{hint} indexes: {known}"))
    elif system.index in opened:
        found += index_problems(cascade, opened[system.index])
    elif index.path is None:
        if cascade.lexical is not None and index.options.get("lexical") == "none":
            found.append(
                BadArguments(f'it asks lexical, and [index.{index.name}] has lexical = "none"')
            )
        if cascade.cold == "always" and not index.options.get("cold"):
            found.append(
                BadArguments(f"it asks the cold tier, and [index.{index.name}] keeps none")
            )
    for problem in found:
        yield type(problem)(f"system {system.name!r}: {problem}")


def _runs(
    spec: CompareSpec, test: Split | None, problems: list[TamisError]
) -> dict[str, RunScores]:
    found: dict[str, RunScores] = {}
    for system in spec.systems:
        if system.run is None:
            continue
        try:
            found[system.name] = read_run(Path(system.run))
        except TamisError as failure:
            problems.append(type(failure)(f"system {system.name!r}: {failure}"))
            continue
        if test is not None and not any(query.id in found[system.name] for query in test.queries):
            problems.append(
                BadArguments(
                    f"system {system.name!r}: {system.run} holds none of the {len(test.queries)} "
                    f"queries of test"
                )
            )
    return found
