"""The passage table gives back what went in, whatever the batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadData, FailedWhileRunning, Mismatch
from tamis.core.records import Passage
from tamis.index import passages as module
from tamis.index.passages import DocidFile, PassageTable, PassageWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def written(folder: Path, passages: list[Passage]) -> PassageTable:
    with PassageWriter(folder) as writer:
        for passage in passages:
            writer.add(passage)
    assert writer.rows == len(passages)
    return PassageTable(folder / module.NAME, writer.batches, writer.rows, None)


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.tuples(texts, texts), min_size=1, max_size=25),
    batch_rows=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_every_row_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[tuple[str, str]],
    batch_rows: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("table")
    passages = [Passage(f"p{n}", *fields) for n, fields in enumerate(data)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_ROWS", batch_rows)
        table = written(folder, passages)
    assert len(table) == len(passages)
    rows = np.random.default_rng(seed).integers(len(passages), size=40)
    assert table.passages(rows) == [passages[row] for row in rows]
    assert table.ids(rows) == [f"p{row}" for row in rows]
    assert table.ids(np.empty(0, np.int64)) == []
    start, end = sorted((int(rows[0]), int(rows[1])))
    assert list(table.stream(start, end)) == passages[start:end]
    assert list(table.stream()) == passages
    assert list(table.stream(start, 10**6)) == passages[start:]
    assert list(table.stream(end, start)) == []


def test_batches_say_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 3)
    with PassageWriter(tmp_path) as writer:
        for row in range(7):
            writer.add(Passage(str(row), "x" * row))
    assert [first for first, _, _ in writer.batches] == [0, 3, 6]
    starts, ends = zip(*((start, end) for _, start, end in writer.batches), strict=True)
    assert starts[1:] == ends[:-1]
    assert starts[0] < 1_000  # pyarrow writes the schema with the first batch, or before it
    assert ends[-1] < (tmp_path / module.NAME).stat().st_size
    assert (tmp_path / "docid").read_text("utf-8") == "".join(f"{row}\n" for row in range(7))


def test_a_batch_of_long_passages_is_closed_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", 100)
    with PassageWriter(tmp_path) as writer:
        for row, length in enumerate([60, 60, 10, 200, 1]):
            writer.add(Passage(str(row), "x" * length))
    assert [first for first, _, _ in writer.batches] == [0, 2, 4]


def test_only_the_batch_that_is_read_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    with PassageWriter(tmp_path) as writer:
        for row in range(6):
            writer.add(Passage(str(row), "x"))
    size = (tmp_path / module.NAME).stat().st_size

    class Asked:
        def __init__(self) -> None:
            self.parts: list[tuple[int, int]] = []

        def part(self, name: str, start: int, end: int) -> None:
            assert name == module.NAME
            self.parts.append((start, end))

    asked = Asked()
    table = PassageTable(tmp_path / module.NAME, writer.batches, 6, asked)  # type: ignore[arg-type]
    spans = [(start, end) for _, start, end in writer.batches]
    assert asked.parts == [(0, spans[0][0]), (spans[-1][1], size)]
    asked.parts.clear()
    table.ids(np.array([5, 0, 4, 5]))
    assert sorted(asked.parts) == [spans[0], spans[2]]
    asked.parts.clear()
    table.ids(np.array([1, 5]))
    assert asked.parts == []
    list(table.stream(2, 4))
    assert asked.parts == [spans[1]]


def test_a_table_that_broke_off_is_closed(tmp_path: Path) -> None:
    def broken() -> Iterator[Passage]:
        yield Passage("a", "b")
        raise KeyError

    with pytest.raises(KeyError), PassageWriter(tmp_path) as writer:
        list(map(writer.add, broken()))
    with PassageWriter(tmp_path) as writer:
        writer.add(Passage("c", "d"))
    table = PassageTable(tmp_path / module.NAME, writer.batches, 1, None)
    assert table.passages(np.array([0])) == [Passage("c", "d")]


def test_a_full_disk_names_the_file_that_did_not_fit(
    tmp_path: Path,
) -> None:
    class Full:
        closed = False

        def writelines(self, _lines: Iterable[str]) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            Full.closed = True

    def full(writer: PassageWriter) -> Iterator[Passage]:
        writer._docid.close()
        writer._docid = Full()  # type: ignore[assignment]
        yield Passage("a", "b")

    with (
        pytest.raises(FailedWhileRunning, match="docid failed: No space left"),
        PassageWriter(tmp_path) as writer,
    ):
        list(map(writer.add, full(writer)))
    assert Full.closed
    assert writer._sink.closed


def test_the_ids_of_a_foreign_index(tmp_path: Path) -> None:
    (tmp_path / "docid").write_bytes(b"a\r\nb \nc")
    ids = DocidFile(tmp_path / "docid", 3)
    assert len(ids) == 3
    assert ids.ids(np.array([2, 0, 2])) == ["c", "a", "c"]
    assert ids.passages(np.array([1])) == [Passage("b", "")]
    with pytest.raises(Mismatch, match="3 ids for 4 vectors"):
        DocidFile(tmp_path / "docid", 4)
    (tmp_path / "docid").write_bytes(b"\xff\n")
    with pytest.raises(BadData, match="not UTF-8"):
        DocidFile(tmp_path / "docid", 1)
