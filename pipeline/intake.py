"""The first stage of a build: every good passage of a corpus into the table, in order."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ..core.corpus import Flaw
from ..core.corpus.inspection import Inspection
from ..core.durable import replacing
from ..core.errors import BadData
from ..index.passages import PassageWriter

if TYPE_CHECKING:
    from pathlib import Path

    from ..core.corpus import Corpus
    from ..core.progress import Progress

_SHOWN = 20  # errors spelled out when a corpus is refused; ``tamis check`` shows more


@dataclass(frozen=True, slots=True)
class Intake:
    """How many rows the table has, where its record batches lie, how many items were left out."""

    rows: int
    batches: list[list[int]]
    skipped: int


def take_in(
    corpus: Corpus, folder: Path, on_error: str, skipped_file: Path, progress: Progress
) -> Intake:
    """Write ``passages.arrow`` and ``docid``; the corpus is read once, twice if ids repeat.

    Raises BadData naming what is wrong, unless ``on_error`` is "skip": then each item left out is
    a JSON line {kind, where, message} in ``skipped_file``. A corpus without a good passage is
    refused either way.
    """
    inspection = Inspection(corpus)
    with progress.stage("read", None) as advance, PassageWriter(folder) as writer:
        for item in corpus:
            inspection.admit(item)
            if not isinstance(item, Flaw):
                writer.add(item)
            advance(1)
    dropped = set(inspection.finish().tolist())
    skipped = sum(inspection.error_counts.values())
    if skipped and (on_error == "fail" or not inspection.passages):
        raise BadData(_refusal(corpus, inspection))
    if skipped:
        writer = _without(corpus, dropped, folder, skipped_file)
    else:
        skipped_file.unlink(missing_ok=True)  # of an earlier build: it would speak of this one
    return Intake(writer.rows, writer.batches, skipped)


def _without(corpus: Corpus, dropped: set[int], folder: Path, skipped_file: Path) -> PassageWriter:
    """Write the table again without the dropped rows, and what was left out to its file."""
    row = 0
    with replacing(skipped_file) as out, PassageWriter(folder) as writer:
        for where, item in corpus.located():
            flaw = item if isinstance(item, Flaw) else None
            if not isinstance(item, Flaw):
                if row in dropped:
                    flaw = Flaw("duplicate id", where, f"{item.id!r} was met before")
                else:
                    writer.add(item)
                row += 1
            if flaw is not None:
                out.write(json.dumps(asdict(flaw)) + "\n")
    return writer


def _refusal(corpus: Corpus, inspection: Inspection) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in inspection.error_counts.items())
    shown = inspection.errors[:_SHOWN]
    lines = "".join(f"\n  {flaw}" for flaw in shown)
    more = sum(inspection.error_counts.values()) - len(shown)
    rest = f"\n  and {more:,} more: tamis check {corpus.source}" if more else ""
    way_out = "mend them"
    if inspection.passages:
        way_out += ", or leave those passages out with --on-error skip"
    return f"{corpus.source} has errors ({kinds}); {way_out}:{lines}{rest}"
