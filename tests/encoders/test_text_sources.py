"""What a source of texts to learn from gives, part by part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tamis.core.errors import BadArguments
from tamis.core.records import Passage
from tamis.encoders.training.questions.template_questions import TemplateQuestions
from tamis.encoders.training.texts import TextSource

if TYPE_CHECKING:
    from pathlib import Path

LINES = [
    ("Iron", "Haemochromatosis stores iron. Iron, and too much of it, harms the liver."),
    ("Iron", "In haemochromatosis the LIVER keeps iron, and blood is let."),
    ("", "Ferritin ferritin ferritin."),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    lines = [json.dumps({"title": title, "text": text}) for title, text in LINES]
    file.write_text("\n".join(lines), "utf-8")
    return file


def of(path: Path, part: str, **options: int) -> list[str]:
    shards = TextSource(str(path), part=part, **options).shards()
    return [text for shard in shards for text in shard]


def test_whole_is_title_and_text(path: Path) -> None:
    assert of(path, "whole") == [f"{title} {text}".strip() for title, text in LINES]


def test_titles_come_once(path: Path) -> None:
    assert of(path, "title") == ["Iron"]


def test_a_sentence_has_five_words_or_more(path: Path) -> None:
    first, second = of(path, "sentence")
    assert first == "Iron, and too much of it, harms the liver."
    assert second == LINES[1][1]


def test_words_stand_in_two_texts_and_have_four_letters(path: Path) -> None:
    """Not ``and``, too short, nor ``ferritin``, three times in one text."""
    assert of(path, "word") == ["haemochromatosis", "iron", "liver"]


def test_questions_are_those_of_the_templates(path: Path) -> None:
    passages = [Passage(f"texts{i}", text, title) for i, (title, text) in enumerate(LINES)]
    asked = TemplateQuestions().questions(passages, 2, 0)
    assert of(path, "question") == [question for own in asked for question in own]
    assert len(asked[0]) == 2


def test_a_limit_cuts_any_part(path: Path) -> None:
    assert of(path, "word", limit=2) == ["haemochromatosis", "iron"]
    assert of(path, "whole", limit=1) == ["Iron " + LINES[0][1]]


def test_unknown_parts_are_refused(path: Path) -> None:
    with pytest.raises(BadArguments, match="part"):
        TextSource(str(path), part="chapter")
