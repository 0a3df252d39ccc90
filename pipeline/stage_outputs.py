"""What stages of earlier runs gave, kept in a folder under the fingerprint of all it depends on.

A key is made of the index, the queries of the batch, and every stage up to this one with the
files of its model: whatever changes a ranking changes the key, so nothing is ever out of date, and
what nobody asks for any more is the first to go when the folder is full. The folder can be removed
at any time.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.durable import replacing
from ..core.errors import BadArguments
from ..core.fingerprints import of_file, of_value
from ..core.records import Ranking
from ..core.stage_times import StageTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.records import Query

log = logging.getLogger(__name__)

FORMAT = 1
ROOM = 4 << 30
"""Bytes that the folder may hold before the least recently used outputs go."""

_SUFFIX = ".stage"


def default_folder() -> Path:
    """``tamis/stages`` in the user's cache folder (``XDG_CACHE_HOME`` or ``~/.cache``)."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tamis" / "stages"


@dataclass(frozen=True)
class StageOutputs:
    """A folder of outputs, at most ``room`` bytes of them.

    BadArguments when there is a file in the place of the folder.
    """

    folder: Path
    room: int = ROOM

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise BadArguments(
                f"{self.folder} cannot hold stage outputs ({failure.strerror}): name a folder"
            ) from failure

    def get(
        self, key: str, queries: Sequence[Query]
    ) -> tuple[list[Ranking], dict[str, StageTime]] | None:
        """The rankings of these queries and the times they took once; None when not held.

        An output that is damaged counts as not held.
        """
        path = self.folder / (key + _SUFFIX)
        if not path.is_file():
            return None
        try:
            found = _unpacked(path, queries)
        except Exception as failure:  # noqa: BLE001 - a damaged file may break its reader anywhere
            log.warning("%s is damaged (%s); its stage is computed again", path, failure)
            return None
        with suppress(OSError):
            os.utime(path)  # used last: the first to stay
        return found

    def put(self, key: str, rankings: Sequence[Ranking], times: Mapping[str, StageTime]) -> None:
        """Keep an output, whole or not at all, and make room for it."""
        from safetensors.numpy import save

        tensors = _packed(rankings, times)
        about = {"sha256": _digest(tensors)}
        with replacing(self.folder / (key + _SUFFIX), "wb") as out:
            out.write(save(tensors, about))
        self._make_room()

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # another process may have removed it
                stat = path.stat()
                files.append((stat.st_mtime_ns, stat.st_size, path))
        held = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if held <= self.room:
                return
            path.unlink(missing_ok=True)
            held -= size


@cache
def code_version() -> str:
    """A fingerprint of the program itself, so that a changed one takes nothing over."""
    root = Path(__file__).resolve().parent.parent
    rooms = ("core", "kernels", "encoders", "index", "rerank", "pipeline")
    files = [path for room in rooms for path in sorted((root / room).rglob("*.py"))]
    return of_value([FORMAT, {str(path.relative_to(root)): of_file(path) for path in files}])


def _packed(rankings: Sequence[Ranking], times: Mapping[str, StageTime]) -> dict[str, np.ndarray]:
    """Rankings end to end; earlier stages' scores and the times as further columns."""
    lengths = np.array([len(ranking) for ranking in rankings], np.int64)
    stages = list(dict.fromkeys(name for ranking in rankings for name in ranking.stages))
    names = json.dumps([stages, list(times)]).encode("utf-8")
    empty = np.empty(0, np.float32)
    tensors = {
        "names": np.frombuffer(names, np.uint8),
        "lengths": lengths,
        "rows": np.concatenate([*(r.rows for r in rankings), np.empty(0, np.int64)]),
        "scores": np.concatenate([*(r.scores for r in rankings), empty]),
    }
    for place, name in enumerate(stages):
        columns = [r.stages.get(name, np.full(len(r), np.nan, np.float32)) for r in rankings]
        tensors[f"stage.{place}"] = np.concatenate([*columns, empty])
    for place, time in enumerate(times.values()):
        tensors[f"seconds.{place}"] = time.seconds
        tensors[f"passages.{place}"] = time.passages
        tensors[f"ran.{place}"] = time.ran
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _unpacked(path: Path, queries: Sequence[Query]) -> tuple[list[Ranking], dict[str, StageTime]]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        told = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if told.get("sha256") != _digest(tensors):
        raise ValueError("its bytes are not those that were written")
    stages, timed = json.loads(tensors["names"].tobytes())
    lengths = tensors["lengths"]
    if len(lengths) != len(queries):
        raise ValueError(f"it holds {len(lengths)} queries of {len(queries)}")
    ends = [0, *np.cumsum(lengths).tolist()]
    columns = {name: tensors[f"stage.{place}"] for place, name in enumerate(stages)}
    rankings = [
        Ranking(
            query,
            tensors["rows"][start:end],
            tensors["scores"][start:end],
            {name: column[start:end] for name, column in columns.items()},
        )
        for query, (start, end) in zip(queries, pairwise(ends), strict=True)
    ]
    return rankings, {name: _time(tensors, place) for place, name in enumerate(timed)}


def _time(tensors: Mapping[str, Any], place: int) -> StageTime:
    seconds = tensors[f"seconds.{place}"]
    stored = np.ones(len(seconds), bool)
    return StageTime(seconds, tensors[f"passages.{place}"], tensors[f"ran.{place}"], stored)


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
