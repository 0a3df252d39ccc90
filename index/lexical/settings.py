"""What a lexical index is asked to be: which engine, with which BM25 parameters, reading how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ...core.errors import BadArguments, BadData

if TYPE_CHECKING:
    from collections.abc import Mapping

Engine: TypeAlias = Literal["bm25s", "lucene"]

ANALYSIS = {"bm25s": ("english", "english"), "lucene": ("porter", "lucene")}
"""Engine -> (stemmer, stop words).

bm25s: Snowball's "english" (Porter 2) and bm25s's own English list. lucene: Anserini's default
analyzer, that is Lucene's Porter stemmer and its 33 English stop words.
"""


@dataclass(frozen=True, slots=True)
class LexicalSettings:
    """All that changes a BM25 score beside the texts. k1 and b default to Anserini's.

    bm25s computes the scores when it builds, so k1 and b belong to an index as its texts do.
    The stemmer and the stop words follow from the engine and are here to be recorded.
    Raises BadArguments unless k1 is finite and >= 0, and b lies in 0..1.
    """

    engine: Engine = "bm25s"
    k1: float = 0.9
    b: float = 0.4
    stemmer: str = field(init=False)
    stopwords: str = field(init=False)

    def __post_init__(self) -> None:
        if self.engine not in ANALYSIS:
            known = ", ".join(get_args(Engine))
            raise BadArguments(f"no lexical engine is called {self.engine!r}; known: {known}")
        if not (math.isfinite(self.k1) and self.k1 >= 0):
            raise BadArguments(f"BM25's k1 is {self.k1}; it must be a finite number >= 0")
        if not 0 <= self.b <= 1:
            raise BadArguments(f"BM25's b is {self.b}; it must lie between 0 and 1")
        stemmer, stopwords = ANALYSIS[self.engine]
        object.__setattr__(self, "stemmer", stemmer)
        object.__setattr__(self, "stopwords", stopwords)

    def to_json(self) -> dict[str, str | float]:
        """What the index manifest records, stemmer and stop words included."""
        return {
            "engine": self.engine,
            "k1": self.k1,
            "b": self.b,
            "stemmer": self.stemmer,
            "stopwords": self.stopwords,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> LexicalSettings:
        """The settings that ``to_json`` wrote; BadData when it cannot have written this."""
        try:
            settings = cls(value["engine"], float(value["k1"]), float(value["b"]))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, BadArguments) as flaw:
            raise BadData(f"lexical settings {dict(value)!r} are malformed: {flaw!r}") from flaw
        if settings.to_json() != dict(value):
            raise BadData(
                f"lexical settings {dict(value)!r} were written by another version; "
                f"this one reads {settings.to_json()!r}; rebuild the index"
            )
        return settings


def check_depth(k: int) -> None:
    """BadArguments unless k, the number of rows wanted, is at least 1."""
    if k < 1:
        raise BadArguments(f"k is {k}; ask for at least one row")
