"""Corpora as streams of passages and flaws."""

from .flaws import Flaw
from .opening import open_corpus
from .stream import Corpus

__all__ = ["Corpus", "Flaw", "open_corpus"]
