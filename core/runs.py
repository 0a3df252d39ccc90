"""Run files: write TREC's six columns, read those and the shorter forms that others write."""

from __future__ import annotations

import gzip
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from .corpus.flaws import Flaw, Tally, shown
from .corpus.lines import text_lines
from .durable import replacing
from .errors import BadArguments, BadData, MissingResource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .records import Float32Array

EXPECTED = (
    "6 columns (query Q0 passage rank score tag), 3 columns (query passage rank, or query passage "
    "score) or a header naming query-id, corpus-id and score; a passage once a query"
)
BEIR_COLUMNS = ("query-id", "corpus-id", "score")


def write_run(
    path: Path,
    rows: Iterable[tuple[str, Sequence[str], Sequence[np.float32] | Float32Array]],
    tag: str,
) -> None:
    """Write (query id, passage ids best first, float32 scores) as TREC's six columns, rank from 1.

    Scores are the shortest decimals that give the same float32 again, so no tie appears that was
    not there. A name ending in ``.gz`` is packed. The file is whole or not there. BadData for a
    blank or space-holding id, a repeated query or passage, a score that is not finite.
    """
    if tag.split() != [tag]:
        raise BadArguments(f"the run tag is {tag!r}; expected one word")
    written: set[str] = set()
    with _draft(Path(path)) as out:
        for query, passages, scores in rows:
            if query in written:
                raise BadData(f"query {query!r} comes twice in one run; give each query once")
            written.add(query)
            out.write(_block(query, passages, scores, tag).encode("utf-8"))


@contextmanager
def _draft(path: Path) -> Iterator[IO[bytes]]:
    with replacing(path, "wb") as out:
        if path.name.endswith(".gz"):
            # no name and no time inside: the same run is the same file, byte for byte
            with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield out


def _block(
    query: str, passages: Sequence[str], scores: Sequence[np.float32] | Float32Array, tag: str
) -> str:
    """One query's lines."""
    values = np.asarray(scores, dtype=np.float32)
    if len(values) != len(passages):
        raise BadData(f"query {query!r} has {len(passages)} passages and {len(values)} scores")
    if not np.isfinite(values).all():
        raise BadData(f"query {query!r} has a score that is not finite; a run cannot hold it")
    for id_ in (query, *passages):
        if id_.split() != [id_]:
            raise BadData(f"the id {id_!r} is blank or holds white space; a run cannot hold it")
    if len(set(passages)) != len(passages):
        raise BadData(f"query {query!r} has a passage twice; a run holds each once")
    return "".join(
        f"{query} Q0 {passage} {rank} {score!s} {tag}\n"
        for rank, (passage, score) in enumerate(zip(passages, values, strict=True), 1)
    )


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Query id -> passage id -> score, both in the order of the file; ``.gz`` is unpacked.

    Read are TREC's six columns at any white space; MS MARCO's query, passage, rank (score is then
    -rank); Tevatron's query, passage, score; and columns named by a BEIR-like header. Three
    columns are ranks when the last counts 1, 2, 3... (or 0, 1, 2...) within every query.
    Raises BadData naming every wrong line at once; MissingResource.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingResource(f"{path} is no file; expected a run: {EXPECTED}")
    reading = _Reading()
    for place, line in text_lines(path, path.name):
        if isinstance(line, Flaw):
            reading.tally.add(line)
        else:
            reading.line(place, line)
    if not reading.scores and not reading.tally.total:
        reading.tally.add(Flaw("empty", path.name, "not one line"))
    if reading.tally.total:
        reading.tally.refuse(str(path), EXPECTED)
    if reading.width == 3 and not reading.columns:
        return _ranks_or_scores(str(path), reading)
    return reading.scores


@dataclass(slots=True)
class _Reading:
    """What has been read so far: the first line decides how all are read."""

    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    width: int = 0
    columns: tuple[int, int, int] | None = None
    """Places of query, passage and score under a header."""
    counts: bool = True
    """Every third column of three was written as a whole number."""

    def line(self, place: str, line: str) -> None:
        columns = line.split()
        if not self.width:
            self.width = len(columns) if len(columns) == 3 else 6
            if set(BEIR_COLUMNS) <= set(columns):
                self.width = len(columns)
                self.columns = tuple(map(columns.index, BEIR_COLUMNS))  # type: ignore[assignment]
                return
        if len(columns) != self.width:
            message = f"{len(columns)} columns in {shown(line)}; expected {self.width}"
            self.tally.add(Flaw("malformed", place, message))
            return
        query, passage, score = self.columns or ((0, 2, 4) if self.width == 6 else (0, 1, 2))
        self.add(place, columns[query], columns[passage], columns[score])

    def add(self, place: str, query: str, passage: str, written: str) -> None:
        score = finite(written)
        if score is None:
            message = f"the score is {shown(written)}; expected a finite number"
            self.tally.add(Flaw("malformed", place, message))
            return
        self.counts = self.counts and written.isdigit()
        found = self.scores.setdefault(query, {})
        if passage in found:
            message = f"passage {shown(passage)} comes twice for query {shown(query)}"
            self.tally.add(Flaw("duplicate id", place, message))
            return
        found[passage] = score


def finite(text: str) -> float | None:
    """A number as files write it; None for anything else, NaN and infinity."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and text.isascii() and "_" not in text else None


def _ranks_or_scores(source: str, reading: _Reading) -> dict[str, dict[str, float]]:
    """Three columns: MS MARCO's ranks as -rank, Tevatron's scores as they are.

    Whole numbers that rise but are no count could be either; taking the wrong one would turn the
    run upside down, so BadData.
    """
    if not reading.counts:
        return reading.scores
    lists = [list(found.values()) for found in reading.scores.values()]
    if all(values[0] in (0, 1) and _steps(values) <= {1} for values in lists):
        return {
            query: {passage: -rank for passage, rank in found.items()}
            for query, found in reading.scores.items()
        }
    steps = set().union(*map(_steps, lists))
    if steps and min(steps) > 0:
        raise BadData(
            f"the third column of {source} rises within every query but does not count from 1, "
            f"so it may be ranks or scores; write the run with 6 columns"
        )
    return reading.scores


def _steps(values: list[float]) -> set[float]:
    """The differences between neighbours."""
    return {after - before for before, after in pairwise(values)}
