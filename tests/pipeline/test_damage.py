"""A damaged index either says so, naming the file, or answers exactly as before. It never lies."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core import fingerprints
from tamis.core.errors import BadData, CorruptFile, MissingResource
from tamis.core.records import Query
from tamis.index import passages as passage_table
from tamis.index import verification
from tamis.pipeline.build import build
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 120
MODES = ("dense", "lexical", "hybrid")
QUERIES = [Query("1", "wine of the river"), Query("2", "number 77 flea"), Query("3", "bread")]
FLIPS = 10

Answer = list[list[tuple[int, str, str, str, float]]]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and batches so small that every file has several."""
    monkeypatch.setattr(fingerprints, "BLOCK", 2_048)
    monkeypatch.setattr(verification, "BLOCK", 2_048)
    monkeypatch.setattr(passage_table, "BATCH_ROWS", 32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kinds = ["flea", "wine", "sieve", "river", "stone", "bread", "cloud"]
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for row in range(ROWS):
            text = f"{kinds[row % 7]} and {kinds[row % 5]} are number {row} of the été"
            record = {"id": f"p{row}", "title": kinds[row % 3].title(), "text": text}
            out.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "BLOCK", 2_048)
        patch.setattr(verification, "BLOCK", 2_048)
        patch.setattr(passage_table, "BATCH_ROWS", 32)
        build(corpus, folder, encoder="hashing")
    return folder


@pytest.fixture(scope="module")
def truth(whole: Path) -> dict[str, Answer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "BLOCK", 2_048)
        return {mode: answers(whole, mode) for mode in MODES}


@pytest.fixture
def index(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "index")


def answers(folder: Path, mode: str) -> Answer:
    opened = open_index(folder)
    run = opened.searcher(20, mode=mode).run(QUERIES)
    return [
        [(h.row, h.passage.id, h.passage.title, h.passage.text, h.score) for h in run.hits(n)]
        for n in range(len(run))
    ]


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


NAMES = [
    "docid",
    "index",
    "lexical/data.csc.index.npy",
    "lexical/indices.csc.index.npy",
    "lexical/indptr.csc.index.npy",
    "lexical/params.index.json",
    "lexical/vocab.index.json",
    "passages.arrow",
    "tamis.json",
    "words.arrow",
]
READ_BY = {
    "docid": (),
    "index": ("dense", "hybrid"),
    "passages.arrow": MODES,
    "tamis.json": MODES,
    "words.arrow": (),  # rerankers alone read it
}


def read_by(name: str) -> tuple[str, ...]:
    """The modes that read a file, at least in part."""
    return READ_BY.get(name, ("lexical", "hybrid"))


def honest(folder: Path, name: str, truth: dict[str, Answer]) -> set[str]:
    """The modes that refused; every other one gave the very answer of the whole index."""
    refused, told = set(), []
    for mode in MODES:
        try:
            found = answers(folder, mode)
        except (BadData, MissingResource) as failure:
            refused.add(mode)
            told.append(str(failure))
        else:
            assert found == truth[mode], f"{mode} lies about a damaged {name}"
    assert all(name.split("/", maxsplit=1)[0] in message for message in told), told
    return refused


def noticed(folder: Path, name: str) -> None:
    report = check_index(folder)
    assert not report.ok
    told = "\n".join(report.lines())
    assert name in told, told


def test_the_list_of_files_is_that_of_an_index(whole: Path) -> None:
    assert files(whole) == NAMES
    assert check_index(whole).ok
    manifest = json.loads((whole / "tamis.json").read_text("utf-8"))
    assert len(manifest["passage_batches"]) == 4
    assert len(manifest["files"]["passages.arrow"]["blocks"]) > 4
    assert len(manifest["files"]["index"]["blocks"]) > 4


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bits(index: Path, truth: dict[str, Answer], name: str) -> None:
    path = index / name
    good = path.read_bytes()
    dice = random.Random(name)
    places = sorted({0, len(good) - 1, *(dice.randrange(len(good)) for _ in range(FLIPS))})
    refused = set()
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << dice.randrange(8)
        path.write_bytes(bad)
        now = honest(index, name, truth)
        if name == "index" or name.startswith("lexical/"):  # read whole, so verified whole
            assert now == set(read_by(name)), f"byte {place} of {name} was not verified"
        refused |= now
        noticed(index, name)
    assert refused == set(read_by(name))
    path.write_bytes(good)
    assert honest(index, name, truth) == set()
    assert check_index(index).ok


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("left", [0.0, 0.5, 1.0])
def test_a_cut_file(index: Path, truth: dict[str, Answer], name: str, left: float) -> None:
    path = index / name
    good = path.read_bytes()
    path.write_bytes(good[: min(int(left * len(good)), len(good) - 1)])
    assert honest(index, name, truth) == set(read_by(name)) - _still_whole(name, left)
    noticed(index, name)


def _still_whole(name: str, left: float) -> set[str]:
    """A manifest lacks only its last line end when one byte is cut: nothing is lost."""
    return set(MODES) if (name, left) == ("tamis.json", 1.0) else set()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [b"\0", b"x" * 5_000])
def test_a_grown_file(index: Path, truth: dict[str, Answer], name: str, more: bytes) -> None:
    with (index / name).open("ab") as out:
        out.write(more)
    assert honest(index, name, truth) == set(read_by(name))
    noticed(index, name)


def gone(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", [gone, a_folder, a_loop, a_dangling_link])
def test_a_file_that_is_none(
    index: Path, truth: dict[str, Answer], name: str, harm: Callable[[Path], None]
) -> None:
    harm(index / name)
    assert honest(index, name, truth) == set(read_by(name))
    for mode in read_by(name):
        with pytest.raises(MissingResource):
            answers(index, mode)
    noticed(index, name)


def test_a_link_to_the_same_bytes_is_as_good(index: Path, truth: dict[str, Answer]) -> None:
    for name in NAMES:
        path = index / name
        path.rename(path.with_name(f"{path.name}.moved"))
        path.symlink_to(f"{path.name}.moved")
    assert honest(index, "", truth) == set()
    assert check_index(index).ok


def test_batches_are_verified_one_by_one(index: Path, truth: dict[str, Answer]) -> None:
    """Damage in one record batch is met when that batch is read, not before and not never."""
    manifest = json.loads((index / "tamis.json").read_text("utf-8"))
    first, start, end = manifest["passage_batches"][2]
    assert first == 64
    path = index / "passages.arrow"
    raw = bytearray(path.read_bytes())
    raw[(start + end) // 2] ^= 4
    path.write_bytes(raw)
    opened = open_index(index)
    assert opened.passages.ids(np.array([0, 1])) == ["p0", "p1"]
    for _ in range(2):  # refused again, not remembered as good
        with pytest.raises(CorruptFile, match=r"passages\.arrow"):
            opened.passages.passages(np.array([1, 64]))
        with pytest.raises(CorruptFile, match=r"passages\.arrow"):
            list(opened.passages.stream(60, 70))  # type: ignore[attr-defined]


def test_swapped_files_of_two_indexes(
    index: Path, corpus: Path, tmp_path: Path, truth: dict[str, Answer]
) -> None:
    """Each file whole, of the right size, and of another index: still refused."""
    other = tmp_path / "other.jsonl"
    other.write_text(corpus.read_text("utf-8").replace("number 7", "number 8"), "utf-8")
    build(other, tmp_path / "other", encoder="hashing")
    for name in (name for name in NAMES if name != "tamis.json"):
        good = (index / name).read_bytes()
        if (tmp_path / "other" / name).read_bytes() == good:
            continue
        shutil.copyfile(tmp_path / "other" / name, index / name)
        assert honest(index, name, truth) == set(read_by(name))
        (index / name).write_bytes(good)


def test_a_manifest_that_was_edited_by_hand(index: Path) -> None:
    path = index / "tamis.json"
    body = json.loads(path.read_text("utf-8"))
    body["counts"]["indexed"] -= 1
    path.write_text(json.dumps(body), "utf-8")
    with pytest.raises(CorruptFile, match="changed after it was written"):
        open_index(index)


def test_an_extra_file_is_only_a_warning(index: Path, truth: dict[str, Answer]) -> None:
    (index / "notes.txt").write_text("mine", "utf-8")
    assert honest(index, "", truth) == set()
    report = check_index(index)
    assert report.ok
    assert [finding.kind for finding in report.warnings] == ["unlisted file"]


@pytest.mark.parametrize(
    ("name", "code"), [("index", 5), ("passages.arrow", 5), ("tamis.json", 5), ("index", 4)]
)
def test_the_command_line_says_it_in_one_line(
    corpus: Path, tmp_path: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the other process knows nothing of small blocks
    folder = tmp_path / "index"
    build(corpus, folder, encoder="hashing")
    path = folder / name
    if code == 4:
        path.unlink()
    else:
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    call = [sys.executable, "-c", "from tamis.pipeline.cli import main; main()"]
    for command in (["search", str(folder), "wine"], ["check", str(folder)]):
        done = subprocess.run(call + command, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert "Traceback" not in told, told
        assert done.returncode == (5 if command[0] == "check" else code), told
        assert str(path) in told
