"""Words to terms: case folded, function words out, English Snowball stems."""

from __future__ import annotations

import re
from typing import Any

from ..core.optional import need

_WORD = re.compile(r"\w+")
_LISTED = (
    "a about am an and any are as at be been being but by can could did do does for from had has "
    "have he her his how i if in into is it its me my of on or our she should so some such than "
    "that the their them then there these they this those to was we were what when where which "
    "who whom whose why will with would you your"
)
FUNCTION_WORDS = frozenset(_LISTED.split())
_REMEMBERED = 1_000_000
"""Words whose numbers are held: some 200 MB at most."""


class Terms:
    """Texts to terms; one object per thread, because a PyStemmer object must not be shared.

    ``numbers`` gives every word the number of its term; a function word has one of its own,
    under its stem with a blank before it, so that it can be told from a term that reads the same.
    """

    def __init__(self) -> None:
        self._stemmer: Any = need("Stemmer", "the features of a reranker").Stemmer("english")
        self.numbers = _Numbers(self._stemmer)

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

    def forget(self) -> None:
        """Begin anew where the memory of words has grown large; numbers change."""
        if len(self) > _REMEMBERED:
            self.clear()
            self.of_term.clear()


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and underscores, case folded, in the order of the text."""
    return _WORD.findall(text.casefold())
