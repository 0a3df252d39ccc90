"""Bytes are compared with what was promised; large files once, until they change."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tamis.core import fingerprints
from tamis.core.errors import CorruptFile, MissingResource
from tamis.core.manifest import FileRecord
from tamis.index import verification
from tamis.index.verification import VerifiedFiles

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "BLOCK", BLOCK)
    monkeypatch.setattr(verification, "BLOCK", BLOCK)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the blocks that were hashed, as they are."""
    numbers: list[int] = []
    compare = VerifiedFiles._compare

    def noted(self: VerifiedFiles, path: Path, name: str, number: int, block: bytes) -> None:
        numbers.append(number)
        compare(self, path, name, number, block)

    monkeypatch.setattr(VerifiedFiles, "_compare", noted)
    return numbers


def folder_of(tmp_path: Path, raw: bytes = bytes(range(70))) -> dict[str, FileRecord]:
    path = tmp_path / "index"
    path.write_bytes(raw)
    return {"index": FileRecord(len(raw), fingerprints.of_blocks(path))}


def test_a_part_is_the_blocks_that_hold_it(tmp_path: Path, hashed: list[int]) -> None:
    files = VerifiedFiles(tmp_path, folder_of(tmp_path))
    files.part("index", 20, 33)
    assert hashed == [1, 2]
    files.part("index", 16, 64)
    assert hashed == [1, 2, 3]
    files.part("index", 64, 70)
    assert hashed == [1, 2, 3, 4]
    files.part("index", 5, 5)
    files.whole("index")
    assert sorted(hashed) == [0, 1, 2, 3, 4]
    files.whole("index")
    assert len(hashed) == 5


@pytest.mark.parametrize("place", range(0, 70, 3))
def test_damage_is_met_in_its_block_alone(tmp_path: Path, place: int) -> None:
    files = VerifiedFiles(tmp_path, folder_of(tmp_path))
    raw = bytearray((tmp_path / "index").read_bytes())
    raw[place] ^= 1
    (tmp_path / "index").write_bytes(raw)
    for number in range(5):
        start, end = number * BLOCK, min((number + 1) * BLOCK, 70)
        if start <= place < end:
            with pytest.raises(CorruptFile, match=f"index: bytes {start} to {end} have sha256"):
                files.part("index", start, end)
        else:
            files.part("index", start, end)


def test_an_empty_file_is_whole_without_a_block(tmp_path: Path) -> None:
    files = VerifiedFiles(tmp_path, folder_of(tmp_path, b""))
    assert files.whole("index") == tmp_path / "index"
    (tmp_path / "index").write_bytes(b"x")
    with pytest.raises(CorruptFile, match="has 1 bytes, expected 0"):
        files.whole("index")


def test_names_and_what_is_no_file(tmp_path: Path) -> None:
    record = folder_of(tmp_path)["index"]
    files = VerifiedFiles(tmp_path, {"index": record, "lexical/b": record, "lexical/a": record})
    assert files.names("lexical/") == ["lexical/a", "lexical/b"]
    assert "index" in files
    assert "other" not in files
    with pytest.raises(MissingResource, match="is missing"):
        files.sized("lexical/a")
    (tmp_path / "lexical").write_text("a file where a folder was")
    with pytest.raises(MissingResource, match="Not a directory"):
        files.sized("lexical/a")
    (tmp_path / "index").unlink()
    os.mkfifo(tmp_path / "index")
    with pytest.raises(MissingResource, match="is no file"):
        files.whole("index")


class TestRemembering:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(verification, "_REMEMBERED_FROM", 50)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache" / "tamis" / "verified.json"

    def opened(self, tmp_path: Path, records: dict[str, FileRecord], hashed: list[int]) -> int:
        """Open the folder anew; how many blocks that hashed."""
        before = len(hashed)
        VerifiedFiles(tmp_path, records).whole("index")
        return len(hashed) - before

    def test_the_second_opening_does_not_hash(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path)
        assert [self.opened(tmp_path, records, hashed) for _ in range(3)] == [5, 0, 0]

    def test_small_files_are_always_hashed(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path, b"x" * 40)
        assert [self.opened(tmp_path, records, hashed) for _ in range(2)] == [3, 3]

    def test_a_touched_file_is_hashed_again(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path)
        self.opened(tmp_path, records, hashed)
        os.utime(tmp_path / "index", ns=(1, 1))
        assert [self.opened(tmp_path, records, hashed) for _ in range(2)] == [5, 0]

    def test_a_replaced_file_is_hashed_again(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path)
        self.opened(tmp_path, records, hashed)
        stat = (tmp_path / "index").stat()
        (tmp_path / "copy").write_bytes((tmp_path / "index").read_bytes())
        os.utime(tmp_path / "copy", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (tmp_path / "copy").rename(tmp_path / "index")
        assert self.opened(tmp_path, records, hashed) == 5

    def test_another_size_is_met_without_hashing(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path)
        self.opened(tmp_path, records, hashed)
        with (tmp_path / "index").open("ab") as out:
            out.write(b"x")
        with pytest.raises(CorruptFile, match="has 71 bytes, expected 70"):
            self.opened(tmp_path, records, hashed)

    def test_another_promise_is_hashed(self, tmp_path: Path, hashed: list[int]) -> None:
        records = folder_of(tmp_path)
        self.opened(tmp_path, records, hashed)
        wrong = {"index": FileRecord(70, ["0" * 64] * 5)}
        with pytest.raises(CorruptFile):
            self.opened(tmp_path, wrong, hashed)
        with pytest.raises(CorruptFile):  # and is not remembered as good
            self.opened(tmp_path, wrong, hashed)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1}', "\0\0", "[" * 100_000])
    def test_a_broken_cache_is_ignored_and_mended(
        self, tmp_path: Path, hashed: list[int], cache: Path, text: str
    ) -> None:
        records = folder_of(tmp_path)
        cache.parent.mkdir(parents=True)
        cache.write_text(text)
        assert [self.opened(tmp_path, records, hashed) for _ in range(2)] == [5, 0]
        assert isinstance(json.loads(cache.read_text()), dict)

    def test_a_cache_that_cannot_be_written_costs_time_only(
        self, tmp_path: Path, hashed: list[int], cache: Path
    ) -> None:
        records = folder_of(tmp_path)
        cache.parent.parent.write_text("a file where the cache should be")
        assert [self.opened(tmp_path, records, hashed) for _ in range(2)] == [5, 5]

    def test_the_limit_damage_that_leaves_the_time_as_it_was(
        self, tmp_path: Path, hashed: list[int]
    ) -> None:
        """Documented: ``whole`` trusts what it remembers, ``part`` (``tamis check``) does not."""
        records = folder_of(tmp_path)
        self.opened(tmp_path, records, hashed)
        path = tmp_path / "index"
        stat = path.stat()
        raw = bytearray(path.read_bytes())
        raw[9] ^= 1
        path.write_bytes(raw)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert self.opened(tmp_path, records, hashed) == 0
        with pytest.raises(CorruptFile):
            VerifiedFiles(tmp_path, records).part("index", 0, 70)
