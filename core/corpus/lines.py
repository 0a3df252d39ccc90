"""Lines of a UTF-8 file, plain or gzip, as text or as the flaw that stands in its place."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING

from ..errors import MissingResource
from .flaws import Flaw, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST = 64 * 1024 * 1024
"""Bytes of the longest line read; a longer one is a flaw, so that memory stays bounded."""

BUFFER = 256 * 1024
"""Bytes unpacked at a time."""

BOM = b"\xef\xbb\xbf"


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked when its name ends in ``.gz``; MissingResource when unreadable."""
    try:
        file = path.open("rb")
    except OSError as failure:
        raise MissingResource(
            f"{path} cannot be read: {failure.strerror or failure}; name a file that can"
        ) from failure
    with file:
        if path.name.endswith(".gz"):
            # GzipFile.readline checks its state in Python on every call; the buffer does not
            with io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), BUFFER) as unpacked:
                yield unpacked
        else:
            yield file


def text_lines(
    path: Path, name: str, *, keep_blank: bool = False
) -> Iterator[tuple[str, str | Flaw]]:
    """(place, line) for each line, without its end; a Flaw instead where there is no good line.

    Lines end in LF or CRLF. A byte-order mark is dropped. Blank lines at the end are ignored, one
    followed by more text is "malformed" (unless ``keep_blank``, which passes all of them on).
    ``name`` is what places call the file.
    """
    blank_from = blank_to = 0
    for number, raw in numbered(path):
        place = f"{name}:{number}"
        if isinstance(raw, Flaw):
            yield f"{name}:{number}", Flaw(raw.kind, place, raw.message)
            continue
        line = raw.rstrip(b"\r\n")
        if not keep_blank and (not line or line.isspace()):
            blank_from, blank_to = blank_from or number, number
            continue
        if blank_from:
            for blank in range(blank_from, blank_to + 1):
                there = f"{name}:{blank}"
                yield there, Flaw("malformed", there, "a blank line between others; remove it")
            blank_from = 0
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError as failure:
            yield place, Flaw("not utf-8", place, not_utf8(line, failure))


def numbered(path: Path) -> Iterator[tuple[int, bytes | Flaw]]:
    """(line number from 1, raw line with its end); a Flaw (place left empty) where it breaks."""
    number = 0
    with open_bytes(path) as file:
        read = iter(partial(file.readline, LONGEST), b"")
        try:
            for raw in read:
                number += 1
                if number == 1 and raw.startswith(BOM):
                    yield number, raw[len(BOM) :]
                elif len(raw) == LONGEST and not raw.endswith(b"\n"):
                    for rest in read:
                        if rest.endswith(b"\n"):
                            break
                    yield number, Flaw("malformed", "", f"a line of more than {LONGEST} bytes")
                else:
                    yield number, raw
        except (EOFError, zlib.error, OSError) as failure:  # BadGzipFile is an OSError
            yield number + 1, Flaw("malformed", "", f"nothing more can be read: {failure}")


def not_utf8(raw: bytes, failure: UnicodeDecodeError) -> str:
    """What a message says of bytes that are not UTF-8: where, and what stands around them."""
    around = raw[max(0, failure.start - 10) : failure.start + 10]
    return f"byte {failure.start + 1} of {shown(around)} is not UTF-8; convert it with iconv"
