"""Judgment files: TREC qrels, BEIR TSV with or without its header, irds:ID."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .corpus.flaws import Flaw, Tally, shown
from .corpus.irds import PREFIX, records
from .corpus.lines import text_lines
from .corpus.validation import id_flaw
from .errors import BadArguments, MissingResource

BEIR_COLUMNS = ("query-id", "corpus-id", "score")
EXPECTED = (
    "TREC's 4 columns (query, iteration, passage, grade) or BEIR's 3 (query-id, corpus-id, score) "
    "throughout, with grades that are whole numbers"
)
TREC, BEIR, HEADERLESS = "trec", "beir", "beir without header"
_WIDTH = {TREC: 4, HEADERLESS: 3}
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Qrels:
    """Judgments of one file: query id -> passage id -> grade, in the order of the file.

    ``format`` is "trec", "beir", "beir without header" or "irds". Grades may be negative.
    ``warnings`` are sentences about what is odd but legal.
    """

    judgments: dict[str, dict[str, int]]
    format: str
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Reading:
    """What has been read so far, and what was wrong with it."""

    judgments: dict[str, dict[str, int]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    repeated: int = 0

    def add(self, place: str, query: str, passage: str, grade: str) -> None:
        for id_ in (query, passage):
            if id_.split() != [id_]:
                self.tally.add(id_flaw(place, id_))
                return
        number = int(grade) if _INTEGER.fullmatch(grade) else None
        if number is None:
            message = f"the grade is {shown(grade)}; expected a whole number of at most 9 digits"
            self.tally.add(Flaw("malformed", place, message))
            return
        judged = self.judgments.setdefault(query, {})
        if passage not in judged:
            judged[passage] = number
        elif judged[passage] == number:
            self.repeated += 1
        else:
            pair = f"query {shown(query)}, passage {shown(passage)}"
            message = f"{pair}: judged {number} here and {judged[passage]} before"
            self.tally.add(Flaw("malformed", place, message))

    def finished(self, source: str, format_: str) -> Qrels:
        if not self.judgments and not self.tally.total:
            self.tally.add(Flaw("empty", source, "not one judgment"))
        if self.tally.total:
            self.tally.refuse(source, EXPECTED)
        warnings = []
        if format_ == HEADERLESS:
            warnings.append(
                f"{source} has no header line ({' '.join(BEIR_COLUMNS)}); its first line was read "
                f"as a judgment, other tools would lose it"
            )
        if self.repeated:
            warnings.append(f"{source} gives {self.repeated} judgments twice, with the same grade")
        return Qrels(self.judgments, format_, warnings)


def read_qrels(source: str | Path) -> Qrels:
    """The judgments of a file; ``.gz`` is unpacked.

    Raises BadData naming every malformed line and contradictory judgment at once, or that there
    is no judgment at all; MissingResource; BadArguments for a folder.
    """
    name = str(source)
    reading = _Reading()
    if name.startswith(PREFIX):
        for number, record in enumerate(records(name, "qrels"), 1):
            ids = str(record.query_id), str(record.doc_id)
            reading.add(f"{name}:{number}", *ids, str(record.relevance))
        return reading.finished(name, "irds")
    path = Path(source)
    if path.is_dir():
        raise BadArguments(f"{path} is a folder; name a file in it, such as qrels/test.tsv")
    if not path.exists():
        raise MissingResource(f"{path} is not there; expected a judgment file: {EXPECTED}")
    return reading.finished(name, _read_file(path, reading))


def _read_file(path: Path, reading: _Reading) -> str:
    """Fills ``reading``; returns the format, which the first good line decides."""
    format_ = ""
    header: list[str] = []
    for place, line in text_lines(path, path.name):
        if isinstance(line, Flaw):
            reading.tally.add(line)
            continue
        if not format_:
            format_ = _format(line)
            if format_ == BEIR:
                header = line.split("\t")
                continue
        columns = line.split("\t") if format_ == BEIR else line.split()
        judgment = _judgment(columns, format_, header)
        if judgment is None:
            width = len(header) or _WIDTH[format_]
            message = f"{len(columns)} columns in {shown(line)}; expected {width}"
            reading.tally.add(Flaw("malformed", place, message))
        else:
            reading.add(place, *judgment)
    return format_


def _format(line: str) -> str:
    """The format that a file's first line shows: a header, or the number of its columns."""
    if set(BEIR_COLUMNS) <= set(line.split("\t")):
        return BEIR
    return HEADERLESS if len(line.split()) == _WIDTH[HEADERLESS] else TREC


def _judgment(columns: list[str], format_: str, header: list[str]) -> tuple[str, str, str] | None:
    """(query, passage, grade) out of a line's columns; None when their number is wrong."""
    if len(columns) != (len(header) or _WIDTH[format_]):
        return None
    if format_ == BEIR:
        named = dict(zip(header, columns, strict=True))
        return named["query-id"], named["corpus-id"], named["score"]
    return columns[0], columns[-2], columns[-1]
