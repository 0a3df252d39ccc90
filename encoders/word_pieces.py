"""Texts to packed word pieces: ids end to end, no padding, no special tokens, no torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..core.corpus.validation import has_lone_surrogate
from ..core.errors import BadData
from ..core.fingerprints import of_value
from ..core.packed_texts import PackedTexts
from .recurrent.kinds import not_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..core.records import Int32Array

_CHUNK = 4096  # texts that are tokenised together, while the model works on the chunk before


class WordPieces:
    """A ``tokenizer.json`` of the tokenizers library; its padding and truncation are left out.

    Raises MissingResource without the file, BadData when it is no tokenizer.
    """

    vocabulary: int
    """One more than the largest id, which may be more than there are pieces."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        if not path.is_file():
            raise not_whole(path)
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as failure:  # noqa: BLE001 - the library raises bare Exception
            raise BadData(f"{path} is not a tokenizer: {failure}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.vocabulary = 1 + max(self._tokenizer.get_vocab().values(), default=-1)

    def to_json(self) -> str:
        return str(self._tokenizer.to_str())

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tokenizers that give every text the same ids."""
        return of_value({"tokenizer": self.to_json()})

    def pack(self, texts: Sequence[str], prefix: str = "", max_length: int = 0) -> PackedTexts:
        """All texts at once; ``max_length`` 0 cuts nothing.

        Raises BadData for half a surrogate pair, which no tokenizer reads.
        """
        given = [prefix + text for text in texts] if prefix else list(texts)
        try:
            encodings = self._tokenizer.encode_batch_fast(given, add_special_tokens=False)
        except TypeError:
            for text in filter(has_lone_surrogate, given):
                raise BadData(
                    f"the text {text[:60]!r} holds half a surrogate pair: it is no UTF-8"
                ) from None
            raise
        counts = np.fromiter(map(len, encodings), np.int32, len(encodings))
        tokens = chain.from_iterable(encoding.ids for encoding in encodings)
        ids = np.fromiter(tokens, np.int32, int(counts.sum(dtype=np.int64)))
        bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return PackedTexts(ids, bounds, counts).cut(max_length)

    def written(self, ids: Int32Array) -> list[str]:
        """Each piece as the tokenizer spells it."""
        return [str(self._tokenizer.id_to_token(int(number))) for number in ids]

    def pack_ahead(
        self, texts: Sequence[str], prefix: str = "", max_length: int = 0
    ) -> Iterator[tuple[int, PackedTexts]]:
        """(position of the first text, its pack) chunk by chunk; a thread keeps one chunk ahead."""
        if len(texts) <= _CHUNK:
            if len(texts):
                yield 0, self.pack(texts, prefix, max_length)
            return
        with ThreadPoolExecutor(1, "tokenize") as thread:
            ahead = None
            for start in range(0, len(texts), _CHUNK):
                now = ahead or thread.submit(
                    self.pack, texts[start : start + _CHUNK], prefix, max_length
                )
                following = texts[start + _CHUNK : start + 2 * _CHUNK]
                ahead = (
                    thread.submit(self.pack, following, prefix, max_length) if following else None
                )
                yield start, now.result()
