"""Which files a system's models are read from: their bytes, and whether they have changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from ....core import registry
from ....core.fingerprints import of_file, of_value
from ....encoders import shipped
from ....rerank import cross, lambdamart, monot5
from ....rerank.model_files import model_folder
from ...components import LATE_ENCODER, SECOND_ENCODER

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from ...cascade import Cascade, RerankStage
    from ...opening import Index

_READ = {".safetensors", ".json", ".txt", ".model", ".npy"}


@dataclass(frozen=True)
class Models:
    """The files of each model of a system, by the name of its part; None where nobody knows them.

    A part whose name is taken gets a number: two stages may be of one kind.
    """

    files: Mapping[str, Sequence[Path] | None]

    @property
    def bytes(self) -> dict[str, int | None]:
        """A file that two parts share counts for the first of them alone."""
        seen: set[Path] = set()
        found: dict[str, int | None] = {}
        for part, files in self.files.items():
            new = [path for path in files or () if path not in seen]
            seen.update(new)
            found[part] = None if files is None else sum(path.stat().st_size for path in new)
        return found

    @property
    def fingerprint(self) -> str:
        """Empty where the files of some model are not known."""
        if any(files is None for files in self.files.values()):
            return ""
        told = {
            part: [[path.name, of_file(path)] for path in files or ()]
            for part, files in self.files.items()
        }
        return of_value(told)


def models_of(cascade: Cascade, index: Index) -> Models:
    """The encoder of queries, where dense is asked, and every rerank stage's model."""
    found: dict[str, Sequence[Path] | None] = {}
    if cascade.dense is not None:
        manifest = index.folder.manifest
        assert manifest is not None, "an index that is not ours was refused"
        card, passages = manifest.query_encoder, manifest.passage_encoder
        adapted = index.folder.adapted_encoder
        own = card.fingerprint == passages.fingerprint and adapted is not None
        found[f"encoder {card.name}"] = (
            _of_folder(adapted) if own and adapted is not None else _of_encoder(card.name)
        )
    for stage in cascade.rerank:
        found[_free(Path(stage.name).name, found)] = _of_reranker(stage)
    return Models(found)


def _free(name: str, taken: Container[str]) -> str:
    """The name, or with the first number from 2 on under which it is not taken."""
    numbered = (f"{name} {number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)


def _of_encoder(name: str) -> Sequence[Path] | None:
    """The files of an encoder that is named; none for one without weights."""
    if name == "hashing":
        return ()
    if name in ("tamis-small", "tamis-tiny"):
        return _of_folder(Path(shipped.__file__).parent / "models" / name)
    if name in ("minilm", "static"):
        from ....encoders.minilm import minilm_folder

        return _of_folder(minilm_folder())
    return None if name in registry.names("encoder") else _of_model(name)


def _of_reranker(stage: RerankStage) -> Sequence[Path] | None:
    defaults = {
        "cross": cross.DEFAULT_MODEL,
        "monot5": monot5.DEFAULT_MODEL,
        "lambdamart": str(lambdamart.PACKAGED),
        "maxsim": LATE_ENCODER,
        "encoder": SECOND_ENCODER,
    }
    if stage.name not in registry.names("reranker"):
        return _of_model(stage.name)
    model = stage.options.get("model") or defaults.get(stage.name)
    if not isinstance(model, str):
        return None
    return _of_encoder(model) if stage.name in ("maxsim", "encoder") else _of_model(model)


def _of_model(name: str) -> Sequence[Path] | None:
    """A file, a folder, or what the local cache holds of a hub name."""
    if Path(name).is_file():
        return (Path(name),)
    try:
        return _of_folder(model_folder(name, local=True))
    except (OSError, ValueError):
        return None


def _of_folder(folder: Path) -> Sequence[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in _READ)
