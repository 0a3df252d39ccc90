"""Questions from templates: no model, no network, English."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from ..draws import draw
from ..sentences import sentences
from .keyword_queries import WORD, KeywordQueries
from .noun_phrases import noun_phrase
from .question_patterns import PHRASE, YES_OR_NO
from .sentence_questions import Asked, questions_of

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ....core.records import Passage

_LATER = {PHRASE: 1, YES_OR_NO: 2}
_FEWEST_WORDS = 5
_MOST_PASSAGES = 2
_MARKED = 0.5  # share of questions written with a capital and a question mark


class TemplateQuestions:
    """Questions by the patterns of ``question_patterns``, and keyword queries.

    Of n questions the last is a keyword query where there are two or more. A passage in which no
    pattern is found has keyword queries only, one of fewer than five words nothing. Half of the
    questions are written as "What is tamis?", half as "what is tamis".

    Passages are best handed over together: a question that more than two of them would be asked is
    left out, and keywords are what is rare among them. All else depends on the passage, its id and
    the seed.
    """

    def questions(self, passages: Sequence[Passage], n: int, seed: int) -> list[list[str]]:
        """See ``QuestionGenerator``."""
        common = {
            word
            for passage in passages
            for word in WORD.findall(passage.full_text)
            if word.islower()
        }
        asked = [_asked(passage, common) for passage in passages]
        times = Counter(text for own in asked for text in {each.text.lower() for each in own})
        keywords = KeywordQueries(passages)
        found: list[list[str]] = []
        for passage, own in zip(passages, asked, strict=True):
            if len(passage.full_text.split()) < _FEWEST_WORDS:
                found.append([])
                continue
            rare = [each for each in own if times[each.text.lower()] <= _MOST_PASSAGES]
            questions = [_written(each, passage, seed) for each in _spread(rare, passage, seed)]
            queries = keywords.of(passage, seed)
            kept = questions[: n - 1] if queries and n > 1 else questions[:n]
            found.append(list(dict.fromkeys(kept + queries))[:n])
        return found


def _asked(passage: Passage, common: Container[str]) -> list[Asked]:
    title = re.sub(r"\s*\([^()]*\)", "", passage.title).strip()
    topic = noun_phrase(title) or ""
    found: list[Asked] = []
    last = ""
    for sentence in sentences(passage.text):
        led = bool(topic) and last.lower().removeprefix("the ").startswith(topic.lower())
        points = sentence.startswith("It ") and not led  # "it" is the title only after the title
        found += questions_of(sentence, "" if points else topic, common)
        last = sentence
    said = " | ".join(each.text.lower() for each in found if each.kind != PHRASE)
    fresh = [each for each in found if each.kind != PHRASE or each.text.lower() not in said]
    return list({each.text.lower(): each for each in reversed(fresh)}.values())[::-1]


def _spread(asked: list[Asked], passage: Passage, seed: int) -> list[Asked]:
    """Shuffled, so that the first of each kind come before the second of any; mere phrases come
    after questions, and last what asks for yes or no, as people seldom do."""
    shuffled = sorted(asked, key=lambda each: draw(seed, "order", passage.id, each.text))
    met: Counter[str] = Counter()
    turns = []
    for each in shuffled:
        turns.append((_LATER.get(each.kind, 0), met[each.kind]))
        met[each.kind] += 1
    order = sorted(range(len(shuffled)), key=turns.__getitem__)
    return [shuffled[place] for place in order]


def _written(asked: Asked, passage: Passage, seed: int) -> str:
    if asked.kind == PHRASE or draw(seed, "mark", passage.id, asked.text) >= _MARKED:
        return asked.text
    return f"{asked.text[0].upper()}{asked.text[1:]}?"
