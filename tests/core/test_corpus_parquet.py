"""Parquet: columns, types, nulls, broken files, folders of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_are_found_by_the_names_of_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", url=["u"], title=["t"], contents=["x"], docid=["a"])
    corpus = open_corpus(path)
    assert corpus.format == "parquet"
    assert corpus.fields == "id from 'docid', text from 'contents', title from 'title'"
    assert list(corpus) == [Passage("a", "x", "t")]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_kind_of_string_reads(tmp_path: Path, type_: pa.DataType) -> None:
    path = write(tmp_path / "c.parquet", id=pa.array(["a"], type_), text=pa.array(["é"], type_))
    assert list(open_corpus(path)) == [Passage("a", "é")]


def test_whole_number_ids_become_text(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", id=pa.array([7, 8]), text=["x", "y"])
    assert list(open_corpus(path)) == [Passage("7", "x"), Passage("8", "y")]


def test_nulls_and_wrong_types_are_flaws_in_their_row(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.parquet", id=["a", None, "c"], text=["x", "y", None], title=[None] * 3
    )
    first, second, third = open_corpus(path)
    assert first == Passage("a", "x")
    assert isinstance(second, Flaw)
    assert isinstance(third, Flaw)
    assert (second.where, third.where) == ("c.parquet:2", "c.parquet:3")
    assert "'id' is None" in second.message
    assert "'text' is None" in third.message


def test_bytes_that_are_no_utf8_spoil_their_row_only(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"caf\xe9"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    path = write(tmp_path / "c.parquet", id=["a", "b"], text=text)
    first, second = open_corpus(path)
    assert first == Passage("a", "good")
    assert isinstance(second, Flaw)
    assert second.kind == "not utf-8"


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    (flaw,) = open_corpus(write(tmp_path / "c.parquet", name=["a"], text=["x"]))
    assert isinstance(flaw, Flaw)
    assert "'name'" in flaw.message
    assert "id|_id" in flaw.message


def test_a_broken_file_is_one_flaw(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", id=["a"], text=["x"])
    path.write_bytes(path.read_bytes()[:-10])
    (flaw,) = open_corpus(path)
    assert isinstance(flaw, Flaw)
    assert flaw.kind == "malformed"


def test_parts_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "part-10.parquet", id=["c"], text=["x"])
    write(tmp_path / "part-09.parquet", id=["a", "b"], text=["x", "y"])
    (tmp_path / "README.md").write_text("no passage", encoding="utf-8")
    corpus = open_corpus(tmp_path)
    assert [place for place, _ in corpus.located()] == [
        "part-09.parquet:1",
        "part-09.parquet:2",
        "part-10.parquet:1",
    ]
    assert [item.id for item in corpus if isinstance(item, Passage)] == ["a", "b", "c"]


def test_rows_beyond_one_batch_are_all_read(tmp_path: Path) -> None:
    ids = [str(number) for number in range(10_000)]
    path = write(tmp_path / "c.parquet", id=ids, text=ids)
    assert [item.id for item in open_corpus(path) if isinstance(item, Passage)] == ids
