"""FLEX: exactly n d 4 bytes, ids that read back by row and by id, nothing half written."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tamis
from tamis.core.errors import BadArguments
from tamis.pipeline.exporting import flex
from tamis.pipeline.exporting.flex import export_flex
from tamis.pipeline.exporting.npids import write_npids

pytest.importorskip("faiss")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Lookup:
    """What ``npids.Lookup`` does with a file: blocks in a chain, fixed width on, hashes back."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        self.ids: list[bytes] = []
        place, version = 0, None
        while place != -1:
            kind, following, count, size = struct.unpack_from("<IqqI", raw, place)
            body = place + 24 + size
            settings = json.loads(raw[place + 24 : body])
            if kind == 1145655374:
                version = settings["version"]
            elif kind == 0:
                width = settings["length"] - len(settings["prefix"])
                block = np.frombuffer(raw[body:following], f"S{width}")
                assert (len(block), settings["format"]) == (count, "fixedbytes")
                self.ids += block.tolist()
            else:
                assert (kind, settings["hash_fn"], count) == (1, "fnv1_32", len(self.ids))
                self.buckets = 1 << settings["hash_bits"]
                table = np.frombuffer(raw[body:], "<u4")
                self.starts, self.rows = np.split(table, [self.buckets + 1])
                assert len(self.rows) == count
            place = following
        assert version == 1

    def row(self, passage_id: str) -> int:
        raw, value = passage_id.encode(), 2166136261
        for byte in raw:
            value = (value ^ byte) * 16777619 % (1 << 32)
        bucket = value % self.buckets
        for row in self.rows[self.starts[bucket] : self.starts[bucket + 1]]:
            if self.ids[row] == raw:
                return int(row)
        return -1


ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)


@given(names=st.lists(ids, min_size=1, max_size=40, unique=True), cut=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_ids_read_back_both_ways(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], cut: int
) -> None:
    path = tmp_path_factory.mktemp("npids") / "docnos.npids"
    batches = [names[at : at + cut] for at in range(0, len(names), cut)]
    assert write_npids(path, batches) == len(names)
    lookup = Lookup(path)
    assert [raw.decode() for raw in lookup.ids] == names
    assert [lookup.row(name) for name in names] == list(range(len(names)))
    assert lookup.row("an id that is not there") == -1


def test_npids_itself_reads_them(tmp_path: Path) -> None:
    npids = pytest.importorskip("npids")
    names = [f"d{number * 7}" + "é" * (number % 3) for number in range(1000)]
    write_npids(tmp_path / "x", [names[:600], names[600:]])
    lookup = npids.Lookup(tmp_path / "x")
    assert list(lookup) == names
    assert lookup.inv[names] == list(range(1000))


@pytest.mark.parametrize("block", [7, 60, 100])
def test_the_folder_holds_the_index(
    index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(flex, "_BLOCK", block)
    assert export_flex(index_folder, tmp_path / "flex") == (60, 256, "flat")
    assert (tmp_path / "flex" / "vecs.f4").stat().st_size == 60 * 256 * 4
    index = tamis.open_index(index_folder)
    rows = np.arange(60)
    vectors = np.memmap(tmp_path / "flex" / "vecs.f4", "<f4", "r", shape=(60, 256))
    assert np.array_equal(vectors, index.folder.dense.reconstruct(rows))
    assert [raw.decode() for raw in Lookup(tmp_path / "flex" / "docnos.npids").ids] == (
        index.passages.ids(rows)
    )
    meta = json.loads((tmp_path / "flex" / "pt_meta.json").read_text())
    assert meta["vec_size"] == 256
    assert meta["doc_count"] == 60
    assert (meta["type"], meta["format"]) == ("dense_index", "flex")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flex"]


def test_vectors_of_a_lossy_index_are_those_it_keeps(corpus: Path, tmp_path: Path) -> None:
    index = tamis.build(corpus, tmp_path / "sq8", encoder="hashing", ann="sq8", lexical="none")
    assert export_flex(tmp_path / "sq8", tmp_path / "flex")[2] == "sq8"
    found = np.fromfile(tmp_path / "flex" / "vecs.f4", "<f4").reshape(60, 256)
    assert np.array_equal(found, index.folder.dense.reconstruct(np.arange(60)))


def test_a_failing_export_leaves_nothing(
    index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flex, "write_npids", broken)
    with pytest.raises(KeyboardInterrupt):
        export_flex(index_folder, tmp_path / "flex")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(index_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "flex").mkdir()
    with pytest.raises(BadArguments, match="exists already"):
        export_flex(index_folder, tmp_path / "flex")
    assert list((tmp_path / "flex").iterdir()) == []


def test_the_command_line(
    index_folder: Path, queries_file: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    done = cli("export", "flex", index_folder, "-o", tmp_path / "flex")
    assert done.returncode == 0, done.stderr
    assert "60 vectors of 256 dimensions" in done.stdout
    pytest.importorskip("pandas")
    done = cli(
        "export", "queries", queries_file, "-o", tmp_path / "encoded", "--encoder", "hashing"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "encoded").iterdir()) == [
        "embedding.npy",
        "embedding.pkl",
        "queries.tsv",
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["queries", "QUERIES", "-o", "OUT"], 2),
        (["flex", "INDEX", "-o", "OUT", "--encoder", "hashing"], 2),
        (["flex", "INDEX", "-o", "INDEX"], 2),
        (["flex", "NOWHERE", "-o", "OUT"], 4),
        (["queries", "NOWHERE", "-o", "OUT", "--encoder", "hashing"], 4),
        (["something", "INDEX", "-o", "OUT"], 2),
    ],
)
def test_exit_codes(
    index_folder: Path,
    queries_file: Path,
    tmp_path: Path,
    cli: Callable[..., Any],
    arguments: list[str],
    code: int,
) -> None:
    places = {
        "QUERIES": queries_file,
        "INDEX": index_folder,
        "OUT": tmp_path / "out",
        "NOWHERE": tmp_path / "nowhere.tsv",
    }
    done = cli("export", *(places.get(argument, argument) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
