"""Which training pairs to make: refused as a whole before anything is read or loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..core import registry
from ..core.corpus.irds import PREFIX
from ..core.errors import BadArguments, MissingResource
from ..encoders.training.negatives import NegativeRule
from ..encoders.training.weak_pairs import WEAK_KINDS

SOURCES = ("file", "judged", *WEAK_KINDS, "synthetic")
BM25 = "bm25"
NONE = "none"
TEMPLATES = "templates"
_PATHS = ("corpus", "file", "queries", "qrels")


@dataclass(frozen=True, slots=True)
class PairSettings:
    """Plain values, as a table of a training spec holds them. BadArguments for a wrong one.

    source: "file", a file of pairs; "judged", queries and judgments of a collection; "title",
    "sentence" and "cloze", see ``weak_pairs``; "synthetic", questions of a generator.
    corpus: whatever ``tamis build`` reads, or an index folder of ours; passages to make pairs of
    and to mine negatives from. queries and qrels: files, where the corpus is no BEIR folder with
    the ``split``. least_grade: the lowest grade of a positive; a lower one above 0 is no negative.
    limit: at most so many passages (judged and file: pairs) are used, drawn by seed; 0 for all.

    generator: "templates", or a sequence-to-sequence model by path or hub name, with a ``prefix``
    before each passage; ``questions`` a passage. round_trip: keep a question that finds its passage
    among the best so many of the first miner; 0 keeps all.

    negatives: so many a pair, 0 for none. miners: "bm25" and encoders by name or path, set apart by
    commas; they take turns. teacher: an encoder, or "none": see ``NegativeRule`` for it, the ranks,
    ``margin`` and ``ratio``.
    """

    source: str
    corpus: str = ""
    file: str = ""
    queries: str = ""
    qrels: str = ""
    split: str = "train"
    least_grade: int = 1
    limit: int = 0
    generator: str = TEMPLATES
    prefix: str = ""
    questions: int = 3
    round_trip: int = 0
    negatives: int = 0
    miners: str = BM25
    teacher: str = "minilm"
    first_rank: int = 0
    last_rank: int = 100
    margin: float = 0.0
    ratio: float = 0.95
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise BadArguments(
                f"no source of pairs is called {self.source!r}; known: {', '.join(SOURCES)}"
            )
        if self.source == "file" and not self.file:
            raise BadArguments("pairs from a file need file, the path of that file")
        for name, least in (("least_grade", 1), ("limit", 0), ("questions", 1)):
            self._at_least(name, least)
        for name in ("round_trip", "negatives"):
            self._at_least(name, 0)
        self.miner_names()
        self.rule()

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value < least:
            raise BadArguments(f"{name} is {value}; expected {least} or more")

    def miner_names(self) -> list[str]:
        """The miners, each once; BadArguments when there is none."""
        names = [name.strip() for name in self.miners.split(",") if name.strip()]
        if not names or len(set(names)) < len(names):
            raise BadArguments(
                f"miners is {self.miners!r}; expected bm25 or encoders, each once, set apart by "
                f"commas"
            )
        return names

    def rule(self) -> NegativeRule:
        """What makes a negative; its count is 1 where none are asked for."""
        return NegativeRule(
            max(1, self.negatives), self.first_rank, self.last_rank, self.margin, self.ratio
        )

    def encoders(self) -> list[str]:
        """The names of the encoders that will be asked, each once."""
        returns = self.source == "synthetic" and self.round_trip
        asked = self.miner_names() if self.negatives else self.miner_names()[:1] if returns else []
        if self.negatives:
            asked = [*asked, self.teacher]
        return [name for name in dict.fromkeys(asked) if name not in (BM25, NONE)]

    def under(self, base: Path) -> PairSettings:
        """The same with paths taken from ``base``: files and corpora, and models that lie there."""
        return replace(
            self,
            corpus=path_under(self.corpus, base),
            file=path_under(self.file, base),
            queries=path_under(self.queries, base),
            qrels=path_under(self.qrels, base),
            miners=",".join(_model(name, base) for name in self.miner_names()),
            teacher=_model(self.teacher, base),
            generator=_model(self.generator, base),
        )

    def check(self, *, passages_given: bool = False) -> None:
        """Before anything is loaded: BadArguments when a path is lacking or a name unknown,
        MissingResource when nothing is at a path."""
        for name in self.encoders():
            _check_encoder(name)
        if not passages_given and not self.corpus and (self.source != "file" or self.negatives):
            raise BadArguments(
                f"pairs of source {self.source!r}{' with negatives' * (self.source == 'file')} "
                f"need corpus, the passages"
            )
        if self.source == "judged":
            self.query_file()
            self.qrel_file()
        for name in _PATHS:
            value = getattr(self, name)
            if value and not value.startswith(PREFIX) and not Path(value).exists():
                raise MissingResource(f"{name} is {value!r}, and nothing is there")

    def query_file(self) -> str:
        """Where the queries of judged pairs are."""
        if not (self.queries or self.corpus):
            raise BadArguments("judged pairs need queries, a file, or corpus, a BEIR folder")
        return self.queries or self.corpus

    def qrel_file(self) -> str:
        """Where the judgments are."""
        if self.qrels:
            return self.qrels
        if self.corpus.startswith(PREFIX):
            return self.corpus
        found = Path(self.corpus) / "qrels" / f"{self.split}.tsv"
        if not self.corpus or not found.is_file():
            splits = sorted(path.stem for path in found.parent.glob("*.tsv")) if self.corpus else []
            raise MissingResource(
                f"there are no judgments at {found}; splits there: {', '.join(splits) or 'none'}; "
                f"or name the file as qrels"
            )
        return str(found)


def path_under(value: str, base: Path) -> str:
    return str(base / value) if value and not value.startswith(PREFIX) else value


def _model(name: str, base: Path) -> str:
    return str(base / name) if (base / name).is_dir() else name


def _check_encoder(name: str) -> None:
    """A registered name, a folder, or what can be a hub name; it is not loaded here."""
    known = registry.names("encoder")
    if name not in known and not Path(name).is_dir() and name.count("/") != 1:
        raise BadArguments(
            f"no miner or teacher is called {name!r}, and no folder either; known: {BM25} as a "
            f"miner, {NONE} as a teacher, {', '.join(known)}; a model of the hub is written "
            f"org/name"
        )
