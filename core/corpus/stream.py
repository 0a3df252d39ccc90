"""A corpus: something to be read from start to end, as often as needed, never held whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..records import Passage
    from .flaws import Flaw

    Located: TypeAlias = tuple[str, Passage | Flaw]
    """A place such as "corpus.jsonl:17" and what stands there."""


@dataclass(frozen=True)
class Corpus:
    """Passages, and flaws where a passage should be, in an order that never changes.

    ``source`` is what the user named; ``format`` is how it was read ("beir", "msmarco", "jsonl",
    "parquet", "trec", "text", "irds"); ``fields`` says in one line which keys or columns were
    chosen, or is empty where a format leaves no choice. ``read`` starts a new reading each time.
    """

    source: str
    format: str
    fields: str
    read: Callable[[], Iterator[Located]]

    def __iter__(self) -> Iterator[Passage | Flaw]:
        for _, item in self.read():
            yield item

    def located(self) -> Iterator[Located]:
        """The same items, each with its place, for messages about passages that read well."""
        return self.read()
