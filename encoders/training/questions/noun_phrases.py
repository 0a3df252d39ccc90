"""Short noun phrases of English, told by the words that cannot stand in one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_WORDS = 7


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ARTICLES = frozenset(("a", "an", "the"))
_PARTICLES = _listed("de von van la del du der da")
_LINKS = _listed("of and or in for &") | _PARTICLES
_BEYOND = _listed(
    "is are was were be been being am has have had having do does did can could may might must "
    "shall should will would cannot that which who whom whose what when where why how if because "
    "but while although though than as so it he she they we you i me him them us himself itself "
    "themselves not no never also however therefore thus then there here by from to at on with "
    "into onto about between during after before since until under over through within without "
    "via per either neither both nor very often usually generally sometimes only even still just "
    "called known include includes including became become becomes using used such other others "
    "following show shows showed according due think thinks believe believes say says said suggest "
    "suggests know knows need needs get gets want wants occur occurs appear appears seem seems "
    "remain remains tend tends make makes take takes give gives come comes go goes keep keeps "
    "provide provides require requires allow allows contain contains consist consists affect "
    "affects receive receives begin begins happen happens cause causes means lead leads"
)
"""Words that show that a stretch of text is more than one noun phrase."""

_POINTING = _listed(
    "this these those that such its their his her our my your another other some many most all "
    "each several few one both any every much more less certain various same what it he she they "
    "we you i there something nothing everything anything someone everyone nobody anyone"
)
"""First words that point at something outside the phrase: a question must stand alone."""

_EMPTY = _listed(
    "thing things goal goals aim aims example examples result results table figure case cases way "
    "ways reason reasons author authors study studies section chapter page number use term name "
    "word condition conditions disorder disease syndrome problem problems fact point part parts "
    "group groups people person process event events idea issue question answer answers purpose "
    "effect effects paper article method methods symptoms signs treatment causes cause information "
    "data patients latter former first second third subject time year years objective background "
    "conclusion conclusions abstract children women men doctors doctor"
)
"""Nouns that say nothing on their own."""

_UNTOLD = _listed(
    "first second third fourth fifth last next final new old original same similar different "
    "related whole entire main two three four five overall exact real current present early "
    "late later early upper lower left right outer inner"
)
"""Adjectives that do not tell which of many is meant."""

_ADVERBS = _listed(
    "typically mainly primarily frequently commonly currently directly normally mostly initially "
    "now actually probably previously originally officially simply widely"
)
"""Of a verb that follows, not of the phrase."""

_UNFINISHED = _listed("common important likely available responsible possible able")

_PLURALS = _listed(
    "people children men women mice teeth feet bacteria viruses mitochondria criteria phenomena "
    "fungi alveoli nuclei stimuli ova larvae vertebrae antennae"
)
_NO_PLURALS = (
    *("ss", "us", "is", "betes", "pes", "asles", "abies", "ics", "news", "series", "species"),
    *("lens", "'s", "’s", "mumps", "states", "netherlands", "philippines"),  # noqa: RUF001 - typeset apostrophes
)
_NO_BEGINNING = _POINTING | _LINKS
_NO_END = _LINKS | _ARTICLES | _UNFINISHED
_WORD = re.compile(r"[\w&][\w&.'’/+-]*")  # noqa: RUF001 - typeset apostrophes


def noun_phrase(text: str, topic: str = "") -> str | None:
    """The text, its words one space apart, when it can be a noun phrase of at most seven words
    that makes sense in a question by itself; None when it cannot.

    "the season" makes no sense by itself, unless a word of ``topic`` is "season".
    """
    words = text.split()
    if len(words) > 1 and words[-1] in _ADVERBS:
        words.pop()
    if not 1 <= len(words) <= _WORDS or not all(map(_WORD.fullmatch, words)):
        return None
    lower = [word.lower() for word in words]
    if not (_well_formed(lower) and _BEYOND.isdisjoint(lower)):
        return None
    return None if _untold(words, topic.lower().split()) else " ".join(words)


def _well_formed(lower: list[str]) -> bool:
    """Whether the first and the last of the words may stand there, and one word alone would do."""
    core = lower[1:] if lower[0] in _ARTICLES else lower
    if not core or core[0] in _NO_END or core[-1] in _NO_END or lower[0] in _NO_BEGINNING:
        return False
    if lower[0].endswith("ly") or not any(map(str.isalpha, core[-1])):
        return False
    alone = core[0]
    return len(core) > 1 or not (alone in _EMPTY or len(alone) < 2 or alone.endswith("ed"))


def _untold(words: list[str], topic: list[str]) -> bool:
    """Whether its last part is "the" and a noun, and nothing tells which: "the end of the show"."""
    last = max((place for place, word in enumerate(words) if word in _LINKS), default=-1)
    part = words[last + 1 :]
    if part[0].lower() != "the":
        return False
    told = [word for word in part[1:] if word.lower() not in _UNTOLD]
    return len(told) < 2 and not any(word[0].isupper() or word in topic for word in told)


def is_plural(phrase: str) -> bool:
    """Whether the phrase's head, its last word before "of", "in" or "for", looks plural."""
    words = phrase.lower().split()
    ends = [place for place, word in enumerate(words) if place and word in _LINKS]
    if ends and words[ends[0]] == "and":
        return True
    head = words[ends[0] - 1 if ends else -1]
    if words[0] in ("a", "an"):
        return False
    return head in _PLURALS or (head.endswith("s") and not head.endswith(_NO_PLURALS))


def is_name(phrase: str) -> bool:
    """Whether it looks like a person's name: two to four words, each with one capital, except for
    a "de" or "von" inside."""
    words = phrase.split()
    if not 2 <= len(words) <= 4 or words[0].lower() in _ARTICLES:
        return False
    names = [words[0], *(word for word in words[1:-1] if word not in _PARTICLES), words[-1]]
    return all(word[0].isupper() and (word[1:].islower() or word[1:] == ".") for word in names)


def inside(phrase: str, common: Container[str]) -> str:
    """A phrase from the beginning of a sentence as it is written inside one.

    ``common`` are words that occur without a capital: they lose theirs, unless another word has
    one.
    """
    first, *rest = phrase.split()
    lower = first[0].lower() + first[1:]
    if lower in _ARTICLES or (lower in common and not any(word[0].isupper() for word in rest)):
        return " ".join([lower, *rest])
    return phrase
