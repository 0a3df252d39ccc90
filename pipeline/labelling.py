"""Labelled texts for a quality model, from each kind of source."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ..core.corpus import Flaw, open_corpus
from ..core.errors import BadData
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..core.records import Passage
from ..encoders.training.draws import draw, sample
from ..encoders.training.labels import ORDINARY, LabelledText, Seen, from_answers
from ..encoders.training.negatives import in_turns
from ..encoders.training.pairs import read_pairs
from ..encoders.training.questions.template_questions import TemplateQuestions
from ..encoders.training.texts import titled_texts
from ..encoders.training.wreckage import wreckage
from .components import encoder as load_encoder
from .miners import PassageVectors, bm25_over

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from ..core.progress import Progress
    from .label_settings import LabelSettings

_JSON_LINES = (".jsonl", ".jsonl.gz")
_ASKED_AT_ONCE = 1024
_QUESTIONS_OF_A_PASSAGE = 3
_BARE = 0.5
"""Share of openings, and of what follows them, that is read without its title."""


def labels(
    settings: LabelSettings, seed: int, counts: Counter[str], progress: Progress
) -> list[Seen]:
    """The labels of one table. BadData for a flawed file, or when not one label comes out."""
    makers = {
        "judged": _judged,
        "pairs": _pairs,
        "asked": _asked,
        "openings": _openings,
        "ordinary": _ordinary,
        "wreckage": _wreckage,
    }
    found = makers[settings.source](settings, seed, progress)
    if not found:
        raise BadData(
            f"not one label of source {settings.source!r} came out of "
            f"{settings.corpus or settings.file}"
        )
    wanted = sum(each.labelled.label == 1 for each in found)
    counts[f"{settings.source}: wanted"] += wanted
    counts[f"{settings.source}: not wanted"] += len(found) - wanted
    if settings.wanted_weight == 1:
        return found
    return [_weighted(each, settings.wanted_weight) for each in found]


def _judged(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    del seed
    passages = _passages(settings, progress)
    text = {passage.id: passage.full_text for passage in passages}
    judgments = read_qrels(settings.qrel_file()).judgments
    wanted: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for query, grades in judgments.items():
        for id_, grade in grades.items():
            if id_ in text:
                (wanted if grade >= settings.least_grade else others).append((query, text[id_]))
    if settings.unjudged:
        others += _unjudged(settings, passages, judgments, progress)
    return from_answers(wanted, others, settings.weight)


def _unjudged(
    settings: LabelSettings,
    passages: Sequence[Passage],
    judgments: dict[str, dict[str, int]],
    progress: Progress,
) -> list[tuple[str, str]]:
    """(query, text) of the best passages of BM25 that nobody judged for the query."""
    queries = [q for q in read_queries(settings.queries or settings.corpus) if q.id in judgments]
    most = max((len(grades) for grades in judgments.values()), default=0)
    found = []
    with bm25_over([passage.full_text for passage in passages], progress) as search:
        mined = search([query.text for query in queries], settings.unjudged + most)
        for query, rows in zip(queries, mined, strict=True):
            new = [row for row in rows.tolist() if passages[row].id not in judgments[query.id]]
            found += [(query.id, passages[row].full_text) for row in new[: settings.unjudged]]
    return found


def _pairs(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    del seed, progress
    pairs = read_pairs(Path(settings.file))
    wanted = [(pair.query, pair.positive) for pair in pairs]
    others = [(pair.query, text) for pair in pairs for text in pair.negatives]
    return from_answers(wanted, others, settings.weight)


def _asked(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    passages = _passages(settings, progress, seed)
    texts = [passage.full_text for passage in passages]
    if settings.questions:
        asked = [(title or text, -1) for title, text in titled_texts(Path(settings.questions))]
    else:
        made = TemplateQuestions().questions(passages, _QUESTIONS_OF_A_PASSAGE, seed)
        asked = [(question, row) for row, own in enumerate(made) for question in own]
    wanted: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    with ExitStack() as stack:
        vectors = PassageVectors.of(load_encoder(settings.encoder), texts, progress)
        bm25 = stack.enter_context(bm25_over(texts, progress))
        search = in_turns([bm25, vectors.search])
        with progress.stage("ask", len(asked)) as advance:
            for start in range(0, len(asked), _ASKED_AT_ONCE):
                some = asked[start : start + _ASKED_AT_ONCE]
                for (question, own), rows in zip(
                    some, search([text for text, _ in some], settings.depth + 1), strict=True
                ):
                    ranked = [texts[row] for row in rows.tolist() if row != own]
                    wanted += [(question, text) for text in ranked[: settings.wanted]]
                    others += [
                        (question, text) for text in ranked[settings.wanted : settings.depth]
                    ]
                advance(len(some))
    return from_answers(wanted, others, settings.weight)


def _openings(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    found, before = [], None
    for passage in _passages(settings, progress):
        label = ORDINARY if passage.title == before else 1.0
        before = passage.title
        if passage.title:
            bare = draw(seed, "without its title", passage.text) < _BARE
            text = passage.text if bare else passage.full_text
            found.append(Seen(LabelledText(text, label, settings.weight)))
    return sample(found, settings.limit or len(found), seed, "limit")


def _ordinary(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    return [
        Seen(LabelledText(passage.full_text, ORDINARY, settings.weight))
        for passage in _passages(settings, progress, seed)
    ]


def _wreckage(settings: LabelSettings, seed: int, progress: Progress) -> list[Seen]:
    passages = _passages(settings, progress, seed)
    count = max(1, round(settings.share * len(passages)))
    made = wreckage([passage.full_text for passage in passages], count, Random(seed))  # noqa: S311 - no secret
    return [Seen(LabelledText(text, 0.0, settings.weight)) for text in dict.fromkeys(made)]


def _passages(
    settings: LabelSettings, progress: Progress, seed: int | None = None
) -> list[Passage]:
    """Those of the corpus; with a seed, only ``limit`` of them. BadData for a flawed corpus."""
    with progress.stage(f"read {Path(settings.corpus).name}", None) as advance:
        found = []
        for item in _items(settings.corpus):
            if isinstance(item, Flaw):
                raise BadData(f"{settings.corpus}: {item}; tamis check lists every error")
            found.append(item)
            advance(1)
    if seed is None:
        return found
    return sample(found, settings.limit or len(found), seed, "limit")


def _items(corpus: str) -> Iterator[Passage | Flaw]:
    if corpus.endswith(_JSON_LINES):
        for number, (title, text) in enumerate(titled_texts(Path(corpus))):
            yield Passage(str(number), text, title)
    else:
        yield from open_corpus(corpus)


def _weighted(seen: Seen, factor: float) -> Seen:
    own = seen.labelled
    if own.label < 1:
        return seen
    heavier = LabelledText(own.text, own.label, own.weight * factor)
    return Seen(heavier, seen.wanted_by, seen.retrieved_for)
