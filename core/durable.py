"""Write a file so that it is whole or not there: temporary name, flush, rename."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from .errors import FailedWhileRunning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a draft beside ``path``; on success it is flushed to disk and takes the name.

    mode "w" (UTF-8, newlines as written) or "wb". A full disk becomes FailedWhileRunning; on any
    failure the draft is removed and what stood at ``path`` is untouched.
    """
    draft = path.with_name(f".{path.name}.draft")
    text = {"encoding": "utf-8", "newline": "\n"} if "b" not in mode else {}
    try:
        with draft.open(mode, **text) as out:  # type: ignore[call-overload]
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as failure:
        draft.unlink(missing_ok=True)
        raise no_room(path, failure) from failure
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


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
