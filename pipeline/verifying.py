"""``tamis check`` over an index: every byte of every file, and whether the parts fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import TamisError
from ..index.cold_sketch import SKETCH
from ..index.folder import COLD, LEXICAL, IndexFolder
from ..index.passages import DOCID
from .reporting import Finding, Report

if TYPE_CHECKING:
    from pathlib import Path


def check_index(path: Path, encoder: str | None = None) -> Report:
    """Verify an index folder, ours or one of Pyserini's; nothing is raised but reported.

    Ours: each file against its hashes, then the counts of vectors, ids, passages and BM25 rows
    against each other. A foreign one has no hashes: its two files are opened and counted.
    ``encoder`` is loaded and must be the one that the index was built with.
    """
    report = Report(str(path))
    try:
        folder = IndexFolder(path, foreign=True)
    except TamisError as failure:
        report.errors.append(_finding("manifest", failure))
        return report
    if folder.manifest is None:
        report.facts["kind"] = "written by Pyserini: no hashes, no texts, no encoder on record"
    else:
        counts = folder.manifest.counts
        report.facts.update(
            {name: counts[name] for name in ("indexed", "skipped") if name in counts}
        )
        report.facts["encoder"] = folder.manifest.passage_encoder.name
        wrong = folder.verify_all()
        report.errors += [_finding(name, failure) for name, failure in wrong.items()]
        report.warnings += _strangers(path, set(folder.manifest.files))
    if report.ok:
        report.errors += _misfits(folder) or _cold_misfits(folder, report)
    if report.ok and encoder is not None:
        report.errors += _wrong_encoder(path, encoder)
    return report


def _wrong_encoder(path: Path, encoder: str) -> list[Finding]:
    """Nothing, or why this encoder must not search the index."""
    from .asymmetric import OWN
    from .opening import open_index

    try:
        open_index(path, encoder=encoder, query_encoder=OWN).dense(k=1)
    except TamisError as failure:
        return [_finding("encoder", failure)]
    return []


def _misfits(folder: IndexFolder) -> list[Finding]:
    """Parts that do not open, or that disagree on how many rows there are."""
    try:
        rows = {"vectors": len(folder.dense), "passages": len(folder.passages)}
        ids = (folder.path / DOCID).read_text("utf-8").splitlines()
        rows["docid"] = len(ids)
        if folder.tokens is not None:
            folder.tokens.check()
        if folder.manifest is not None and folder.manifest.lexical is not None:
            rows[LEXICAL] = len(folder.lexical)
    except (TamisError, UnicodeDecodeError) as failure:
        return [_finding("opening", failure)]
    found = []
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        found.append(Finding("rows disagree", 1, told))
    if len(set(ids)) < len(ids):
        found.append(Finding("duplicate id", len(ids) - len(set(ids)), f"in {DOCID}"))
    return found


def _cold_misfits(folder: IndexFolder, report: Report) -> list[Finding]:
    """The same of the pruned passages' own index, and whether the tiers share passages."""
    try:
        cold = folder.cold
    except TamisError as failure:
        return [_finding(COLD, failure)]
    if cold is None:
        return []
    report.facts["cold"] = len(cold)
    found = [
        Finding(f"{COLD}: {each.kind}", each.count, each.message, each.places)
        for each in _misfits(cold)
    ]
    found += _sketch_misfits(folder, cold)
    if not found:
        tiers = [(each.path / DOCID).read_text("utf-8").splitlines() for each in (folder, cold)]
        both = set(tiers[0]) & set(tiers[1])
        if both:
            found.append(Finding("duplicate id", len(both), "in both tiers"))
    return found


def _sketch_misfits(folder: IndexFolder, cold: IndexFolder) -> list[Finding]:
    """Whether what the hot tier knows of the cold one is of as many passages."""
    if folder.sketch is None:
        return []
    try:
        known = len(folder.sketch.vectors)
    except TamisError as failure:
        return [_finding(SKETCH, failure)]
    if known == len(cold):
        return []
    told = f"{known:,} vectors, the cold tier has {len(cold):,}"
    return [Finding(f"{SKETCH}: rows disagree", 1, told)]


def _strangers(path: Path, known: set[str]) -> list[Finding]:
    """Files that the manifest does not list: harmless, but nobody vouches for them."""
    names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*")) if p.is_file()]
    strange = [name for name in names if name not in known and name != "tamis.json"]
    return [Finding("unlisted file", len(strange), places=tuple(strange))] if strange else []


def _finding(kind: str, failure: Exception) -> Finding:
    return Finding(kind, 1, str(failure))
