"""What makes a passage good on its own, whatever file it comes from."""

from __future__ import annotations

from ..records import Passage
from .flaws import Flaw, shown


def passage_or_flaw(place: str, id_: str, text: str, title: str = "") -> Passage | Flaw:
    """A passage, or what is wrong with it: its id, its emptiness, text that UTF-8 cannot hold."""
    if id_.split() != [id_]:
        return id_flaw(place, id_)
    if (not text or text.isspace()) and (not title or title.isspace()):
        return Flaw("empty", place, f"passage {shown(id_)} has neither text nor title")
    if not (id_.isascii() and text.isascii() and title.isascii()):
        for part, value in (("id", id_), ("text", text), ("title", title)):
            if has_lone_surrogate(value):
                return Flaw("malformed", place, f"the {part} holds half a surrogate pair")
    return Passage(id_, text, title)


def id_flaw(place: str, id_: str) -> Flaw:
    """The flaw of an id that white space spoils: run and judgment files split at white space."""
    if not id_.strip():
        return Flaw("blank id", place, f"the id is {shown(id_)}; every id needs a visible sign")
    return Flaw("id with space", place, f"the id {shown(id_)} holds white space; replace it")


def has_lone_surrogate(text: str) -> bool:
    """True for text that came from a broken escape such as ``\\ud800`` and cannot be UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
