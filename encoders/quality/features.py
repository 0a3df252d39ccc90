"""Cheap numbers that tell prose from lists, wreckage and repetition, computed from a text alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .stop_words import STOP_WORDS
from .words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Float32Array

FEATURES: dict[str, str] = {
    "words": "log(1 + number of words)",
    "word_length": "mean characters of a word",
    "longest_word": "log(1 + characters of the longest word)",
    "distinct_words": "distinct words / words",
    "top_word": "share of the words that are the most frequent one",
    "repeated_pairs": "share of the neighbouring word pairs that stood before in the text",
    "stop_words": "share of the words that are English function words",
    "number_words": "share of the words that hold a digit",
    "letters": "share of the characters that are letters",
    "capitals": "share of the letters that are upper case",
    "punctuation": "share of the characters that are ordinary punctuation",
    "symbols": "share of the characters that are no letter, digit, space or such punctuation",
    "sentences": "log(1 + number of sentences)",
    "sentence_words": "log(1 + words / sentences)",
    "questions": "question marks / sentences",
    "begins": "1 if the first character that is no space is a capital or a digit, else 0",
    "ends": "1 if the text ends as a sentence does, closing quotes and brackets apart, else 0",
    "repeated_lines": "share of the lines with text that stood before in the text",
    "short_lines": "share of the lines with text that have fewer than four words between spaces",
    "links": "web addresses / words",
}
"""Column name -> meaning, in column order. Words are case folded runs of letters, digits and
underscores; a sentence ends at . ! ? or an ellipsis before a space or the end, and has a word.
A share of nothing is 0.
"""

_CLOSERS = "\"')]\u2019\u201d"
_PUNCTUATION = frozenset(".,;:!?'\"()-\u2018\u2019\u201c\u201d\u2013\u2014\u2026")
_ENDS = ".!?\u2026"
# only where a run of ends begins: else a line of a million dots is tried from every dot
_BREAK = re.compile(rf"(?<![{_ENDS}])[{_ENDS}]++[{re.escape(_CLOSERS)}]*+(?=\s|$)")
_LINK = re.compile(r"https?://|\bwww\.", re.IGNORECASE)
_WORD = re.compile(r"\w")


def features(texts: Sequence[str]) -> Float32Array:
    """[len(texts), len(FEATURES)] float32, finite; a row depends on its text alone."""
    rows = [_row(text) for text in texts]
    return np.array([[row[name] for name in FEATURES] for row in rows], np.float32).reshape(
        len(rows), len(FEATURES)
    )


def _row(text: str) -> dict[str, float]:
    words = words_of(text)
    return {
        **_of_words(words),
        **_of_characters(text),
        **_of_sentences(text, len(words)),
        **_of_lines(text),
        "links": _share(len(_LINK.findall(text)), len(words)),
    }


def _of_words(words: list[str]) -> dict[str, float]:
    lengths = [len(word) for word in words]
    counts = Counter(words)
    pairs = list(pairwise(words))
    numbers = sum(any(map(str.isdigit, word)) for word in words)
    return {
        "words": math.log1p(len(words)),
        "word_length": _share(sum(lengths), len(words)),
        "longest_word": math.log1p(max(lengths, default=0)),
        "distinct_words": _share(len(counts), len(words)),
        "top_word": _share(max(counts.values(), default=0), len(words)),
        "repeated_pairs": _share(len(pairs) - len(set(pairs)), len(pairs)),
        "stop_words": _share(sum(word in STOP_WORDS for word in words), len(words)),
        "number_words": _share(numbers, len(words)),
    }


def _of_characters(text: str) -> dict[str, float]:
    letters = sum(map(str.isalpha, text))
    punctuation = sum(character in _PUNCTUATION for character in text)
    others = sum(map(str.isdigit, text)) + sum(map(str.isspace, text))
    return {
        "letters": _share(letters, len(text)),
        "capitals": _share(sum(map(str.isupper, text)), letters),
        "punctuation": _share(punctuation, len(text)),
        "symbols": _share(len(text) - letters - punctuation - others, len(text)),
    }


def _of_sentences(text: str, words: int) -> dict[str, float]:
    sentences = sum(_WORD.search(part) is not None for part in _BREAK.split(text))
    first = text.lstrip()[:1]
    last = text.rstrip().rstrip(_CLOSERS)[-1:]
    return {
        "sentences": math.log1p(sentences),
        "sentence_words": math.log1p(_share(words, sentences)),
        "questions": _share(text.count("?"), sentences),
        "begins": float(first.isupper() or first.isdigit()),
        "ends": float(last != "" and last in _ENDS),
    }


def _of_lines(text: str) -> dict[str, float]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    short = sum(len(line.split(maxsplit=3)) < 4 for line in lines)
    return {
        "repeated_lines": _share(len(lines) - len(set(lines)), len(lines)),
        "short_lines": _share(short, len(lines)),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
