"""A frozen dataclass of plain values from a JSON object, with nothing guessed."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import BadArguments, BadData

Record = TypeVar("Record")


def from_json(record: type[Record], body: object, source: str) -> Record:
    """``record(**body)``, every key known and every value of the type of its field.

    An integer is fine where a float is asked for; true and false are no numbers. What has a
    default may be left out. BadData names ``source``, the key and the value; so it does when the
    record itself refuses the values with BadArguments.
    """
    if not isinstance(body, dict):
        raise BadData(f"{source} holds {_shown(body)}, not a JSON object")
    kinds = get_type_hints(record)
    known = {field.name: field for field in fields(record)}  # type: ignore[arg-type]
    for key, value in body.items():
        if key not in known:
            raise BadData(
                f"{source} has the key {key!r} with value {_shown(value)}, which this tamis does "
                f"not know; known: {', '.join(known)}"
            )
        if not _fits(value, kinds[key]):
            raise BadData(f"{source}: {key!r} is {_shown(value)}, expected {kinds[key].__name__}")
    for name, field in known.items():
        if name not in body and field.default is MISSING and field.default_factory is MISSING:
            raise BadData(f"{source} lacks the key {name!r}")
    try:
        return record(**body)
    except BadArguments as wrong:
        raise BadData(f"{source}: {wrong}") from None


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return type(value) is list and all(_fits(each, *get_args(kind)) for each in value)
    if get_origin(kind) is dict:
        return type(value) is dict
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:60]}…"
