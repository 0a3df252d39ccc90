"""The passage table: id, title and text of every row, on disk as Arrow, memory-mapped."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.durable import no_room
from ..core.errors import BadData, Mismatch
from ..core.records import Passage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..core.protocols import TermStatistics
    from ..core.records import Float32Array, Int64Array
    from .verification import VerifiedFiles

NAME = "passages.arrow"
DOCID = "docid"
BATCH_ROWS = 65_536
_BATCH_BYTES = 64 << 20  # of text: a batch of very long passages is closed early


class Passages(Protocol):
    """Row numbers to passages. Rows may repeat and come in any order."""

    @property
    def has_texts(self) -> bool:
        """False where ids are all that is known: nothing can be reranked there."""
        ...

    def __len__(self) -> int: ...

    def ids(self, rows: Int64Array) -> list[str]: ...

    def passages(self, rows: Int64Array) -> list[Passage]: ...


@dataclass
class PassageWriter:
    """Writes ``passages.arrow`` and ``docid`` in one stream; holds one batch in memory."""

    folder: Path
    batches: list[list[int]] = field(default_factory=list)
    rows: int = 0
    _pending: list[Passage] = field(default_factory=list)
    _pending_bytes: int = 0

    def __enter__(self) -> PassageWriter:
        import pyarrow as pa

        kinds = [(name, pa.large_string()) for name in ("id", "title", "text")]
        self._schema = pa.schema(kinds)
        self._docid = (self.folder / DOCID).open("w", encoding="utf-8", newline="\n")
        self._sink = pa.OSFile(str(self.folder / NAME), "wb")
        self._arrow = pa.ipc.new_file(self._sink, self._schema)
        return self

    def __exit__(self, kind: object, failure: object, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
                with _writing(self.folder / NAME):
                    self._arrow.close()
                    self._sink.close()
                with _writing(self.folder / DOCID):
                    self._docid.close()
        finally:
            for opened in (self._sink, self._docid):
                with suppress(OSError):  # what went wrong first has been told
                    opened.close()

    def add(self, passage: Passage) -> None:
        self._pending.append(passage)
        self._pending_bytes += len(passage.text)
        self.rows += 1
        if len(self._pending) == BATCH_ROWS or self._pending_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending:
            return
        columns = [[getattr(p, name) for p in self._pending] for name in self._schema.names]
        arrays = [pa.array(column, pa.large_string()) for column in columns]
        start = self._sink.tell()
        with _writing(self.folder / NAME):
            self._arrow.write_batch(pa.record_batch(arrays, schema=self._schema))
        with _writing(self.folder / DOCID):
            self._docid.writelines(f"{passage.id}\n" for passage in self._pending)
        self.batches.append([self.rows - len(self._pending), start, self._sink.tell()])
        self._pending.clear()
        self._pending_bytes = 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise no_room(path, failure) from failure


class PassageTable:
    """Reads ``passages.arrow``; a record batch is verified just before its first use."""

    has_texts = True

    def __init__(
        self,
        path: Path,
        batches: Sequence[Sequence[int]],
        rows: int,
        files: VerifiedFiles | None,
        terms: TermStatistics | None = None,
        scores: Callable[[], Float32Array | None] = lambda: None,
    ) -> None:
        """``scores`` gives the quality of every row, if it was scored, when it is asked for."""
        import pyarrow as pa

        self.terms = terms
        self._scores = scores

        self._files = files
        self._spans = [(start, end) for _, start, end in batches]
        self._first = np.array([first for first, _, _ in batches], np.int64)
        self._rows = rows
        if files is not None:
            size = path.stat().st_size
            files.part(NAME, 0, self._spans[0][0] if self._spans else size)
            files.part(NAME, self._spans[-1][1] if self._spans else 0, size)
        self._arrow = pa.ipc.open_file(pa.memory_map(str(path)))
        self._loaded: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._rows

    def ids(self, rows: Int64Array) -> list[str]:
        return self._gather(rows, ["id"])[0]

    def passages(self, rows: Int64Array) -> list[Passage]:
        ids, texts, titles = self._gather(rows, ["id", "text", "title"])
        return [Passage(*fields) for fields in zip(ids, texts, titles, strict=True)]

    def quality(self, rows: Int64Array) -> Float32Array | None:
        """[rows] float32; None where nothing was scored."""
        scores = self._scores()
        return None if scores is None else scores[rows]

    def stream(self, start: int = 0, end: int | None = None) -> Iterator[Passage]:
        """Rows start..end in order, one batch in memory at a time."""
        end = self._rows if end is None else min(end, self._rows)
        while start < end:
            number = int(np.searchsorted(self._first, start, side="right")) - 1
            first = int(self._first[number])
            batch = self._batch(number)
            piece = batch.slice(start - first, end - start)
            columns = [piece.column(name).to_pylist() for name in ("id", "text", "title")]
            yield from (Passage(*fields) for fields in zip(*columns, strict=True))
            start = first + batch.num_rows

    def _gather(self, rows: Int64Array, names: list[str]) -> list[list[str]]:
        """One list a column, aligned with ``rows``; each batch is visited once."""
        order = np.argsort(rows, kind="stable")
        numbers = np.searchsorted(self._first, rows[order], side="right") - 1
        found: list[list[str]] = [[""] * len(rows) for _ in names]
        cuts = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
        for begin, end in pairwise(cuts):
            number = int(numbers[begin])
            places = order[begin:end]
            local = _as_arrow(rows[places] - self._first[number])
            batch = self._batch(number)
            for column, name in zip(found, names, strict=True):
                values = batch.column(name).take(local).to_pylist()
                for place, value in zip(places.tolist(), values, strict=True):
                    column[place] = value
        return found

    def _batch(self, number: int) -> Any:
        batch = self._loaded.get(number)
        if batch is None:
            if self._files is not None:
                self._files.part(NAME, *self._spans[number])
            batch = self._loaded[number] = self._arrow.get_batch(number)
        return batch


def _as_arrow(values: Int64Array) -> Any:
    """An Arrow array over the same memory. ``pa.array`` would import pandas first, for .3 s."""
    import pyarrow as pa

    plain = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(plain), [None, pa.py_buffer(plain)])


class DocidFile:
    """The ids of an index that Pyserini wrote: one a line, no texts."""

    has_texts = False

    def __init__(self, path: Path, rows: int) -> None:
        try:
            self._ids = [line.rstrip() for line in path.read_text("utf-8").splitlines()]
        except UnicodeDecodeError as failure:
            raise BadData(f"{path} is not UTF-8: {failure}") from failure
        if len(self._ids) != rows:
            raise Mismatch(f"{path} has {len(self._ids):,} ids for {rows:,} vectors: not one index")

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self, rows: Int64Array) -> list[str]:
        return [self._ids[row] for row in rows.tolist()]

    def passages(self, rows: Int64Array) -> list[Passage]:
        return [Passage(passage_id, "") for passage_id in self.ids(rows)]
