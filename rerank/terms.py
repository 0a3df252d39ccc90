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
_FUNCTION_WORDS = frozenset(_LISTED.split())


class Terms:
    """Texts to terms; one object per thread, because a PyStemmer object must not be shared."""

    def __init__(self) -> None:
        self._stemmer: Any = need("Stemmer", "the features of a reranker").Stemmer("english")

    def of_query(self, text: str) -> tuple[list[str], bool]:
        """The terms in order, and whether they are function words for want of anything else."""
        words = words_of(text)
        content = [word for word in words if word not in _FUNCTION_WORDS]
        return self._stems(content or words), not content

    def of_passage(self, words: list[str], function_words: bool) -> list[str]:
        """The terms in order, with the function words only where the query consists of them."""
        if not function_words:
            words = [word for word in words if word not in _FUNCTION_WORDS]
        return self._stems(words)

    def _stems(self, words: list[str]) -> list[str]:
        stems: list[str] = self._stemmer.stemWords(words)
        return stems


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and underscores, case folded, in the order of the text."""
    return _WORD.findall(text.casefold())
