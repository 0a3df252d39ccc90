"""Long texts into passages: windows of whole sentences that may overlap."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from ..records import Passage
from .flaws import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stream import Located

_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")  # noqa: RUF001 - full-width marks are meant


def split_all(items: Iterator[Located], words: int, stride: int) -> Iterator[Located]:
    """Each passage as its windows, ids followed by "#0", "#1"...; flaws pass unchanged."""
    for place, item in items:
        if isinstance(item, Flaw):
            yield place, item
            continue
        for number, text in enumerate(windows(item.text, words, stride)):
            yield place, Passage(f"{item.id}#{number}", text, item.title)


def windows(text: str, words: int, stride: int) -> list[str]:
    """Pieces of at most ``words`` words, each beginning about ``stride`` words after the last.

    Pieces begin and end at sentence boundaries; only a sentence longer than ``words`` is cut
    inside. Every word lies in some piece; 1 <= stride <= words. A text without words is one piece.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) <= words:
        return [text]
    cuts = boundaries(text, spans, words)
    pieces: list[str] = []
    start = end = 0
    while end < len(spans):
        end = cuts[bisect_right(cuts, start + words) - 1]
        pieces.append(text[spans[start][0] : spans[end - 1][1]])
        first = bisect_right(cuts, start)
        start = cuts[max(first, bisect_right(cuts, start + stride) - 1)]
    return pieces


def boundaries(text: str, spans: list[tuple[int, int]], words: int) -> list[int]:
    """Word numbers where a piece may end, rising; inside an over-long sentence, every word."""
    cuts: list[int] = []
    begin = 0
    for number, (start, end) in enumerate(spans, 1):
        last = number == len(spans)
        paragraph = not last and text.count("\n", end, spans[number][0]) > 1
        if last or paragraph or _SENTENCE_END.search(text, start, end):
            cuts.extend(range(begin + 1, number) if number - begin > words else ())
            cuts.append(number)
            begin = number
    return cuts
