"""Queries and their positives from each kind of source, before negatives are mined."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from ..core.corpus import Flaw, open_corpus
from ..core.corpus.flaws import Tally
from ..core.errors import BadData
from ..core.manifest import NAME as MANIFEST
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..encoders.training.draws import sample
from ..encoders.training.negatives import Unmined
from ..encoders.training.pairs import read_pairs
from ..encoders.training.questions.seq2seq_questions import Seq2SeqQuestions
from ..encoders.training.questions.synthetic_questions import RowQuestion
from ..encoders.training.questions.template_questions import TemplateQuestions
from ..encoders.training.weak_pairs import weak_pair
from ..index.folder import IndexFolder
from ..index.passages import PassageTable
from .pair_settings import TEMPLATES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from ..core.progress import Progress
    from ..core.records import Passage
    from ..encoders.training.questions.synthetic_questions import QuestionGenerator
    from ..encoders.training.weak_pairs import WeakKind
    from .pair_settings import PairSettings

Item = TypeVar("Item")
_GENERATED_AT_ONCE = 512
_FROM_TEMPLATES_AT_ONCE = 50_000


def is_index(corpus: str) -> bool:
    """Whether the corpus is an index folder of ours."""
    return (Path(corpus) / MANIFEST).is_file()


def read_passages(corpus: str, progress: Progress) -> list[Passage]:
    """Every passage of a corpus or an index folder, by row; BadData for a flawed corpus."""
    passages: list[Passage] = []
    tally = Tally()
    with progress.stage("read", None) as advance:
        for item in _items(corpus):
            if isinstance(item, Flaw):
                tally.add(item)
            else:
                passages.append(item)
            advance(1)
    if not passages and not tally.total:
        tally.add(Flaw("no passages", corpus, "not one passage"))
    if tally.total:
        tally.refuse(corpus, "a corpus that tamis check finds no error in")
    return passages


def _items(corpus: str) -> Iterator[Passage | Flaw]:
    if not is_index(corpus):
        return iter(open_corpus(corpus))
    table = IndexFolder(Path(corpus)).passages
    assert isinstance(table, PassageTable), "a folder with a manifest has a table"
    return table.stream()


def from_file(
    settings: PairSettings, passages: Sequence[Passage], counts: Counter[str]
) -> list[Unmined]:
    """The queries and positives of a file of pairs, to be mined anew.

    A query's positives are its answers in all of its pairs; passages are known by their text.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, passage in enumerate(passages):
        rows[passage.full_text].append(row)
    pairs = read_pairs(Path(settings.file))
    answers: dict[str, list[int]] = defaultdict(list)
    for pair in pairs:
        answers[pair.query] += rows.get(pair.positive, [])
    counts["positives not in the corpus"] += sum(pair.positive not in rows for pair in pairs)
    kept = limited(pairs, settings)
    return [Unmined(pair.query, pair.positive, tuple(answers[pair.query])) for pair in kept]


def from_judgments(
    settings: PairSettings, passages: Sequence[Passage], counts: Counter[str]
) -> list[Unmined]:
    """Each judged query with each of its passages of ``least_grade`` or more.

    Judged queries without a text and judged passages that the corpus lacks are counted and left
    out; two passages of one id are BadData.
    """
    texts = {query.id: query.text for query in read_queries(settings.query_file())}
    row = {passage.id: number for number, passage in enumerate(passages)}
    if len(row) < len(passages):
        raise BadData(
            f"{settings.corpus} has {len(passages) - len(row)} ids more than once; tamis check "
            f"{settings.corpus} lists them"
        )
    found = []
    for query, grades in read_qrels(settings.qrel_file()).judgments.items():
        if query not in texts:
            counts["judged queries without text"] += 1
            continue
        counts["judged passages not in the corpus"] += len(grades.keys() - row.keys())
        answers = tuple(row[id_] for id_, grade in grades.items() if grade > 0 and id_ in row)
        found += [
            Unmined(texts[query], passages[row[id_]].full_text, answers)
            for id_, grade in grades.items()
            if grade >= settings.least_grade and id_ in row
        ]
    return limited(found, settings)


def from_passages(
    settings: PairSettings, passages: Sequence[Passage], counts: Counter[str]
) -> list[Unmined]:
    """Weak pairs of one kind. All passages of a title answer it."""
    kind = cast("WeakKind", settings.source)
    titled: dict[str, list[int]] = defaultdict(list)
    if kind == "title":
        for row, passage in enumerate(passages):
            titled[passage.title].append(row)
    found = []
    for row in limited(range(len(passages)), settings):
        pair = weak_pair(passages[row], kind, settings.seed)
        if pair is None:
            counts["passages too short"] += 1
        else:
            answers = titled[passages[row].title] if kind == "title" else [row]
            found.append(Unmined(pair.query, pair.positive, tuple(answers)))
    return found


def ask(
    settings: PairSettings, passages: Sequence[Passage], progress: Progress
) -> list[RowQuestion]:
    """Questions of the generator, passage by passage. Templates see 50,000 passages together."""
    rows = limited(range(len(passages)), settings)
    generator: QuestionGenerator
    if settings.generator == TEMPLATES:
        generator, together = TemplateQuestions(), _FROM_TEMPLATES_AT_ONCE
    else:
        generator = Seq2SeqQuestions(
            settings.generator, prefix=settings.prefix, device=settings.device
        )
        together = _GENERATED_AT_ONCE
    asked = []
    with progress.stage("questions", len(rows)) as advance:
        for start in range(0, len(rows), together):
            some = rows[start : start + together]
            own = generator.questions(
                [passages[row] for row in some], settings.questions, settings.seed
            )
            asked += [
                RowQuestion(text, row)
                for row, texts in zip(some, own, strict=True)
                for text in texts
            ]
            advance(len(some))
    return asked


def limited(items: Sequence[Item], settings: PairSettings) -> list[Item]:
    """All items, or ``settings.limit`` of them, drawn by the seed, in their order."""
    return sample(items, settings.limit or len(items), settings.seed, "limit")
