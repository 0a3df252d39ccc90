"""From an English sentence to the questions that it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .english_verbs import BASE_OF, PAST_OF
from .noun_phrases import inside, is_name, is_plural, noun_phrase
from .question_patterns import PATTERNS, PHRASE, ROLES

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_ASKED = re.compile(r"(?:What|Who|When|Where|Why|How|Is|Are|Can|Does|Do|Should) [^?]{8,110}\?")
_ASIDE = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])")
_INITIALS = re.compile(r"\b((?:[A-Za-z][\w-]* ){1,8})\(([A-Z][A-Za-z]{1,6})\)")
_HEADING = re.compile(r"^(?P<said>.{2,40}?) (?=(?:An? |The )?(?P=said)\b)", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:(?i:overview|summary|abstract|introduction|background|objectives?|aims?|methods?|results|"
    r"conclusions?|key points) (?=[A-Z])|(?:However|Moreover|Furthermore|Therefore|Thus|Also|"
    r"Additionally|In addition|In general|Generally|Usually|Typically|Sometimes|Often|Today|"
    r"Currently|For example|In fact|Finally|As a result|Historically|Traditionally|In many cases|"
    r"In most cases), )"
)
_SUBJECT = re.compile(
    r"^(?:(?P<person>He|She)|It|(?:This|The) (?:disease|disorder|condition|syndrome|infection|"
    r"drug|medicine|test|procedure|gene|protein|city|town|company|film|book|song|species|device))\b"
    r"(?= (?:is|was|can|may|has|had|causes|affects|died|results|occurs)\b)"
)
_POINTER = re.compile(
    r"\b(?:it|its|they|their|them|this|these|those|that|he|his|him|she|her|you|your|we|us|our|i|my|"
    r"here|above|below|following|former|latter|other|such|\d\d?%)\b",
    re.IGNORECASE,
)
_LISTED_EMPTY = (
    "rest majority use end beginning number part lack presence absence result results effect "
    "effects idea name word term case fact one kind type sort process purpose aim goal objective "
    "object course matter"
)
_NO_ATTRIBUTE = frozenset(_LISTED_EMPTY.split())
_OF_ONE = ("when", "where", "who")
"""Kinds that ask about something that there is once."""

_INDEFINITE = re.compile(r"an? ", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(?:is|are|was|were|has|have|had|been|who|which)\b")
_MOST_WORDS = 14


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, neither capitalised nor ended by a mark, and the kind of pattern behind it."""

    kind: str
    text: str


def questions_of(sentence: str, topic: str = "", common: Container[str] = ()) -> Iterator[Asked]:
    """Questions that the sentence answers, or that it is.

    ``topic`` stands for "it", "he", "she" and "this disease" at its beginning, "" when that is not
    known. ``common``: see ``noun_phrases.inside``.
    """
    for kind, text in _raw(sentence, topic, common):
        if 2 < len(text.split()) <= _MOST_WORDS and not _POINTER.search(text):
            yield Asked(kind, text)


def _raw(sentence: str, topic: str, common: Container[str]) -> Iterator[tuple[str, str]]:
    if _ASKED.fullmatch(sentence):
        yield "asked", _as_asked(sentence[:-1].rstrip())
        return
    for words, short in _INITIALS.findall(sentence):
        if _stands_for(short, words):
            yield "initials", f"what does {short} stand for"
    plain = _plain(sentence, topic)
    found = []
    for kind, pattern, template in PATTERNS:
        match = pattern.search(plain)
        words = _words_of(kind, match.groupdict(), topic, common) if match else None
        if words is not None:
            found.append((kind, template.format_map(words)))
    is_person = any(kind == "person" for kind, _ in found)
    yield from (each for each in found if not (is_person and each[0] == "definition"))


def _as_asked(question: str) -> str:
    """Written as in a heading, it loses all its capitals; otherwise the first."""
    heading = all(word[0].isupper() for word in question.split() if len(word) > 3)
    return question.lower() if heading else question[0].lower() + question[1:]


def _plain(sentence: str, topic: str) -> str:
    """Without asides, headings and leading adverbs, and with the topic for a pronoun."""
    plain = _HEADING.sub("", _LEAD.sub("", _ASIDE.sub("", sentence).strip()))
    plain = plain[:1].upper() + plain[1:]
    subject = _SUBJECT.match(plain)
    if not (topic and subject) or (subject["person"] and not is_name(topic)):
        return plain
    return topic[0].upper() + topic[1:] + plain[subject.end() :]


def _words_of(
    kind: str, found: dict[str, str], topic: str, common: Container[str]
) -> dict[str, str] | None:
    """What the templates may name; None where a group is not what it must be."""
    phrases = {}
    for group in found.keys() & {"x", "y"}:
        phrase = noun_phrase(found[group], topic)
        if phrase is None:
            return None
        phrases[group] = inside(phrase, common)
    if _declined(kind, found):
        return None
    found |= phrases
    subject = found.get("x") or found.get("y", "")
    plural = bool(subject) and is_plural(subject)
    found["are"] = "are" if plural else "is"
    found["do"] = "did" if found.get("has") == "had" else "do" if plural else "does"
    found["who"] = "what" if ROLES.isdisjoint(found.get("y", "").split()) else "who"
    if "done" in found:
        found["past"] = PAST_OF.get(found["done"], found["done"])
    elif "past" in found:
        found["base"] = BASE_OF.get(found["past"], found["past"])
    return found


def _declined(kind: str, found: dict[str, str]) -> bool:
    """Whether this kind of question cannot be asked with these words."""
    subject = found.get("x", "")
    checks = (
        kind == "person" and not is_name(subject),
        kind in _OF_ONE and _INDEFINITE.match(subject),
        "many" in found and not is_plural(subject),
        _CLAUSE.search(found.get("rest", "")),
        "of" in found and found["of"].split()[-1] in _NO_ATTRIBUTE,
        kind == PHRASE and found["y"].split()[0] in _NO_ATTRIBUTE,
    )
    return any(checks)


def _stands_for(short: str, words: str) -> bool:
    """Whether the letters begin the last words: "magnetic resonance imaging " and MRI."""
    initials = "".join(word[:1] for word in re.split(r"[ -]+", words.strip()))
    return initials.lower().endswith(short.lower())
