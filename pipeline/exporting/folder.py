"""An exported folder is whole or not there."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.durable import no_room, sync_folder
from ...core.errors import BadArguments
from ...index.building.workplace import sync_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_folder(goal: Path) -> Iterator[Path]:
    """A draft folder beside ``goal``; on success it is flushed to disk and takes the name.

    Raises BadArguments when something stands there already, FailedWhileRunning on a full disk.
    """
    if goal.exists():
        raise BadArguments(f"{goal} exists already; remove it or choose another name")
    draft = goal.with_name(f".{goal.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left by an export that was killed
        draft.mkdir(parents=True)
        yield draft
        sync_files(draft)
        sync_folder(draft)
        draft.rename(goal)
        sync_folder(goal.parent)
    except OSError as failure:
        raise no_room(goal, failure) from failure
    finally:
        shutil.rmtree(draft, ignore_errors=True)
