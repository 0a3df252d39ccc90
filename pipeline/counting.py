"""Count the words of passages as the rerankers read them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..index.word_counts import WordCounts, count_words
from ..rerank.terms import Terms, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..core.progress import Advance
    from ..core.records import Int64Array, Passage


def counted(passages: Iterable[Passage], advance: Advance | None = None) -> WordCounts:
    """The counts of all passages, which are read once."""
    terms = Terms()
    return count_words(passages, lambda text: terms.of_words(words_of(text)), advance)


class CountedWhenAsked:
    """Counts of passages that no index has counted, made at the first question."""

    def __init__(self, passages: Callable[[], Iterable[Passage]]) -> None:
        self._read = passages

    @cached_property
    def _counts(self) -> WordCounts:
        return counted(self._read())

    @property
    def passages(self) -> int:
        return self._counts.passages

    @property
    def title_words(self) -> int:
        return self._counts.title_words

    @property
    def text_words(self) -> int:
        return self._counts.text_words

    def counts(self, terms: Sequence[str]) -> Int64Array:
        """As ``TermStatistics.counts``."""
        return self._counts.counts(terms)
