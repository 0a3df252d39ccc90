"""The indexes of a comparison: those that are there, and those built for it, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.corpus.irds import PREFIX
from ....core.fingerprints import of_file, of_value
from ....core.manifest import NAME as MANIFEST
from ....index.folder import COLD, INDEX, LEXICAL
from ...build import build
from ...opening import open_index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....core.progress import Progress
    from ...cascade import Cascade
    from ...opening import Index
    from ..desk import Desk
    from .checking import Checked

VECTORS, BM25, TEXTS = "vectors", "BM25", "texts and ids"


@dataclass(frozen=True)
class Built:
    """An index on disk and how many bytes its parts have; ``texts and ids`` is all else."""

    index: Index
    bytes: Mapping[str, int]

    def read_by(self, cascade: Cascade) -> dict[str, int]:
        """The parts that a search by this cascade opens."""
        wanted = {
            VECTORS: cascade.dense is not None,
            BM25: cascade.lexical is not None,
            TEXTS: True,
        }
        return {part: size for part, size in self.bytes.items() if wanted[part]}


def indexes_of(checked: Checked, desk: Desk, progress: Progress, device: str) -> dict[str, Built]:
    """By name; those that are not there are built under the report's work folder, if they were not
    built there before from the same corpus with the same options."""
    found = {name: _measured(index) for name, index in checked.opened.items()}
    for name, index in checked.spec.indexes.items():
        if index.path is not None:
            continue
        corpus = checked.spec.collection.corpus
        assert corpus is not None, "checked before"
        files = {
            name: _fingerprint(value)
            for name, value in index.options.items()
            if isinstance(value, str) and Path(value).exists()
        }
        key = [_fingerprint(corpus), dict(index.options), files, device]
        folder = desk.work / "indexes" / of_value(key)[:24]
        if (folder / MANIFEST).is_file():
            found[name] = _measured(open_index(folder, device=device))
            desk.reused += 1
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        built = build(corpus, folder, device=device, progress=progress, **dict(index.options))
        found[name] = _measured(built)
    return found


def _measured(index: Index) -> Built:
    manifest = index.folder.manifest
    assert manifest is not None, "an index that is not ours was refused"
    sizes = {VECTORS: 0, BM25: 0, TEXTS: 0}
    for name, record in manifest.files.items():
        parts = Path(name).parts
        if parts[0] == COLD:
            parts = parts[1:]
        sizes[{INDEX: VECTORS, LEXICAL: BM25}.get(parts[0], TEXTS)] += record.bytes
    return Built(index, sizes)


def _fingerprint(source: str) -> str:
    """Of the bytes of a file, a corpus or a model's folder; ``irds:ID`` is known by its name."""
    if source.startswith(PREFIX):
        return of_value(source)
    path = Path(source)
    if path.is_file():
        return of_value([path.name, of_file(path)])
    beir = [path / name for name in ("corpus.jsonl", "corpus.jsonl.gz") if (path / name).is_file()]
    files = beir[:1] or sorted(each for each in path.rglob("*") if each.is_file())
    return of_value({str(each.relative_to(path)): of_file(each) for each in files})
