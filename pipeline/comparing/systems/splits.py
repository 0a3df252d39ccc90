"""The two splits of a comparison: dev to choose on, test to report on, and nothing in both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ....core.errors import BadArguments, BadData, Mismatch, TamisError
from ....core.fingerprints import of_value
from ....core.qrels import read_qrels
from ....core.queries import read_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....core.records import Judgments, Query
    from .spec import CollectionSpec

DEV, TEST = "dev", "test"


@dataclass(frozen=True)
class Split:
    """Judged queries, sorted by id as text, and their judgments; ``source`` is the judgments'."""

    name: str
    source: str
    queries: tuple[Query, ...]
    judgments: Judgments
    warnings: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return of_value([[[q.id, q.text] for q in self.queries], self.judgments])


def read_splits(spec: CollectionSpec, problems: list[TamisError]) -> dict[str, Split]:
    """The splits by name; what is wrong with them is added to ``problems``.

    Dev and test may not share a query id: choices made on dev would then be made on test. A query
    of dev whose text also stands in test, under another id, is left out of dev, with a warning.
    """
    asked: dict[str, Query] = {}
    for source in spec.queries:
        try:
            read = read_queries(source)
        except TamisError as failure:
            problems.append(failure)
            continue
        problems += [
            BadData(f"query {query.id!r} has one text in {source} and another before it")
            for query in read
            if asked.setdefault(query.id, query).text != query.text
        ]
    found: dict[str, Split] = {}
    for name, judged in ((TEST, spec.test), (DEV, spec.dev)):
        if judged:
            try:
                found[name] = _split(name, judged, asked)
            except TamisError as failure:
                problems.append(failure)
    if len(found) == 2:
        found[DEV] = _apart(found[DEV], found[TEST], problems)
    return found


def sample_of(queries: Sequence[Query], size: int) -> list[Query]:
    """So many of the queries, evenly spread over them; all where they are fewer."""
    if len(queries) <= size:
        return list(queries)
    return [queries[place * len(queries) // size] for place in range(size)]


def _split(name: str, source: str, asked: dict[str, Query]) -> Split:
    read = read_qrels(source)
    judged = {query: grades for query, grades in read.judgments.items() if query in asked}
    if asked and not judged:
        raise Mismatch(
            f"none of the {len(asked)} queries is judged in {source} "
            f"({next(iter(read.judgments))!r}, ...); give the judgments of the queries"
        )
    queries = tuple(sorted((asked[query] for query in judged), key=lambda query: query.id))
    lost = len(read.judgments) - len(judged)
    warnings = list(read.warnings)
    if lost:
        warnings.append(
            f"{lost} of {len(read.judgments)} judged queries of {name} have no text and are left "
            f"out"
        )
    return Split(name, source, queries, judged, tuple(warnings))


def _apart(dev: Split, test: Split, problems: list[TamisError]) -> Split:
    both = [query.id for query in dev.queries if query.id in test.judgments]
    if both:
        problems.append(
            BadArguments(
                f"{len(both)} of the {len(dev.queries)} queries of dev ({both[0]!r}, ...) are "
                f"queries of test, too: what is chosen on them would be chosen on test; give "
                f"judgments of other queries"
            )
        )
        return dev
    texts = set(map(_letters, test.queries))
    stay = tuple(query for query in dev.queries if _letters(query) not in texts)
    if len(stay) == len(dev.queries):
        return dev
    left_out = len(dev.queries) - len(stay)
    if not stay:
        problems.append(
            BadArguments(
                "every query of dev has the text of a query of test: what is chosen on them would "
                "be chosen on test; give judgments of other queries"
            )
        )
        return dev
    warning = f"{left_out} queries of dev have the text of a query of test and are left out of dev"
    judgments = {query.id: dev.judgments[query.id] for query in stay}
    return replace(dev, queries=stay, judgments=judgments, warnings=(*dev.warnings, warning))


def _letters(query: Query) -> str:
    return " ".join(query.text.casefold().split())
