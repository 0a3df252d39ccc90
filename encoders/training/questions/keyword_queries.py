"""Keyword queries: the words that tell a passage from others, as people type them."""

from __future__ import annotations

import re
from collections import Counter
from math import log
from typing import TYPE_CHECKING

from ..draws import draw, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....core.records import Passage

WORD = re.compile(r"[^\W_][\w'’-]*[^\W_]|[^\W_]")  # noqa: RUF001 - typeset apostrophes

_LISTED = (
    "a able about above according across after again against all almost also although always am "
    "among an and another any are around as at away back be became because become been before "
    "being below best better between both but by called can cannot certain come common could did "
    "different do does doing done down due during each either enough especially even every "
    "example few find first five following for four found from further gave get give given go "
    "good great had has have having he help her here high him his how however if important in "
    "include included includes including instead into is it its itself just keep kind known large "
    "largest last later least less let like likely little long look low made main make makes "
    "making many may me might more most much must my near need never new next no nor not now "
    "number of off often on once one only onto or other others our out over own part particular "
    "people perhaps possible rather real really said same say second see seen several shall she "
    "should show since six small so some sometimes soon still such take taken than that the their "
    "them then there therefore these they thing things third this those though three through thus "
    "time times to together too two type types under unless until up upon us use used useful uses "
    "using usually various very via want was way ways we well were what when where whether which "
    "while who whole whom whose why will with within without would year years yet you your"
)
_FUNCTION_WORDS = frozenset(_LISTED.split())
_WEAK_ENDINGS = ("ly", "ing", "ed")  # adverbs and verb forms: half as good on their own
_TITLE_WORDS = 8
_LONGEST = 3  # words of a term
_BEST = 4  # terms that a query is drawn from
_AS_RARE = 1000  # words of fewer than one in so many passages are about as rare as one another


class KeywordQueries:
    """Queries from terms: words in a row, none of them a function word, with nothing but a space
    between them (as in Rose et al. 2010, RAKE).

    A term weighs by how often it stands in its passage and how rare its words are among all
    ``passages``, which are those that queries will be asked for.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = len(passages)
        self._frequency = Counter(
            word
            for passage in passages
            for word in {word.lower() for word in WORD.findall(passage.full_text)}
        )

    def of(self, passage: Passage, seed: int) -> list[str]:
        """At most three, each of two words or more: two of terms in the order of the text, and one
        of the title with a term; the latter may come first or second."""
        terms = self._best(passage.text)
        queries = [_joined(passage, terms, seed, number) for number in range(2)]
        title = [word.lower() for word in WORD.findall(passage.title)]
        if 1 <= len(title) <= _TITLE_WORDS:
            fresh = [term for term in terms if not set(term.split()) & set(title)][:_BEST]
            picked = sample(fresh, 1, seed, "title", passage.id)
            place = int(2 * draw(seed, "place", passage.id))
            queries.insert(place, " ".join([*passage.title.rstrip(" .?!:").split(), *picked]))
        return list(dict.fromkeys(query for query in queries if " " in query))

    def _best(self, text: str) -> list[str]:
        """Different terms in lower case, the most telling first."""
        counts = Counter(_terms(text))
        weights = {term: (1 + log(n)) * self._rarity(term) for term, n in counts.items()}
        return sorted(counts, key=lambda term: -weights[term])

    def _rarity(self, term: str) -> float:
        words = term.split()
        floor = self._passages / _AS_RARE  # what nobody else writes is often a slip of the pen
        rarities = [
            log(1 + self._passages / (self._frequency[word] + floor))
            * (0.5 if word.endswith(_WEAK_ENDINGS) else 1)
            for word in words
        ]
        return sum(rarities) / len(words) * (1 + 0.25 * (len(words) - 1))


def _joined(passage: Passage, terms: list[str], seed: int, number: int) -> str:
    """One of the best terms that is more than a word, or two of the best, in the order of the
    text, no word twice."""
    alone = draw(seed, "alone", passage.id, number) < 0.5
    best = [term for term in terms[:_BEST] if " " in term] if alone else terms[:_BEST]
    picked = sample(best, 1, seed, "term", passage.id, number) if alone else []
    picked = picked or sample(terms[:_BEST], 2, seed, "terms", passage.id, number)
    lower = passage.text.lower()
    return " ".join(dict.fromkeys(" ".join(sorted(picked, key=lower.find)).split()))


def _terms(text: str) -> list[str]:
    """Every run of telling words, in lower case; of a long run its last three."""
    runs: list[list[str]] = [[]]
    end = 0
    for match in WORD.finditer(text):
        word = match.group().lower()
        if text[end : match.start()] != " ":
            runs.append([])
        if len(word) > 2 and word not in _FUNCTION_WORDS and any(map(str.isalpha, word)):
            runs[-1].append(word)
        else:
            runs.append([])
        end = match.end()
    return [" ".join(run[-_LONGEST:]) for run in runs if run]
