"""A folder of .txt and .md files: each file one passage, its path the id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .flaws import Flaw
from .lines import BOM, not_utf8
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Passage
    from .stream import Located

SUFFIXES = (".txt", ".md")


def read_text_folder(folder: Path) -> Iterator[Located]:
    """Every text file below a folder, by path in byte order; hidden names are left alone.

    A link that leads out of the folder is a flaw, not a way out.
    """
    root = folder.resolve()
    for relative in text_files(folder):
        place = id_of_path(relative)
        path = folder / relative
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            yield place, Flaw("malformed", place, "a link that leads out of the folder; remove it")
        elif path.is_file():
            yield place, _file(place, path)
        elif path.is_symlink() and not path.exists():
            yield place, Flaw("malformed", place, "a link that leads nowhere; remove it")


def text_files(folder: Path) -> list[str]:
    """Relative paths of text files, and of linked folders (whose contents are not entered)."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(place).relative_to(folder)
        found += [(here / name).as_posix() for name in folders if (Path(place) / name).is_symlink()]
        found += [
            (here / name).as_posix()
            for name in files
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found, key=os.fsencode)


def id_of_path(relative: str) -> str:
    """A path as an id: white space, "%" and undecodable bytes as %XX, so that no two meet."""
    return "".join(
        "".join(f"%{byte:02X}" for byte in os.fsencode(sign))
        if sign.isspace() or sign == "%" or "\udc80" <= sign <= "\udcff"
        else sign
        for sign in relative
    )


def _file(place: str, path: Path) -> Passage | Flaw:
    try:
        raw = path.read_bytes().removeprefix(BOM)
    except OSError as failure:
        return Flaw("malformed", place, f"cannot be read: {failure.strerror}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as failure:
        return Flaw("not utf-8", place, not_utf8(raw, failure))
    return passage_or_flaw(place, place, text.replace("\r\n", "\n").strip())
