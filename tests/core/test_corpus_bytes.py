"""Arbitrary bytes under every file name: flaws at worst, never an exception; memory stays flat."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.corpus import lines as lines_module
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path

PIECES = [
    b'{"id": "a", "text": "b"}',
    b'{"id": "a\\ud800"',
    b"<DOC>",
    b"</DOC>",
    b"<DOCNO>1</DOCNO>",
    b"<TEXT>",
    b"a\tb",
    b"\n",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"PAR1",
    b"\x1f\x8b\x08\x00",
]

some_bytes = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20))).map(b"".join)


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.trec", "c.parquet", "d/a.txt"])
@pytest.mark.parametrize("packed", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=some_bytes)
def test_any_bytes_are_passages_or_flaws(
    tmp_path: Path, name: str, packed: bool, raw: bytes
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    if packed and path.suffix not in {".parquet", ".txt"}:
        path = path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(raw))
    corpus = open_corpus(path.parent if name.endswith(".txt") else path, passage_words=3)
    for place, item in corpus.located():
        assert isinstance(item, Passage | Flaw)
        assert isinstance(item, Passage) or place == item.where
        if isinstance(item, Passage):
            assert item.id.split() == [item.id]
            assert item.full_text.encode("utf-8").strip()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_called_gzip_are_flaws_at_worst(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(raw)
    assert all(isinstance(item, Flaw) for item in open_corpus(path))


def test_a_line_too_long_is_a_flaw_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "LONGEST", 64)
    path = tmp_path / "c.tsv"
    path.write_text("a\tx\n" + "b\t" + "y" * 500 + "\nc\tz\n", encoding="utf-8")
    first, flaw, last = open_corpus(path)
    assert (first, last) == (Passage("a", "x"), Passage("c", "z"))
    assert isinstance(flaw, Flaw)
    assert flaw.where == "c.tsv:2"


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_memory_stays_flat_over_many_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c{suffix}"
    opened = gzip.open if suffix.endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8") as out:
        for number in range(200_000):
            out.write(json.dumps({"id": str(number), "text": f"passage {number}"}) + "\n")
    corpus = open_corpus(path)
    tracemalloc.start()
    count = sum(1 for _ in corpus)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 2_000_000
