"""A teacher's targets on disk: made once, shared by every run that reads the same texts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from ...core.durable import replacing
from ...core.errors import CorruptFile
from ...core.fingerprints import of_texts
from .teacher import Targets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from ...core.protocols import EncoderCard, Role

log = logging.getLogger(__name__)

_PARTS = ("states", "scales", "runs")


class Teaches(Protocol):
    """Who can be asked: a ``Teacher``, or the encoder that a run begins with."""

    @property
    def card(self) -> EncoderCard: ...

    def targets(self, texts: Sequence[str], role: Role, run: int) -> Targets: ...


class TeacherCache:
    """One file for each list of texts, named by the list's sha256: a longer run, another order or
    another model asks for the same lists and finds them.

    ``home`` holds a folder for each teacher (by fingerprint). Files are float16 and int8, 0.8 KB
    a vector. A killed run leaves whole files only.
    """

    def __init__(self, home: Path, teacher: Teaches) -> None:
        self._teacher = teacher
        self._folder = home / teacher.card.fingerprint[:16]

    @property
    def teacher_name(self) -> str:
        return self._teacher.card.name

    def targets(self, texts: Sequence[str], role: Role, run: int = 0) -> Targets:
        """From disk, or from the teacher and then kept. ``run``: see ``Teacher.targets``."""
        path = self._path(texts, role, run)
        found = _read(path, len(texts))
        if found is None:
            found = self._teacher.targets(texts, role, run)
            self._keep(found, path)
        return found

    def holds(self, texts: Sequence[str], role: Role, run: int = 0) -> bool:
        return self._path(texts, role, run).is_file()

    def _path(self, texts: Sequence[str], role: Role, run: int) -> Path:
        """Vectors alone are also taken from a file that holds states beside them."""
        name = f"{role}-{of_texts(texts)[:32]}"
        own = self._folder / f"{name}-{run}.safetensors"
        if not run and not own.is_file():
            return next(iter(sorted(self._folder.glob(f"{name}-*.safetensors"))), own)
        return own

    def _keep(self, targets: Targets, path: Path) -> None:
        from safetensors.numpy import save

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "wb") as out:
            out.write(save({"vectors": targets.vectors, **_named_parts(targets)}))


def _named_parts(targets: Targets) -> dict[str, np.ndarray]:
    return {name: getattr(targets, name) for name in _PARTS}


def _read(path: Path, texts: int) -> Targets | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        found = load_file(path)
        targets = Targets(found["vectors"], *(found[name] for name in _PARTS))
    except (SafetensorError, OSError, KeyError) as failure:
        raise CorruptFile(f"{path} is damaged ({failure}): delete it") from None
    if len(targets.vectors) != texts:
        raise CorruptFile(
            f"{path} holds {len(targets.vectors)} vectors of {texts} texts: delete it"
        )
    return targets
