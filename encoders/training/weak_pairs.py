"""Pairs from a bare corpus, without labels: parts of a passage ask for the passage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ...core.errors import BadArguments
from .draws import choose, draw
from .pairs import Pair
from .sentences import sentence_spans

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Sequence

    from ...core.records import Passage

WeakKind: TypeAlias = Literal["title", "sentence", "cloze"]
WEAK_KINDS: tuple[WeakKind, ...] = get_args(WeakKind)

KEPT_SENTENCES = 0.1
"""Share of cloze pairs whose sentence stays in its passage, so that a model also learns to match
words: Lee et al. 2019, "Latent Retrieval for Weakly Supervised Open Domain Question Answering"."""

_SENTENCE_WORDS = range(5, 41)  # fewer say little alone, more were cut wrongly
_FEWEST_WORDS = 10  # of what a query is to find


def weak_pairs(
    passages: Iterable[Passage],
    kinds: Sequence[WeakKind],
    seed: int,
    skipped: Counter[str] | None = None,
) -> Iterator[Pair]:
    """At most one pair of each kind for each passage, passage by passage.

    title: the title asks for the text alone, as the title in the passage would be no question.
    sentence: one of its sentences asks for the whole passage, title included.
    cloze: one of its sentences asks for the passage without it (inverse cloze, Lee et al. 2019);
    in one of ten pairs the sentence stays.

    Sentences have 5 to 40 words, what is to be found at least 10 more. Passages without are
    counted in ``skipped`` under their kind. A pair depends on its passage and the seed alone.
    BadArguments for an unknown kind.
    """
    for kind in kinds:
        if kind not in WEAK_KINDS:
            raise BadArguments(
                f"no kind of weak pair is called {kind!r}; known: {', '.join(WEAK_KINDS)}"
            )
    return _all_pairs(passages, kinds, seed, skipped)


def _all_pairs(
    passages: Iterable[Passage],
    kinds: Sequence[WeakKind],
    seed: int,
    skipped: Counter[str] | None,
) -> Iterator[Pair]:
    for passage in passages:
        for kind in kinds:
            pair = weak_pair(passage, kind, seed)
            if pair is not None:
                yield pair
            elif skipped is not None:
                skipped[kind] += 1


def weak_pair(passage: Passage, kind: WeakKind, seed: int) -> Pair | None:
    """The passage's pair of this kind, None where it is too short."""
    if kind == "title":
        return _from_title(passage)
    spans = _askable(passage.text)
    if not spans:
        return None
    begin, end = choose(spans, seed, kind, passage.id)
    query, rest = passage.text[begin:end], _without(passage.text, begin, end)
    if kind == "sentence" or draw(seed, "keep", passage.id) < KEPT_SENTENCES:
        return Pair(query, passage.full_text)
    return Pair(query, f"{passage.title} {rest}" if passage.title else rest)


def _from_title(passage: Passage) -> Pair | None:
    named = any(sign.isalnum() for sign in passage.title)
    long_enough = len(passage.text.split()) >= _FEWEST_WORDS
    return Pair(passage.title, passage.text) if named and long_enough else None


def _askable(text: str) -> list[tuple[int, int]]:
    """The sentences of the right length that leave enough to be found."""
    most = len(text.split()) - _FEWEST_WORDS
    spans = []
    for begin, end in sentence_spans(text):
        words = len(text[begin:end].split())
        if words in _SENTENCE_WORDS and words <= most:
            spans.append((begin, end))
    return spans


def _without(text: str, begin: int, end: int) -> str:
    return f"{text[:begin].rstrip()} {text[end:].lstrip()}".strip()
