"""Negation pairs from any text, by two rules.

``not``: a statement with one auxiliary verb (is, was, can, has been, ...) and no negation gets
"not" behind the verb. ``removed``: one whose only negation is a "not" behind such a verb loses it.
The passages are the statement and its negation, between the sentences that stood around it; the
questions are the two statements themselves, as a claim is searched for.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from .negation_pairs import NegationPair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|could|should|would|will|must|may|might|(?:has|have|had)(?= been))"
    r"(?= [a-z])"
)
_NEGATIVE = re.compile(
    r"\b(not?|never|none|nothing|nobody|neither|nor|without|cannot|hardly|un\w+)\b|n't\b",
    re.IGNORECASE,
)
_BEHIND = re.compile(rf"{_AUXILIARY.pattern} not\b(?! only)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORDS = (6, 30)


def pairs_of_texts(texts: Iterable[str], most: int) -> list[NegationPair]:
    """The first ``most`` pairs, at most one a text: of the first sentence that a rule fits."""
    found: list[NegationPair] = []
    for number, text in enumerate(texts):
        if len(found) == most:
            break
        found += islice(_pairs(text, f"text-{number}"), 1)
    return found


def negated(sentence: str) -> tuple[str, str] | None:
    """(rule, the sentence with its meaning turned round); None where no rule fits."""
    if not _WORDS[0] <= len(sentence.split()) <= _WORDS[1] or not sentence.endswith("."):
        return None
    auxiliaries, negations = _AUXILIARY.findall(sentence), _NEGATIVE.findall(sentence)
    if len(auxiliaries) != 1:
        return None
    if not negations:
        return "not", _AUXILIARY.sub(r"\1 not", sentence)
    if len(negations) == 1 and _BEHIND.search(sentence):
        return "removed", _BEHIND.sub(r"\1", sentence)
    return None


def _pairs(text: str, name: str) -> Iterator[NegationPair]:
    sentences = _SENTENCE.split(text.strip())
    for place, sentence in enumerate(sentences):
        turned = negated(sentence)
        if turned is None:
            continue
        rule, other = turned
        before, after = sentences[max(0, place - 1) : place], sentences[place + 1 : place + 2]
        yield NegationPair(
            name,
            (sentence, other),
            (" ".join([*before, sentence, *after]), " ".join([*before, other, *after])),
            rule,
        )
