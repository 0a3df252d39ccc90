"""Write a file or folder so that it is whole or not there: temporary name, flush, rename."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import BadArguments, FailedWhileRunning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a draft beside ``path``; on success it is flushed to disk and takes the name.

    mode "w" (UTF-8, newlines as written) or "wb". A full disk becomes FailedWhileRunning; on any
    failure the draft is removed and what stood at ``path`` is untouched. A link is followed, and
    what is no plain file (``/dev/stdout``, a pipe) is written to as it is, never replaced.
    Writers of one path never meet: each has a draft of its own, and the last to end has the name.
    A killed process leaves its draft behind, hidden, which nobody reads.
    """
    text = {"encoding": "utf-8", "newline": "\n"} if "b" not in mode else {}
    if path.exists() and not path.is_file():
        try:
            with path.open(mode, **text) as out:  # type: ignore[call-overload]
                yield out
        except OSError as failure:
            raise no_room(path, failure) from failure
        return
    goal = Path(os.path.realpath(path))
    # not the process id: machines that share a folder may share those too
    draft = goal.with_name(f".{goal.name}.{os.urandom(6).hex()}.draft")
    try:
        with draft.open(mode, **text) as out:  # type: ignore[call-overload]
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(goal)
        sync_folder(goal.parent)
    except BaseException as failure:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(failure, OSError):
            raise no_room(path, failure) from failure
        raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty draft beside ``folder``; on success it takes the name, on any failure it is gone.

    BadArguments when something but an empty folder stands there, FailedWhileRunning when there
    is no room. Files inside are written by ``replacing``.
    """
    goal = folder.absolute()
    if goal.is_symlink() or (goal.exists() and not _is_empty(goal)):
        raise BadArguments(f"{goal} exists; remove it or choose another name for the model")
    draft = goal.with_name(f".{goal.name}.draft")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        yield draft
        if goal.exists():
            goal.rmdir()
        draft.rename(goal)
        sync_folder(goal.parent)
    except OSError as failure:
        raise no_room(goal, failure) from failure
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def no_room(path: Path, failure: OSError) -> FailedWhileRunning:
    """An OSError met while writing, as an error that names the file and the way out."""
    return FailedWhileRunning(
        f"writing {path} failed: {failure.strerror or failure}; "
        f"make room or choose another place, then run the same command again"
    )
