"""Everything that is wrong with a corpus and what goes with it, at once, before hours are spent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.corpus import open_corpus
from ..core.corpus.inspection import Inspection
from ..core.errors import BadData
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..core.records import Passage
from .reporting import Finding, Report, findings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..core.protocols import Encoder

BLOCK = 4096
"""Texts whose tokens are counted in one call."""

NAMED = 1000
"""Absent ids named in a report; all are counted."""


def check_corpus(
    source: str | Path,
    *,
    encoder: Encoder | None = None,
    qrels: str | Path | None = None,
    queries: str | Path | None = None,
    passage_words: int | None = None,
    passage_stride: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Read a corpus once (again where something repeats) and report on all of it.

    ``encoder`` adds how many passages it would truncate; ``qrels`` and ``queries`` are read too,
    and judgments that name absent passages or queries are warned of. ``progress`` is told the
    number of passages and flaws seen so far, block by block. Only a missing file raises.
    """
    corpus = open_corpus(source, passage_words=passage_words, passage_stride=passage_stride)
    report = Report(corpus.source, {"format": corpus.format})
    if corpus.fields:
        report.facts["fields"] = corpus.fields
    judged = _read_judgments(report, qrels, queries)
    lengths = _Lengths(encoder) if encoder is not None else None
    inspection = Inspection(corpus)
    for seen, item in enumerate(corpus, 1):
        if progress is not None and seen % BLOCK == 0:
            progress(seen)
        if inspection.admit(item) and isinstance(item, Passage):
            judged.discard(item.id)
            if lengths is not None:
                lengths.add(item.full_text)
    _conclude(report, inspection)
    if lengths is not None:
        lengths.conclude(report)
    if judged:
        report.warnings.append(_absent("judged passage absent", "not in the corpus", judged))
    return report


def _conclude(report: Report, inspection: Inspection) -> None:
    try:
        inspection.finish()
    except BadData as changed:
        report.errors.append(Finding("changed while read", 1, str(changed)))
    report.facts["passages"] = inspection.passages
    report.errors += findings(inspection.error_counts, inspection.errors)
    report.warnings += findings(inspection.warning_counts, inspection.warnings)


def _read_judgments(
    report: Report, qrels: str | Path | None, queries: str | Path | None
) -> set[str]:
    """Judged passage ids, which the corpus should hold; notes what is wrong with either file."""
    asked: set[str] | None = None
    if queries is not None:
        try:
            asked = {query.id for query in read_queries(queries)}
            report.facts["queries"] = len(asked)
        except BadData as flawed:
            report.errors.append(Finding("queries", 1, str(flawed)))
    if qrels is None:
        return set()
    try:
        read = read_qrels(qrels)
    except BadData as flawed:
        report.errors.append(Finding("judgments", 1, str(flawed)))
        return set()
    judgments = read.judgments
    report.facts["judged queries"] = len(judgments)
    report.warnings += [Finding("judgments", 1, warning) for warning in read.warnings]
    if asked is not None and not judgments.keys() <= asked:
        absent = judgments.keys() - asked
        report.warnings.append(_absent("judged query absent", "not among the queries", absent))
    return {passage for judged in judgments.values() for passage in judged}


def _absent(kind: str, message: str, ids: set[str]) -> Finding:
    return Finding(kind, len(ids), message, tuple(sorted(ids)[:NAMED]))


@dataclass
class _Lengths:
    """Token counts of the passages that went by, as one encoder counts them."""

    encoder: Encoder
    waiting: list[str] = field(default_factory=list)
    tokens: int = 0
    lost: int = 0
    truncated: int = 0

    def add(self, text: str) -> None:
        self.waiting.append(text)
        if len(self.waiting) == BLOCK:
            self.count()

    def count(self) -> None:
        if not self.waiting:
            return
        tokens = self.encoder.count_tokens(self.waiting, "passage").astype("int64")
        self.waiting.clear()
        self.tokens += int(tokens.sum())
        longest = self.encoder.card.max_length
        if longest:
            over = tokens[tokens > longest]
            self.truncated += len(over)
            self.lost += int((over - longest).sum())

    def conclude(self, report: Report) -> None:
        self.count()
        card = self.encoder.card
        report.facts["encoder"] = card.name
        report.facts["tokens"] = self.tokens
        if self.truncated:
            message = (
                f"{card.name} reads {card.max_length} tokens and would lose {self.lost:,} of "
                f"{self.tokens:,}; split with --passage-words"
            )
            report.warnings.append(Finding("truncated passage", self.truncated, message))
