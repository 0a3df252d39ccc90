"""``INDEX.building``: where a build works, locked, until one rename makes its draft the index."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.durable import no_room, sync_folder
from ...core.errors import BadArguments, BadData, FailedWhileRunning
from ...core.manifest import NAME as MANIFEST
from ...core.manifest import read_manifest

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".lock"
_DRAFT = "draft"
_VECTORS = "vectors"
_ADAPTING = "adapting"
_SCORES = "scores"
_COLD_VECTORS = "vectors.cold"
_TOKENS = "tokens"


class Workplace:
    """The building folder of one index; use it as a context manager.

    ``draft`` becomes the index and is empty on entering; ``vectors`` and ``cold_vectors`` hold the
    encoded shards, ``tokens`` those of token vectors, ``adapting`` what their encoder was tuned by
    and ``scores`` what a quality model gave: these outlive everything but ``publish``. Entering
    takes the lock: FailedWhileRunning when another process builds the same index, BadArguments
    when the goal is finished and ``overwrite`` is not set, or is no index of ours. Leaving without
    ``publish`` keeps everything, so that the next build resumes. A goal that is a link is followed:
    what it points to is replaced.
    """

    def __init__(self, goal: Path, *, overwrite: bool) -> None:
        if goal.is_symlink() or goal.name in ("", ".."):
            goal = Path(os.path.realpath(goal))
        if not goal.name:
            raise BadArguments(f"{goal} cannot be an index folder; choose another name")
        self.goal = goal
        self.folder = goal.with_name(f"{goal.name}.building")
        self.draft = self.folder / _DRAFT
        self.vectors = self.folder / _VECTORS
        self.adapting = self.folder / _ADAPTING
        self.scores = self.folder / _SCORES
        self.cold_vectors = self.folder / _COLD_VECTORS
        self.tokens = self.folder / _TOKENS
        self._replaced = goal.with_name(f".{goal.name}.replaced")
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
        try:
            self._prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, failure: object, trace: object) -> None:
        if self._lock is None:
            return
        if isinstance(failure, BadData | BadArguments):  # nothing here helps the next build
            shutil.rmtree(self.draft, ignore_errors=True)
        if not self._left_over() and not self._strangers():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _prepare(self) -> None:
        """With the lock held: heal what a crash left, look again, and clear the draft."""
        self._finish_broken_swap()
        self._check_goal()
        strange = self._strangers()
        if strange:
            raise BadArguments(
                f"this build would work in {self.folder}, which holds {strange[0]!r} and is not "
                f"ours; move it away, or choose another name for the index"
            )
        try:
            if self.draft.is_dir():
                shutil.rmtree(self.draft)
            self.draft.mkdir()
        except OSError as failure:
            raise no_room(self.draft, failure) from failure

    def _strangers(self) -> list[str]:
        known = (_LOCK, _DRAFT, _VECTORS, _ADAPTING, _SCORES, _COLD_VECTORS, _TOKENS)
        return sorted(entry.name for entry in self.folder.glob("*") if entry.name not in known)

    def _left_over(self) -> bool:
        """Whether anything is here that the next build could use or a person look at."""
        kept = (
            self.draft,
            self.vectors,
            self.adapting,
            self.scores,
            self.cold_vectors,
            self.tokens,
        )
        return any(folder.is_dir() and any(folder.iterdir()) for folder in kept)

    def _check_goal(self) -> None:
        if os.path.ismount(self.goal):
            raise BadArguments(f"{self.goal} is a mount point; name a folder inside it")
        if not os.path.lexists(self.goal):
            return
        if self.goal.is_dir() and not any(self.goal.iterdir()):
            return
        if not (self.goal / MANIFEST).is_file():
            raise BadArguments(f"{self.goal} exists and is no tamis index; choose another name")
        if not self._overwrite:
            raise BadArguments(f"{self.goal} is a finished index; replace it with --overwrite")
        if foreign := self._not_of_the_index():
            raise BadArguments(
                f"{self.goal} also holds {foreign[0]!r}, which is no part of the index and would "
                f"be lost; move it away, or build elsewhere"
            )

    def _not_of_the_index(self) -> list[str]:
        """What lies in the goal that the manifest does not name, or a damaged one would not."""
        try:
            known = set(read_manifest(self.goal).files)
        except BadData:
            known = {"index", "docid", "passages.arrow", "encoder/", "cold/", "sketch/"}
            known |= {"quality.npy", "quality.corpus.npy", "corpus_row.npy"}
            known |= {"near_duplicates.npy", "words.arrow", "tokens/"}
        folders = {"lexical", *(name.partition("/")[0] for name in known if "/" in name)}
        names = [p.relative_to(self.goal).as_posix() for p in sorted(self.goal.rglob("*"))]
        return [
            name
            for name in names
            if name not in known and name != MANIFEST and name.partition("/")[0] not in folders
        ]

    def _finish_broken_swap(self) -> None:
        """A crash between the two renames of an overwrite: put the old index back.

        After the second rename, the old index only waits to be removed.
        """
        if (self._replaced / MANIFEST).is_file() and not os.path.lexists(self.goal):
            self._replaced.rename(self.goal)
        else:
            self._discard_replaced()

    def _discard_replaced(self) -> None:
        """Its manifest first: what is left when this is killed must not be put back."""
        (self._replaced / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self._replaced, ignore_errors=True)

    def publish(self) -> None:
        """Give the draft its final name; an index that stood there is removed afterwards.

        The vectors go last: until the index has its name, a killed build can still resume.
        """
        self._check_goal()  # hours may have passed
        try:
            for folder in (self.draft, *(path for path in self.draft.rglob("*") if path.is_dir())):
                sync_folder(folder)
            if (self.goal / MANIFEST).is_file():
                self.goal.rename(self._replaced)
            elif self.goal.exists():
                self.goal.rmdir()
            self.draft.rename(self.goal)
            sync_folder(self.goal.parent)
        except OSError as failure:
            raise no_room(self.goal, failure) from failure
        self._discard_replaced()
        shutil.rmtree(self.folder, ignore_errors=True)


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
