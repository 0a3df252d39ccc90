"""MS MARCO's collection file: id, tab, passage, one a line, no header, no quoting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .flaws import Flaw, shown
from .lines import text_lines
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .stream import Located


def read_tsv(path: Path, name: str) -> Iterator[Located]:
    """Every line as a passage or a flaw; any number of columns but two is "malformed"."""
    for place, line in text_lines(path, name):
        if isinstance(line, Flaw):
            yield place, line
            continue
        columns = line.split("\t")
        if len(columns) == 2:
            yield place, passage_or_flaw(place, columns[0], columns[1])
        else:
            yield place, Flaw("malformed", place, wrong_columns(line, len(columns)))


def wrong_columns(line: str, count: int) -> str:
    """Says how many columns a line has where id and text were expected."""
    return f"{count} columns in {shown(line)}; expected 2: id, tab, text without a tab"
