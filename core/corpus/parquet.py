"""Parquet: the column names of JSON lines, read in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..optional import need
from .flaws import Flaw, shown
from .jsonlines import ID_KEYS, TEXT_KEYS, Keys, id_text
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..records import Passage
    from .stream import Located

BATCH = 4096
"""Rows in memory at a time."""


def choose_columns(path: Path) -> Keys:
    """The first accepted column for each part; all None when the file cannot be read."""
    try:
        names = need("pyarrow.parquet", "reading Parquet").read_schema(path).names
    except (OSError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
        names = []
    return Keys(
        next((key for key in ID_KEYS if key in names), None),
        next((key for key in TEXT_KEYS if key in names), None),
        "title" if "title" in names else None,
    )


def read_parquet(path: Path, name: str, keys: Keys) -> Iterator[Located]:
    """Every row as a passage or a flaw; places count rows from 1."""
    parquet = need("pyarrow.parquet", "reading Parquet")
    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = [keys.id or ID_KEYS[0], keys.text or TEXT_KEYS[0]]
            absent = [column for column in columns if column not in file.schema_arrow.names]
            if absent:
                yield name, Flaw("malformed", name, _absent(absent, file.schema_arrow.names))
                return
            if keys.title and keys.title in file.schema_arrow.names:
                columns.append(keys.title)
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                values = [python_values(batch.column(column)) for column in columns]
                for record in zip(*values, strict=True):
                    row += 1
                    place = f"{name}:{row}"
                    yield place, _passage(place, columns, record)
    except (OSError, ValueError) as failure:
        place = f"{name}:{row + 1}"
        yield place, Flaw("malformed", place, f"broken Parquet: {shown(str(failure), 120)}")


def _absent(absent: list[str], names: list[str]) -> str:
    return (
        f"no column {' or '.join(map(repr, absent))} among {shown(names)}; expected "
        f"{'|'.join(ID_KEYS)} and {'|'.join(TEXT_KEYS)}, the same in every part"
    )


def python_values(column: Any) -> list[Any]:
    """An Arrow array as Python values; a string that is not UTF-8 stays an exception object."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as failure:
        return failure


def _passage(place: str, columns: list[str], record: tuple[Any, ...]) -> Passage | Flaw:
    id_ = id_text(record[0])
    text = record[1]
    title = record[2] if len(record) > 2 and record[2] is not None else ""
    if id_ is not None and isinstance(text, str) and isinstance(title, str):
        return passage_or_flaw(place, id_, text, title)
    for column, value in zip(columns, record, strict=True):
        if isinstance(value, UnicodeDecodeError):
            return Flaw("not utf-8", place, f"column {column!r} holds {shown(value.object)}")
    column, value = (columns[0], record[0]) if id_ is None else (columns[1], text)
    if id_ is not None and isinstance(text, str):
        column, value = columns[2], title
    return Flaw("malformed", place, f"column {column!r} is {shown(value)}; expected a string")
