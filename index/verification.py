"""Does a file hold the bytes that the manifest promises? Asked before anything is made of them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from ..core.durable import replacing
from ..core.errors import CorruptFile, FailedWhileRunning, MissingResource
from ..core.fingerprints import BLOCK, of_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.manifest import FileRecord

_REMEMBERED_FROM = 1 << 30  # bytes; hashing less takes under a second


class VerifiedFiles:
    """The files of one folder and what the manifest says of them.

    Whole files are hashed once a process; files from 1 GB up once a machine, as long as path,
    size, modification time and inode stay the same (``~/.cache/tamis/verified.json``). So damage
    that leaves all four as they were, a failing disk's say, is met only by ``part``, which
    ``tamis check`` uses: it hashes whatever is remembered.
    """

    def __init__(self, folder: Path, records: Mapping[str, FileRecord]) -> None:
        self._folder = folder
        self._records = records
        self._good: dict[str, set[int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def names(self, under: str = "") -> list[str]:
        return sorted(name for name in self._records if name.startswith(under))

    def whole(self, name: str) -> Path:
        """The file's path, every block of it verified."""
        record = self._records[name]
        path = self.sized(name)
        if record.bytes >= _REMEMBERED_FROM and _remembered(path, record):
            return path
        self.part(name, 0, record.bytes)
        if record.bytes >= _REMEMBERED_FROM:
            _remember(path, record)
        return path

    def sized(self, name: str) -> Path:
        """The file's path; MissingResource or CorruptFile when it is absent, cut or grown."""
        path = self._folder / name
        expected = self._records[name].bytes
        try:
            stat = path.stat()
        except OSError as failure:  # absent, a link in a loop, a folder that may not be read
            raise MissingResource(
                f"{path} is missing ({failure.strerror}): restore it, or rebuild the index"
            ) from None
        if not S_ISREG(stat.st_mode):
            raise MissingResource(f"{path} is no file: restore it, or rebuild the index")
        found = stat.st_size
        if found != expected:
            raise CorruptFile(
                f"{path} has {found:,} bytes, expected {expected:,}: restore it, or rebuild"
            )
        return path

    def part(self, name: str, start: int, end: int) -> None:
        """Verify the blocks that hold bytes start..end, those not yet verified."""
        path = self.sized(name)
        good = self._good.setdefault(name, set())
        wanted = [n for n in range(start // BLOCK, -(-end // BLOCK)) if n not in good]
        if not wanted:
            return
        try:
            with path.open("rb") as file:
                for number in wanted:
                    file.seek(number * BLOCK)
                    self._compare(path, name, number, file.read(BLOCK))
        except OSError as failure:
            raise FailedWhileRunning(f"reading {path} failed: {failure.strerror}") from failure
        good.update(wanted)

    def _compare(self, path: Path, name: str, number: int, block: bytes) -> None:
        found = hashlib.sha256(block).hexdigest()
        expected = self._records[name].blocks[number]
        if found != expected:
            start = number * BLOCK
            raise CorruptFile(
                f"{path}: bytes {start:,} to {start + len(block):,} have sha256 {found[:16]}…, "
                f"expected {expected[:16]}…: restore the file, or rebuild the index"
            )


def _ledger() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tamis" / "verified.json"


def _state(path: Path, record: FileRecord) -> str:
    stat = path.stat()
    return of_value([stat.st_size, stat.st_mtime_ns, stat.st_ino, record.blocks])


def _verdicts() -> dict[str, str]:
    try:
        found = json.loads(_ledger().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remembered(path: Path, record: FileRecord) -> bool:
    return _verdicts().get(str(path.resolve())) == _state(path, record)


def _remember(path: Path, record: FileRecord) -> None:
    verdicts = {**_verdicts(), str(path.resolve()): _state(path, record)}
    ledger = _ledger()
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with replacing(ledger) as out:
            json.dump(verdicts, out)
    except (OSError, FailedWhileRunning):
        return  # a cache that cannot be written costs time at the next opening, nothing else
