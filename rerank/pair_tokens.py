"""A query and a passage as one sequence of tokens; what is too long loses the passage's end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

_PASSAGE = 8  # a query leaves an eighth of the room to the passage at least


class PairTokens:
    """Pairs by a fast tokenizer of transformers: each distinct text is tokenised once.

    A pair is what ``tokenizer(query, passage, truncation="only_second")`` makes of it. ``room``:
    the longest pair in tokens, special ones included. A query is whole unless it would leave less
    than an eighth of the room; the first such query is logged.
    """

    def __init__(self, tokenizer: Any, room: int) -> None:
        self._rust = tokenizer.backend_tokenizer
        self._room = room - tokenizer.num_special_tokens_to_add(pair=True)
        self._names = [
            (name, field)
            for name, field in (
                ("input_ids", "ids"),
                ("token_type_ids", "type_ids"),
                ("attention_mask", "attention_mask"),
            )
            if name in tokenizer.model_input_names
        ]
        self._told = False

    def of(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, list[int]]]:
        """Ids of every pair, and what else the model reads, not padded."""
        queries = self._of_texts([query for query, _ in pairs])
        passages = self._of_texts([passage for _, passage in pairs])
        for query in queries.values():
            self._cut_query(query)
        return [self.joined(queries[query], passages[passage]) for query, passage in pairs]

    def read(self, texts: Sequence[str], tokens: int = 0) -> list[Any]:
        """Encodings of the texts without special tokens, cut after so many (0: not at all)."""
        self._rust.no_truncation()
        self._rust.no_padding()
        found: list[Any] = self._rust.encode_batch(list(texts), add_special_tokens=False)
        if tokens:
            for each in found:
                each.truncate(tokens)
        return found

    def joined(self, query: Any, passage: Any) -> dict[str, list[int]]:
        """A pair of encodings that ``read`` gave, its passage cut where there is no room."""
        left = self._room - len(query.ids)
        if len(passage.ids) > left:
            passage = _beginning(passage, left)
        whole = self._rust.post_process(query, passage, True)
        return {name: getattr(whole, field) for name, field in self._names}

    def _of_texts(self, texts: Sequence[str]) -> dict[str, Any]:
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self.read(distinct), strict=True))

    def _cut_query(self, query: Any) -> None:
        longest = self._room - max(1, self._room // _PASSAGE)
        if len(query.ids) <= longest:
            return
        if not self._told:
            self._told = True
            log.warning(
                "a query of %d tokens leaves no room for a passage: its first %d are read",
                len(query.ids),
                longest,
            )
        query.truncate(longest)


def _beginning(encoding: Any, tokens: int) -> Any:
    """A copy of so many tokens: another query may leave more room."""
    from tokenizers import Encoding

    copied = Encoding.merge([encoding], growing_offsets=False)
    copied.truncate(tokens)
    return copied
