"""``tamis.json`` is read as it was written, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadData, CorruptFile, Mismatch
from tamis.core.fingerprints import of_value
from tamis.core.manifest import FileRecord, Manifest, read_manifest
from tamis.core.protocols import EncoderCard

if TYPE_CHECKING:
    from pathlib import Path

CARD = EncoderCard("words", "f" * 64, "s" * 64, 4, "cosine", "mean", 512, "passage: ", "query: ")
MANIFEST = Manifest(
    passage_encoder=CARD,
    query_encoder=replace(CARD, name="été"),
    counts={"corpus": 3, "indexed": 2, "skipped": 1},
    corpus={"source": "c.jsonl", "format": "jsonl"},
    ann={"recipe": {"kind": "flat"}, "recall_at_10": 1.0},
    lexical=None,
    passage_batches=[[0, 8, 100]],
    files={"index": FileRecord(5, ["ab"]), "docid": FileRecord(0, [])},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert read_manifest(tmp_path) == MANIFEST
    assert (tmp_path / "tamis.json").read_text("utf-8") == MANIFEST.text()
    assert "été" in MANIFEST.text()
    assert read_manifest(tmp_path).space == "s" * 64


def test_the_hash_in_the_file_is_that_of_all_the_rest(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    body = json.loads((tmp_path / "tamis.json").read_bytes())
    assert body.pop("sha256") == of_value(body)
    assert body["format"] == 1
    assert body["vectors_per_passage"] == 1
    assert body["segments"] == ["."]


def rewritten(folder: Path, **changes: Any) -> None:
    """The manifest with other values and a hash that is right for them."""
    body = {**MANIFEST.to_json(), **changes}
    del body["sha256"]
    for name in [name for name, value in changes.items() if value is None]:
        del body[name]
    body["sha256"] = of_value(body)
    (folder / "tamis.json").write_text(json.dumps(body), "utf-8")


def test_any_value_that_was_changed_is_noticed(tmp_path: Path) -> None:
    for name, value in MANIFEST.to_json().items():
        if name in ("sha256", "format"):
            continue
        body = {**MANIFEST.to_json(), name: {"other": value}}
        (tmp_path / "tamis.json").write_text(json.dumps(body), "utf-8")
        with pytest.raises(CorruptFile, match="changed after it was written"):
            read_manifest(tmp_path)


def test_another_format_is_told_from_damage(tmp_path: Path) -> None:
    rewritten(tmp_path, format=2)
    with pytest.raises(Mismatch, match="format 2, this tamis reads format 1"):
        read_manifest(tmp_path)


def test_a_field_too_few_or_too_many(tmp_path: Path) -> None:
    for changes in ({"counts": None}, {"stranger": 1}, {"space": None}, {"files": {"a": {}}}):
        rewritten(tmp_path, **changes)
        with pytest.raises(BadData, match=r"tamis\.json lacks or repeats a field"):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"a"', "{}", "\0", "[" * 100_000, '{"sha256": "\\ud800", "a": 1}'],
)
def test_what_is_no_manifest_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "tamis.json").write_text(text, "utf-8")
    with pytest.raises(CorruptFile, match=r"tamis\.json"):
        read_manifest(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    for raw in (b"\xff\xfe\x00", b'{"sha256": "a", "x": "\\ud800"}'):
        (tmp_path / "tamis.json").write_bytes(raw)
        with pytest.raises(CorruptFile):
            read_manifest(tmp_path)


@given(place=st.integers(0, len(MANIFEST.text().encode()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    raw = bytearray(MANIFEST.text().encode())
    raw[place] ^= 1 << bit
    (folder / "tamis.json").write_bytes(raw)
    try:
        found = read_manifest(folder)
    except BadData:
        return
    assert found == MANIFEST


def test_the_fingerprint_is_that_of_the_files_alone() -> None:
    elsewhere = replace(MANIFEST, corpus={"source": "other", "format": "tsv"})
    assert elsewhere.fingerprint == MANIFEST.fingerprint
    other = replace(MANIFEST, files={"index": FileRecord(5, ["ac"])})
    assert other.fingerprint != MANIFEST.fingerprint
