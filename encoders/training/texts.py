"""Unlabelled text to learn from: files of passages and of queries, read as a stream of shards."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from ...core.errors import BadData, MissingResource
from ...core.records import Passage
from .sentences import sentences
from .spec import at_least, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...core.protocols import Role

SHARD = 4096
"""Texts of a shard: what a teacher encodes and keeps at a time."""

_GIVEN_SHARD = 1024
_ASKED_TOGETHER = 20_000
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_WORDS = range(5, 41)  # a sentence with fewer says little alone, with more it was cut wrongly


@dataclass(frozen=True, slots=True)
class TextSource:
    """A file of ``{"text", "title"}`` lines (``.gz`` if the name says so).

    part: "whole" is title and text, joined by a space; "sentence" one sentence of the text, always
    the same one; "title" each title once; "word" each word of 4 letters or more that stands in two
    texts of the file; "question" at most two questions or keyword queries to each text, by
    templates. states: tokens to a run of the teacher's token states,
    0 for none. limit: only so many texts, 0 for all.
    """

    path: str
    role: str = "passage"
    part: str = "whole"
    states: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        one_of("[[texts]] role", self.role, ("passage", "query"))
        one_of("[[texts]] part", self.part, ("whole", "sentence", "title", "word", "question"))
        at_least("[[texts]] states", self.states, 0)
        at_least("[[texts]] limit", self.limit, 0)

    @property
    def file(self) -> Path:
        return Path(self.path)

    def shards(self) -> list[list[str]]:
        """All texts, in the order of the file, 4,096 at a time.

        MissingResource without the file, BadData for a line that is no object with a text.
        """
        texts = list(islice(self._texts(), self.limit or None))
        return [texts[start : start + SHARD] for start in range(0, len(texts), SHARD)]

    def _texts(self) -> Iterator[str]:
        if self.part == "word":
            yield from repeated_words(text for _, text in titled_texts(self.file))
            return
        if self.part == "question":
            yield from template_questions(self.file)
            return
        seen = set()
        for title, text in titled_texts(self.file):
            if self.part == "whole":
                yield f"{title} {text}".strip()
            elif self.part == "title" and title and title not in seen:
                seen.add(title)
                yield title
            elif self.part == "sentence" and (sentence := one_sentence(text)):
                yield sentence


@dataclass(frozen=True, slots=True)
class GivenTexts(TextSource):
    """Texts already in memory; ``path`` is what to call them.

    Their shards are small: a few seconds of a teacher's work, on which a user of tamis waits.
    """

    given: tuple[str, ...] = field(default=(), repr=False)

    def shards(self) -> list[list[str]]:
        starts = range(0, len(self.given), _GIVEN_SHARD)
        return [list(self.given[start : start + _GIVEN_SHARD]) for start in starts]


@dataclass(frozen=True, slots=True)
class Shard:
    """Texts of one source, with what the source says of them."""

    source: TextSource
    texts: list[str]

    @property
    def role(self) -> Role:
        return "query" if self.source.role == "query" else "passage"


def interleaved(sources: list[TextSource]) -> list[Shard]:
    """The shards of all sources, so that any beginning of the list has nearly the mixture of all.

    Each source's shards are spread evenly over the list, in their own order.
    """
    placed = []
    for number, source in enumerate(sources):
        shards = source.shards()
        for place, texts in enumerate(shards):
            placed.append(((place + 0.5) / len(shards), number, Shard(source, texts)))
    return [shard for _, _, shard in sorted(placed, key=lambda each: each[:2])]


def one_sentence(text: str) -> str:
    """A sentence of 5 to 40 words, chosen by the text's checksum; "" when there is none."""
    fit = [sentence for sentence in sentences(text) if len(sentence.split()) in _WORDS]
    return fit[crc32(text.encode("utf-8")) % len(fit)] if fit else ""


def repeated_words(texts: Iterable[str]) -> list[str]:
    """Lower-case words that stand in two of the texts or more, in order of appearance.

    As texts of their own they show a student what rare names and terms, which it reads in several
    word pieces, mean.
    """
    texts_with: Counter[str] = Counter()
    for text in texts:
        texts_with.update(list(dict.fromkeys(_LONG_WORD.findall(text.lower()))))
    return [word for word, count in texts_with.items() if count > 1]


def template_questions(path: Path) -> Iterator[str]:
    """Of each text of the file at most two; what is rare is rare among 20,000 texts."""
    from .questions.template_questions import TemplateQuestions

    generator, name = TemplateQuestions(), path.name.partition(".")[0]
    passages = (
        Passage(f"{name}{number}", text, title)
        for number, (title, text) in enumerate(titled_texts(path))
    )
    while group := list(islice(passages, _ASKED_TOGETHER)):
        for questions in generator.questions(group, 2, 0):
            yield from questions


def titled_texts(path: Path) -> Iterator[tuple[str, str]]:
    """(title, text) of each line, without outer spaces.

    MissingResource without the file, BadData for a line that is no object with a text.
    """
    if not path.is_file():
        raise MissingResource(f"{path} does not exist: a text source is a file of JSON lines")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                title, text = record.get("title") or "", record["text"]
            except (ValueError, KeyError, AttributeError) as failure:
                raise BadData(
                    f"{path} line {number} is no object with a text ({failure!r}): {line[:60]!r}"
                ) from None
            if not isinstance(text, str) or not isinstance(title, str):
                raise BadData(f"{path} line {number}: title and text are strings: {line[:60]!r}")
            yield title.strip(), text.strip()
