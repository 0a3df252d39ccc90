"""Texts to token ids, through bm25s's own tokenizer, in four bytes a token."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.optional import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ...core.records import Int32Array, Int64Array

STRIDE = 4096
"""Texts between two calls of ``progress``."""


class PackedTokens:
    """The token ids of each passage; all of bm25s that reads a list of lists can read this.

    ids [T] int32, all passages on end; ends [n] int64, where each passage ends in ``ids``.
    A list of lists costs 36 bytes a token (40 GB for MS MARCO); here lists live one at a time.
    """

    def __init__(self, ids: Int32Array, ends: Int64Array) -> None:
        self.ids = ids
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        for end in self.ends.tolist():
            yield self.ids[start:end].tolist()
            start = end


def tokenizer(stopwords: str, stemmer: str) -> Any:
    """A fresh bm25s tokenizer: lower case, words of two characters or more, stop words out, stems.

    Fresh for each use, because a PyStemmer object must not be shared between threads, and
    because the tokenizer remembers every word it has met.
    """
    stem = need("Stemmer", "the bm25s index").Stemmer(stemmer)
    made = need("bm25s.tokenization", "the bm25s index").Tokenizer
    return made(stopwords=stopwords, stemmer=stem)


def pack(
    words: Any, texts: Iterable[str], progress: Callable[[int], None]
) -> tuple[PackedTokens, dict[str, int]]:
    """The texts through the tokenizer ``words``, and its vocabulary: token -> id, sorted.

    Sorted, a token's id depends on the set of tokens alone. The vocabulary always has the empty
    token, which no passage holds: bm25s cannot do without any token.
    """
    ids, ends, told = array("i"), array("q"), 0
    for tokens in words.streaming_tokenize(texts, update_vocab=True, allow_empty=False):
        ids.extend(tokens)
        ends.append(len(ids))
        if len(ends) - told == STRIDE:
            progress(STRIDE)
            told = len(ends)
    progress(len(ends) - told)
    met = words.stem_to_sid
    vocabulary = {token: new for new, token in enumerate(sorted({"", *met}))}
    renamed = np.fromiter((vocabulary[token] for token in met), np.int32, len(met))
    packed = np.frombuffer(ids, np.int32)
    np.take(renamed, packed, out=packed, mode="clip")  # in place; "raise" would copy it all
    return PackedTokens(packed, np.frombuffer(ends, np.int64)), vocabulary
