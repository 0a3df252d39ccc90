"""Text to words and to Porter stems, as every quality model here counts them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...core.optional import need

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and underscores, case folded, in the order of the text."""
    return _WORD.findall(text.casefold())


def porter() -> Callable[[list[str]], list[str]]:
    """Words to their Porter stems, one for one.

    A fresh stemmer at each call, because PyStemmer objects must not be shared between threads.
    """
    stemmer: Any = need("Stemmer", "quality by stems").Stemmer("porter")
    stems: Callable[[list[str]], list[str]] = stemmer.stemWords
    return stems
