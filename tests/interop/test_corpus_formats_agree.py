"""The same passages as a BEIR folder and as MS MARCO's TSV are one index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import tamis

pytest.importorskip("faiss")

if TYPE_CHECKING:
    from pathlib import Path

PASSAGES = {"0": "The presence of communication", "10": "«Čeština» and 日本", "9": "a flea's life"}


def fingerprint(corpus: Path, folder: Path) -> str:
    index = tamis.build(corpus, folder, encoder="hashing")
    assert index.folder.manifest is not None
    return index.folder.manifest.fingerprint


def beir(folder: Path, passages: dict[str, str]) -> Path:
    folder.mkdir()
    records = [{"_id": i, "title": "", "text": t, "metadata": {}} for i, t in passages.items()]
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "corpus.jsonl").write_text("".join(lines), "utf-8")
    return folder


def test_beir_and_ms_marco_have_one_fingerprint(tmp_path: Path) -> None:
    tsv = tmp_path / "collection.tsv"
    tsv.write_text("".join(f"{i}\t{t}\n" for i, t in PASSAGES.items()), "utf-8")
    first = fingerprint(beir(tmp_path / "beir", PASSAGES), tmp_path / "a")
    assert fingerprint(tsv, tmp_path / "b") == first


@pytest.mark.parametrize("change", ["text", "id", "order"])
def test_other_passages_have_another(tmp_path: Path, change: str) -> None:
    first = fingerprint(beir(tmp_path / "beir", PASSAGES), tmp_path / "a")
    changed = {
        "text": {**PASSAGES, "9": "a flea's lifetime"},
        "id": {("11" if i == "10" else i): text for i, text in PASSAGES.items()},
        "order": dict(reversed(PASSAGES.items())),
    }[change]
    assert fingerprint(beir(tmp_path / "changed", changed), tmp_path / "b") != first
