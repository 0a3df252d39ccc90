"""Words to terms: case folded, function words out, English Snowball stems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.optional import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_LISTED = (
    "a about am an and any are as at be been being but by can could did do does for from had has "
    "have he her his how i if in into is it its me my of on or our she should so some such than "
    "that the their them then there these they this those to was we were what when where which "
    "who whom whose why will with would you your"
)
FUNCTION_WORDS = frozenset(_LISTED.split())
_WORDS, _LETTERS = 1_000_000, 32_000_000
"""Remembered at most: words with their numbers, some 200 MB, and texts, about as much."""


class Terms:
    """Texts to terms; one object per thread, because a PyStemmer object must not be shared.

    ``numbers`` gives every word the number of its term; a function word has one of its own,
    under its stem with a blank before it, so that it can be told from a term that reads the same.
    """

    def __init__(self) -> None:
        self._stemmer: Any = need("Stemmer", "the features of a reranker").Stemmer("english")
        self.numbers = _Numbers(self._stemmer)
        self._read: dict[str, NDArray[np.int32]] = {}
        self._letters = 0

    def numbered(self, text: str) -> NDArray[np.int32]:
        """The numbers of all words of a text, in order; remembered, as good passages come again."""
        found = self._read.get(text)
        if found is None:
            words = words_of(text)
            every = map(self.numbers.__getitem__, words)
            found = self._read[text] = np.fromiter(every, np.int32, len(words))
            self._letters += len(text)
        return found

    def forget(self) -> None:
        """Begin anew where much is remembered; numbers change."""
        if len(self.numbers) > _WORDS or self._letters > _LETTERS:
            self.numbers.clear()
            self.numbers.of_term.clear()
            self._read.clear()
            self._letters = 0

    def of_query(self, text: str) -> tuple[list[str], bool]:
        """The terms in order, and whether they are function words for want of anything else."""
        words = words_of(text)
        content = [word for word in words if word not in FUNCTION_WORDS]
        return self.of_words(content or words), not content

    def of_words(self, words: list[str]) -> list[str]:
        """The stem of every word, function words too; words as ``words_of`` gives them."""
        stems: list[str] = self._stemmer.stemWords(words)
        return stems


class _Numbers(dict[str, int]):
    """Word -> number of its term, given when it is first asked for; ``of_term`` are the terms'."""

    def __init__(self, stemmer: Any) -> None:
        super().__init__()
        self._stemmer = stemmer
        self.of_term: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        stem = self._stemmer.stemWord(word)
        term = f" {stem}" if word in FUNCTION_WORDS else stem
        self[word] = number = self.of_term.setdefault(term, len(self.of_term))
        return number


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and underscores, case folded, in the order of the text."""
    return _WORD.findall(text.casefold())
