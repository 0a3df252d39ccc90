"""TREC text: documents between <DOC> and </DOC>, each with a <DOCNO>."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from .flaws import Flaw, shown
from .lines import text_lines
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..records import Passage
    from .stream import Located

_DOCNO = re.compile(r"<DOCNO>(.*?)</DOCNO>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<(TITLE|HEADLINE|HEAD|HL|TTL)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_TEXT = re.compile(r"<TEXT>(.*?)</TEXT>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def read_trec(path: Path, name: str) -> Iterator[Located]:
    """Every document as a passage or a flaw; its place is the line of its <DOC>.

    A document with a flawed line in it is dropped: that flaw stands for it.
    """
    start = ""
    spoilt = False
    held: list[str] = []
    for place, line in text_lines(path, name, keep_blank=True):
        if isinstance(line, Flaw):
            yield place, line
            spoilt = True
            continue
        mark = line.strip().upper()
        opens = mark.startswith("<DOC>")
        if start and opens:
            yield start, Flaw("malformed", start, "<DOC> without </DOC> before the next")
        if opens:
            start, held, spoilt = place, [], False
        if start:
            held.append(line)
        elif mark:
            yield place, Flaw("malformed", place, f"{shown(line)} stands outside <DOC>...</DOC>")
        if start and mark.endswith("</DOC>"):
            if not spoilt:
                yield start, _document(start, "\n".join(held))
            start = ""
    if start:
        yield start, Flaw("malformed", start, "<DOC> without </DOC> before the end of the file")


def _document(place: str, source: str) -> Passage | Flaw:
    """Text is what stands in <TEXT> (all of them); without one, all that is no title or DOCNO."""
    numbers = _DOCNO.findall(source)
    if len(numbers) != 1:
        return Flaw("malformed", place, f"{len(numbers)} <DOCNO>...</DOCNO>; expected one")
    titles = [plain(title) for _, title in _TITLE.findall(_TEXT.sub(" ", source))]
    texts = _TEXT.findall(source) or [_TITLE.sub(" ", _DOCNO.sub(" ", source))]
    text = "\n".join(filter(None, map(plain, texts)))
    return passage_or_flaw(place, numbers[0].strip(), text, " ".join(filter(None, titles)))


def plain(source: str) -> str:
    """What a reader sees: tags gone, entities resolved, no white space around."""
    return unescape(_TAG.sub(" ", source)).strip()
