"""``INDEX.building``: where a build works, locked, until one rename makes it the index."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from ...core.durable import no_room, sync_folder
from ...core.errors import BadArguments, FailedWhileRunning
from ...core.manifest import NAME as MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import BaseFileLock

_LOCK = ".lock"


class Workplace:
    """The building folder of one index; use it as a context manager.

    Entering takes the lock: FailedWhileRunning when another process builds the same index,
    BadArguments when the goal is finished and ``overwrite`` is not set, or is no index of ours.
    Leaving without ``publish`` keeps everything, so that the next build resumes.
    """

    def __init__(self, goal: Path, *, overwrite: bool) -> None:
        self.goal = goal
        self.folder = goal.with_name(f"{goal.name}.building")
        self._replaced = goal.with_name(f"{goal.name}.replaced")
        self._overwrite = overwrite
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> Workplace:
        from filelock import FileLock, Timeout

        self._check_goal()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / _LOCK)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise FailedWhileRunning(
                f"{self.folder} is locked: another process is building this index; wait for it"
            ) from None
        except OSError as failure:
            raise no_room(self.folder, failure) from failure
        self._check_goal()
        self._finish_broken_swap()
        return self

    def __exit__(self, kind: object, failure: object, trace: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _check_goal(self) -> None:
        if not self.goal.exists() or (self.goal.is_dir() and not any(self.goal.iterdir())):
            return
        if not (self.goal / MANIFEST).is_file():
            raise BadArguments(f"{self.goal} exists and is no tamis index; choose another name")
        if not self._overwrite:
            raise BadArguments(f"{self.goal} is a finished index; replace it with --overwrite")

    def _finish_broken_swap(self) -> None:
        """A crash between the two renames of an overwrite: put the old index back."""
        if self._replaced.is_dir() and not self.goal.exists():
            self._replaced.rename(self.goal)

    def publish(self) -> None:
        """Give the folder its final name; an index that stood there is removed afterwards."""
        sync_folder(self.folder)
        try:
            if (self.goal / MANIFEST).is_file():
                shutil.rmtree(self._replaced, ignore_errors=True)
                self.goal.rename(self._replaced)
            elif self.goal.exists():
                self.goal.rmdir()
            self.folder.rename(self.goal)
        except OSError as failure:
            raise no_room(self.goal, failure) from failure
        sync_folder(self.goal.parent)
        (self.goal / _LOCK).unlink(missing_ok=True)
        shutil.rmtree(self._replaced, ignore_errors=True)


def sync_files(folder: Path) -> list[str]:
    """Flush every file of a folder to disk; their names relative to it, sorted, hidden ones not."""
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("."):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            names.append(name)
    return names
