"""Prompts as tokens: what is too long loses the end of its passage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def beginning(tokenizer: Any, query: str, tokens: int) -> str:
    """The beginning of a query that is at most so many tokens long."""
    found = tokenizer(query, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = found["offset_mapping"]
    return query if len(offsets) <= tokens else query[: offsets[tokens - 1][1]]


def fitted(ids: list[int], offsets: Sequence[tuple[int, int]], text: int, room: int) -> list[int]:
    """At most ``room`` ids: what lies before character ``text`` is cut at its end."""
    if len(ids) <= room:
        return ids
    tail = sum(start >= text for start, _ in offsets)
    return ids[: max(room - tail, 0)] + ids[len(ids) - tail :]
