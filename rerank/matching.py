"""Where the words of a query stand in its candidates, as arrays over all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .terms import FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..core.records import Float64Array, Int64Array, Passage
    from .terms import Terms

_OTHER, _LEFT_OUT = -1, -2


@dataclass(frozen=True)
class Asked:
    """A query as the features read it.

    ``terms`` are its stems without function words, unless it consists of them; ``distinct`` the
    same, each once, in the order of first appearance; ``sequence`` [terms] int64 their numbers.
    """

    terms: list[str]
    distinct: list[str]
    sequence: Int64Array
    keeps_function_words: bool

    @classmethod
    def of(cls, question: str, terms: Terms) -> Asked:
        stems, all_function_words = terms.of_query(question)
        distinct = list(dict.fromkeys(stems))
        number = {term: place for place, term in enumerate(distinct)}
        return cls(
            terms=stems,
            distinct=distinct,
            sequence=np.array([number[term] for term in stems], np.int64),
            keeps_function_words=all_function_words,
        )

    @cached_property
    def numbers(self) -> Int64Array:
        """Which of the distinct terms hold a digit."""
        held = [any(letter.isdigit() for letter in term) for term in self.distinct]
        return np.flatnonzero(held)

    @cached_property
    def times(self) -> Float64Array:
        """[distinct]: how often the query says each of its terms."""
        return np.bincount(self.sequence, minlength=len(self.distinct)).astype(np.float64)

    @cached_property
    def follows(self) -> NDArray[np.bool_]:
        """[distinct, distinct]: whether the query says the second right after the first."""
        found = np.zeros((len(self.distinct), len(self.distinct)), bool)
        for first, second in pairwise(self.sequence.tolist()):
            found[first, second] = True
        return found


@dataclass(frozen=True)
class Field:
    """A field (title or text) of all n candidates, as far as the query's terms go.

    words, terms [n] int64: its length with and without function words (those of a query that has
    nothing else count as terms). The M words that are query terms, candidate after candidate:
    owner [M], the candidate; place [M], its place among the terms, from 0; code [M], which term.
    """

    words: Int64Array
    terms: Int64Array
    owner: Int64Array
    place: Int64Array
    code: Int64Array
    distinct: int

    @cached_property
    def frequency(self) -> Float64Array:
        """[n, distinct]: how often each term stands in each candidate."""
        n = len(self.words)
        flat = np.bincount(self.owner * self.distinct + self.code, minlength=n * self.distinct)
        return flat.reshape(n, self.distinct).astype(np.float64)

    @cached_property
    def first(self) -> Float64Array:
        """[n, distinct]: the first place of each term; NaN where it does not stand."""
        found = np.full((len(self.words), self.distinct), np.inf)
        np.minimum.at(found, (self.owner, self.code), self.place)
        return np.where(np.isinf(found), np.nan, found)


@dataclass(frozen=True)
class Matched:
    """A query and the fields of its candidates."""

    asked: Asked
    title: Field
    text: Field

    @classmethod
    def of(cls, question: str, passages: Sequence[Passage], terms: Terms) -> Matched:
        asked = Asked.of(question, terms)
        terms.forget()
        read = [
            _numbered([passage.title for passage in passages], terms),
            _numbered([passage.text for passage in passages], terms),
        ]
        codes = _codes(asked, terms)  # after reading: by now every word has its number
        title, text = (
            _field(codes[numbers], lengths, len(asked.distinct)) for numbers, lengths in read
        )
        return cls(asked, title, text)

    @cached_property
    def frequency(self) -> Float64Array:
        """[n, distinct]: of title and text together."""
        return self.title.frequency + self.text.frequency

    @cached_property
    def rarity(self) -> Float64Array:
        """[distinct]: inverse candidate frequency, never negative (BM25's in Lucene's form)."""
        n, df = len(self.frequency), (self.frequency > 0).sum(axis=0)
        return np.asarray(np.log1p((n - df + 0.5) / (df + 0.5)))


def _numbered(texts: Sequence[str], terms: Terms) -> tuple[NDArray[np.int32], Int64Array]:
    """Numbers of all words, text after text, and [n], how many each text has."""
    found = [terms.numbered(text) for text in texts]
    return np.concatenate(found), np.array([len(each) for each in found], np.int64)


def _codes(asked: Asked, terms: Terms) -> Int64Array:
    """[numbers given]: which of the query's terms a word of this number is, or why it is none."""
    known = terms.numbers.of_term
    codes = np.full(len(known), _OTHER, np.int64)
    for word in FUNCTION_WORDS:
        if word in terms.numbers:
            codes[terms.numbers[word]] = _OTHER if asked.keeps_function_words else _LEFT_OUT
    for code, term in enumerate(asked.distinct):
        for form in (term, f" {term}") if asked.keeps_function_words else (term,):
            if form in known:
                codes[known[form]] = code
    return codes


def _field(codes: Int64Array, lengths: Int64Array, distinct: int) -> Field:
    """From the codes of all words, function words among them."""
    left = codes != _LEFT_OUT
    owner, codes = np.repeat(np.arange(len(lengths)), lengths)[left], codes[left]
    terms = np.bincount(owner, minlength=len(lengths))
    hits = np.flatnonzero(codes >= 0)
    begins = np.concatenate([[0], np.cumsum(terms)[:-1]])
    return Field(
        words=lengths,
        terms=terms,
        owner=owner[hits],
        place=hits - begins[owner[hits]],
        code=codes[hits],
        distinct=distinct,
    )
