"""Which labels a quality model is to learn from: refused as a whole before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..core.corpus.irds import PREFIX
from ..core.errors import BadArguments, MissingResource
from .pair_settings import path_under

SOURCES = ("judged", "pairs", "asked", "openings", "ordinary", "wreckage")
_PATHS = ("corpus", "file", "queries", "qrels", "questions")


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """A ``[[labels]]`` table of a training spec. BadArguments for a wrong one.

    source: "judged", queries and judgments of a collection: passages of ``least_grade`` or more
    are wanted, judged ones of a lower grade are not, nor are ``unjudged`` others that BM25 finds
    for each query. "pairs", a ``file`` of training pairs: positives against negatives. "asked", no
    judgments: a hybrid search (BM25 and ``encoder``, taking turns) answers the ``questions``, a
    file of them or "" for questions made from the passages by templates; what is among the first
    ``wanted`` of some question is wanted, what is only among the first ``depth`` is not; a question
    says nothing of the passage that it was made from. "openings": the first passage of each run of
    one title is wanted, those after it are not; half of either are read without their title, as
    passages of the web are. "ordinary": prose that nobody was seen to want. "wreckage": as many
    as ``share`` of the corpus of pieces, heaps of words and page furniture, made from it, which
    nobody wants.

    corpus: whatever ``tamis build`` reads, or a file of ``{"text", "title"}`` lines (.jsonl,
    .jsonl.gz; no ids needed). limit: at most so many passages (judged, pairs: all), drawn by
    the seed; 0 for all. weight: of each of these texts; wanted_weight: of wanted ones, times it.
    """

    source: str
    corpus: str = ""
    file: str = ""
    queries: str = ""
    qrels: str = ""
    split: str = "train"
    least_grade: int = 1
    unjudged: int = 0
    questions: str = ""
    encoder: str = "tamis-small"
    wanted: int = 3
    depth: int = 30
    share: float = 0.125
    limit: int = 0
    weight: float = 1.0
    wanted_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise BadArguments(
                f"no source of labels is called {self.source!r}; known: {', '.join(SOURCES)}"
            )
        for name, least in (("least_grade", 1), ("unjudged", 0), ("wanted", 1), ("limit", 0)):
            if getattr(self, name) < least:
                raise BadArguments(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.depth <= self.wanted:
            raise BadArguments(f"depth is {self.depth}; expected more than wanted, {self.wanted}")
        for name in ("weight", "wanted_weight", "share"):
            if not getattr(self, name) > 0:
                raise BadArguments(f"{name} is {getattr(self, name)}; expected more than 0")
        needed = "file" if self.source == "pairs" else "corpus"
        if not getattr(self, needed):
            raise BadArguments(f"labels of source {self.source!r} need {needed}")

    def under(self, base: Path) -> LabelSettings:
        """The same with relative paths taken from ``base``."""
        return replace(
            self,
            corpus=path_under(self.corpus, base),
            file=path_under(self.file, base),
            queries=path_under(self.queries, base),
            qrels=path_under(self.qrels, base),
            questions=path_under(self.questions, base),
        )

    def check(self) -> None:
        """MissingResource when nothing is at a path."""
        for name in _PATHS:
            value = getattr(self, name)
            if value and not value.startswith(PREFIX) and not Path(value).exists():
                raise MissingResource(f"{name} is {value!r}, and nothing is there")
        if self.source == "judged" and not Path(self.qrel_file()).is_file():
            splits = sorted(path.stem for path in Path(self.corpus).glob("qrels/*.tsv"))
            raise MissingResource(
                f"there are no judgments at {self.qrel_file()}; splits there: "
                f"{', '.join(splits) or 'none'}; or name the file as qrels"
            )

    def qrel_file(self) -> str:
        """Where the judgments of a judged source are."""
        return self.qrels or str(Path(self.corpus) / "qrels" / f"{self.split}.tsv")
