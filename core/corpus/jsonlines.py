"""JSON lines: one object a line, under any of the key names that the field uses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from .flaws import Flaw, shown
from .lines import text_lines
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .stream import Located

ID_KEYS = ("id", "_id", "docid", "docno", "pid")
TEXT_KEYS = ("text", "contents", "body", "passage")

LOOKED_AT = 100
"""Lines looked at before it is decided which keys hold id and text."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Which key holds what; None where none of the accepted ones was seen."""

    id: str | None
    text: str | None
    title: str | None

    def __str__(self) -> str:
        return ", ".join(
            f"{part} from {key!r}"
            for part, key in (("id", self.id), ("text", self.text), ("title", self.title))
            if key is not None
        )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def json_object(line: str) -> dict[str, object] | str:
    """The object on a line, or a message that says why there is none."""
    try:
        value = _decode(line)
    except RecursionError:
        return "nested too deeply to read"
    except ValueError as failure:  # bad syntax, NaN, a number of thousands of digits
        return f"{failure} in {shown(line)}; expected one JSON object a line"
    if not isinstance(value, dict):
        return f"{shown(line)} is not an object; expected one JSON object a line"
    return value


def choose_keys(path: Path, id_keys: Sequence[str], text_keys: Sequence[str]) -> Keys:
    """The first accepted key seen for each part, in the order of the lists; title is optional."""
    found_id = found_text = found_title = None
    for _, line in islice(text_lines(path, path.name), LOOKED_AT):
        value = json_object(line) if isinstance(line, str) else ""
        if isinstance(value, str):
            continue
        found_id = found_id or next((key for key in id_keys if key in value), None)
        found_text = found_text or next((key for key in text_keys if key in value), None)
        found_title = found_title or ("title" if "title" in value else None)
        if found_id and found_text and found_title:
            break
    return Keys(found_id, found_text, found_title)


def id_text(value: object) -> str | None:
    """An id as text: a string itself, a whole number in digits, None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def read_json_lines(path: Path, name: str, keys: Keys) -> Iterator[Located]:
    """Every line of a JSON lines file as a passage or a flaw."""
    id_key = keys.id or ID_KEYS[0]
    text_key = keys.text or TEXT_KEYS[0]
    for place, line in text_lines(path, name):
        if isinstance(line, Flaw):
            yield place, line
            continue
        record = json_object(line)
        if isinstance(record, str):
            yield place, Flaw("malformed", place, record)
            continue
        id_ = record.get(id_key)
        text = record.get(text_key)
        title = record.get("title")
        if title is None:
            title = ""
        if not isinstance(id_, str):
            id_ = id_text(id_)
        if isinstance(id_, str) and isinstance(text, str) and isinstance(title, str):
            yield place, passage_or_flaw(place, id_, text, title)
        else:
            yield place, Flaw("malformed", place, wrong_type(record, id_key, text_key))


def wrong_type(record: dict[str, object], id_key: str, text_key: str) -> str:
    """Says which of id, text and title is absent or of the wrong type."""
    if id_key not in record:
        return f"no key {id_key!r}; expected an id under one key throughout: {', '.join(ID_KEYS)}"
    if id_text(record[id_key]) is None:
        return f"{id_key!r} is {shown(record[id_key])}; expected a string or a whole number"
    if text_key not in record:
        return f"no key {text_key!r}; expected a text under one key: {', '.join(TEXT_KEYS)}"
    wrong = text_key if not isinstance(record[text_key], str) else "title"
    return f"{wrong!r} is {shown(record[wrong])}; expected a string"
