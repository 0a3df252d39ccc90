"""REPORT, a folder of results, and REPORT/work, where nothing is computed twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...core.durable import no_room, replacing
from ...core.errors import BadArguments, FailedWhileRunning
from ...core.fingerprints import of_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from filelock import BaseFileLock
    from numpy.typing import NDArray

Json = TypeVar("Json")
RESULTS = (
    "chosen.toml",
    "figure.pdf",
    "figure.png",
    "figure.svg",
    "report.html",
    "report.json",
    "report.md",
)
WORK = "work"
_LOCK = ".lock"


class Desk:
    """The report's folder, locked; use it as a context manager.

    What is kept under ``work`` is named by the fingerprint of all that it depends on, and each
    file is whole or not there: a killed run goes on where it was, a changed one does again only
    what the change touches. BadArguments for a folder that holds something else,
    FailedWhileRunning when another process works on the same report.
    """

    def __init__(self, report: Path) -> None:
        self.report = Path(os.path.realpath(report))
        self.work = self.report / WORK
        self.reused = 0
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> Desk:
        from filelock import FileLock, Timeout

        self._refuse_strangers()
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.work / _LOCK)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise FailedWhileRunning(
                f"{self.report} is locked: another process is writing this report; wait for it"
            ) from None
        except OSError as failure:
            raise no_room(self.work, failure) from failure
        return self

    def __exit__(self, kind: object, failure: object, trace: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _refuse_strangers(self) -> None:
        if os.path.lexists(self.report) and not self.report.is_dir():
            raise BadArguments(f"{self.report} is no folder; name a folder for the report")
        if not self.report.is_dir():
            return
        names = {entry.name for entry in self.report.iterdir() if not entry.name.startswith(".")}
        if names and (strange := sorted(names - {*RESULTS, WORK})):
            raise BadArguments(
                f"{self.report} holds {strange[0]!r}, so it is no report of ours; choose another "
                f"folder, or a new one"
            )

    def folder(self, kind: str, key: object) -> Path:
        """A folder under ``work`` for what depends on ``key``, a JSON value."""
        found = self.work / kind / of_value(key)[:24]
        try:
            found.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise no_room(found, failure) from failure
        return found

    def array(self, kind: str, key: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Numbers that depend on ``key`` alone: read, or made and kept."""
        path = self._path(kind, key, ".npy")
        try:
            found: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            found = make()
            with replacing(path, "wb") as out:
                np.save(out, found, allow_pickle=False)
        else:
            self.reused += 1
        return found

    def value(self, kind: str, key: object, make: Callable[[], Json]) -> Json:
        """The same for a JSON value."""
        path = self._path(kind, key, ".json")
        try:
            found: Json = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            found = make()
            with replacing(path) as out:
                json.dump(found, out)
        else:
            self.reused += 1
        return found

    def _path(self, kind: str, key: object, suffix: str) -> Path:
        home = self.work / kind
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise no_room(home, failure) from failure
        return home / f"{of_value(key)[:32]}{suffix}"
