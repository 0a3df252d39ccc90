"""What systems are compared on: passages, questions, judgments, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...core.corpus import open_corpus
from ...core.errors import Mismatch
from ...core.fingerprints import of_texts, of_value
from ...core.qrels import read_qrels
from ...core.queries import read_queries
from ...index.passages import NAME as PASSAGES
from ...index.passages import PassageTable
from ..counting import CountedWhenAsked
from ..intake import take_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ...core.progress import Progress
    from ...core.records import Int64Array, Judgments, Query
    from .desk import Desk

RELEVANT = 1
"""The lowest grade that makes a passage "relevant to some query"."""


@dataclass(frozen=True)
class Collection:
    """Passages in the order of the corpus, the judged queries, and their judgments.

    ``ids`` are those of the rows. ``queries`` are the judged ones, sorted by id as text, as
    evaluations have them. ``further`` judgments say what else is relevant to somebody, for the ROC
    areas. ``corpus`` and ``fingerprint`` change with any passage, and with
    anything at all; ``warnings`` are sentences for people.
    """

    source: str
    judged_by: str
    table: PassageTable
    ids: Sequence[str]
    queries: Sequence[Query]
    judgments: dict[str, dict[str, int]]
    further: Judgments
    corpus: str
    fingerprint: str
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, start: int, end: int) -> list[str]:
        """What encoders, BM25 and quality models read of the rows start..end."""
        return [passage.full_text for passage in self.table.stream(start, end)]

    def relevant_rows(self) -> Int64Array:
        """The rows judged relevant to some query, rising."""
        return self._relevant([self.judgments])

    def relevant_for_areas(self) -> Int64Array:
        """Those that the further judgments call relevant, too."""
        return self._relevant([self.judgments, self.further])

    def _relevant(self, sources: Sequence[Judgments]) -> Int64Array:
        found = {
            self._rows[passage]
            for judgments in sources
            for grades in judgments.values()
            for passage, grade in grades.items()
            if grade >= RELEVANT and passage in self._rows
        }
        return np.array(sorted(found), np.int64)

    def judging_queries(self) -> list[list[str]]:
        """For each row the queries that it was judged for, whatever the grade; further ones too."""
        found: list[list[str]] = [[] for _ in self.ids]
        for judgments in (self.judgments, self.further):
            for query, grades in judgments.items():
                for passage in grades:
                    if passage in self._rows:
                        found[self._rows[passage]].append(query)
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {passage: row for row, passage in enumerate(self.ids)}


def read_collection(
    corpus: str | Path,
    queries: str,
    qrels: str,
    further: Sequence[str],
    desk: Desk,
    progress: Progress,
) -> Collection:
    """Read all of it; ``further`` are files of judgments, too.

    Queries without a judgment are left out, and so are judged ones without text.

    Raises BadData for a corpus, queries or judgments with errors, Mismatch when no query is
    judged or no relevant passage is in the corpus, MissingResource.
    """
    asked = read_queries(queries)
    judged = read_qrels(qrels)
    others: dict[str, dict[str, int]] = {}
    for each in further:
        for query, grades in read_qrels(each).judgments.items():
            others.setdefault(query, {}).update(grades)
    judgments = {q.id: judged.judgments[q.id] for q in asked if judged.judgments.get(q.id)}
    if not judgments:
        first = next(iter(judged.judgments), "no query")
        raise Mismatch(
            f"none of the {len(asked)} queries of {queries} is judged in {qrels} ({first!r}, ...); "
            f"give the judgments of the queries"
        )
    source = open_corpus(corpus)
    folder = desk.folder("corpus", source.source)
    taken = take_in(source, folder, "fail", folder / "skipped.jsonl", progress)
    table = PassageTable(folder / PASSAGES, taken.batches, taken.rows, None)
    table.terms = CountedWhenAsked(table.stream)  # of the whole collection, for every cut
    ids: list[str] = []

    def texts() -> Iterator[str]:
        for passage in table.stream():
            ids.append(passage.id)
            yield passage.full_text

    passages = of_texts(texts())
    chosen = sorted((q for q in asked if q.id in judgments), key=lambda query: query.id)
    about = [passages, of_texts(ids), [[q.id, q.text] for q in chosen], judgments]
    found = Collection(
        source=source.source,
        judged_by=qrels,
        table=table,
        ids=ids,
        queries=chosen,
        judgments=judgments,
        further=others,
        corpus=passages,
        fingerprint=of_value(about),
        warnings=(*judged.warnings, *_warnings(len(asked), judged.judgments, judgments, set(ids))),
    )
    if not len(found.relevant_rows()):
        raise Mismatch(
            f"no passage that {qrels} calls relevant is in {source.source}: every measure would "
            f"be 0; give the judgments of this corpus"
        )
    return found


def _warnings(
    asked: int,
    judged: dict[str, dict[str, int]],
    used: dict[str, dict[str, int]],
    ids: set[str],
) -> list[str]:
    found = []
    if asked > len(used):
        found.append(f"{asked - len(used)} of {asked} queries have no judgment and are left out")
    if len(judged) > len(used):
        found.append(
            f"{len(judged) - len(used)} of {len(judged)} judged queries have no text and are "
            f"left out"
        )
    absent = sum(passage not in ids for grades in used.values() for passage in grades)
    if absent:
        found.append(f"{absent} judgments name a passage that the corpus lacks")
    return found
