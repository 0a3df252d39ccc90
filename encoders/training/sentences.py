"""Where the sentences of a text begin and end."""

from __future__ import annotations

import re

# typeset quotation marks and dashes are meant
_END = re.compile(r"[.!?…][\"'”’»)\]]*\s+|\n[^\S\n]*\n\s*")  # noqa: RUF001
_BULLET = re.compile(r"[-–•*]\s+")  # noqa: RUF001
_OPENING = "\"'“‘«(["  # noqa: RUF001
_ABBREVIATED = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|cf|al|approx|Fig|No|Vol|pp?|ca|Inc|Ltd|Co"
    r"|e\.g|i\.e|U\.S|U\.K|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(begin, end) of each sentence, in order; white space and bullets between them belong to none.

    A sentence ends at . ! ? or … before white space and then a capital, a digit or a sign that
    opens one, and at an empty line; not after an initial or a common English abbreviation.
    """
    spans = []
    begin = _after_bullet(text, len(text) - len(text.lstrip()))
    for match in _END.finditer(text):
        end = begin + len(text[begin : match.end()].rstrip())
        following = _after_bullet(text, match.end())
        if begin < end and _opens(text, following, match):
            spans.append((begin, end))
            begin = following
    end = len(text.rstrip())
    if begin < end:
        spans.append((begin, end))
    return spans


def sentences(text: str) -> list[str]:
    """The sentences themselves."""
    return [text[begin:end] for begin, end in sentence_spans(text)]


def _after_bullet(text: str, place: int) -> int:
    bullet = _BULLET.match(text, place)
    return bullet.end() if bullet else place


def _opens(text: str, place: int, gap: re.Match[str]) -> bool:
    """Whether what stands at ``place``, after this gap, begins a sentence."""
    if gap.group().isspace():
        return True
    first = text[place : place + 3].lstrip(_OPENING)[:1]
    if not first or first.islower() or not first.isalnum():
        return False
    mark = gap.start() + 1
    return text[mark - 1] != "." or not _ABBREVIATED.search(text, max(0, mark - 12), mark)
