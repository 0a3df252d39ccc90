"""Judgment files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import ir_measures
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.qrels import read_qrels

if TYPE_CHECKING:
    from pathlib import Path

JUDGED = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": -1}}


def file(folder: Path, text: str, name: str = "test.tsv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["qrels.txt", "qrels.txt.gz"])
@pytest.mark.parametrize("iteration", ["0", "Q0"])
@pytest.mark.parametrize("space", [" ", "\t", "  \t "])
def test_trec_ignores_the_iteration(tmp_path: Path, name: str, iteration: str, space: str) -> None:
    rows = [("q1", "d1", "2"), ("q1", "d2", "0"), ("q2", "d1", "-1")]
    text = "".join(space.join((q, iteration, d, g)) + "\n" for q, d, g in rows)
    read = read_qrels(file(tmp_path, text, name))
    assert (read.judgments, read.format, read.warnings) == (JUDGED, "trec", [])


def test_trec_agrees_with_ir_measures(tmp_path: Path) -> None:
    path = file(tmp_path, "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 -1\n")
    expected: dict[str, dict[str, int]] = {}
    for qrel in ir_measures.read_trec_qrels(str(path)):
        expected.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
    assert read_qrels(path).judgments == expected


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t-1\n",
        "score\tquery-id\tcorpus-id\n2\tq1\td1\n0\tq1\td2\n-1\tq2\td1\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t0\r\nq2\td1\t-1\r\n",
        "query-id\tnote\tcorpus-id\tscore\nq1\ta b\td1\t2\nq1\t\td2\t0\nq2\t\td1\t-1\n",
    ],
)
def test_beir_goes_by_the_header(tmp_path: Path, text: str) -> None:
    read = read_qrels(file(tmp_path, text))
    assert (read.judgments, read.format, read.warnings) == (JUDGED, "beir", [])


def test_without_a_header_the_first_judgment_is_kept_and_told(tmp_path: Path) -> None:
    """BEIR's own loader skips the first line unseen, and loses a judgment."""
    read = read_qrels(file(tmp_path, "q1\td1\t2\nq1\td2\t0\nq2\td1\t-1\n"))
    assert (read.judgments, read.format) == (JUDGED, "beir without header")
    (warning,) = read.warnings
    assert "no header" in warning


def test_a_judgment_given_twice_is_counted(tmp_path: Path) -> None:
    read = read_qrels(file(tmp_path, "q 0 d 1\nq 0 e 0\nq 0 d 1\nq 0 d 1\nq 0 e 0\n"))
    assert read.judgments == {"q": {"d": 1, "e": 0}}
    (warning,) = read.warnings
    assert " 3 " in warning


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = "q 0 d 1\nq 0 d 2\nq 0 e 1.0\nq 0 f\n\nq 0 g 1 x\nq 0 h 1_0\nq 0 i ٣\nq 0 j 9999999999\n"
    with pytest.raises(BadData) as caught:
        read_qrels(file(tmp_path, text))
    told = str(caught.value)
    assert "8 flaws" in told
    assert "test.tsv:2: malformed: query 'q', passage 'd': judged 2 here and 1 before" in told
    for expected in (":3: malformed: the grade is '1.0'", ":4: malformed: 3 columns", ":5: malf"):
        assert expected in told
    for line in (6, 7, 8, 9):
        assert f"test.tsv:{line}: malformed" in told


def test_beir_ids_are_ids(tmp_path: Path) -> None:
    text = "query-id\tcorpus-id\tscore\nq\t\t1\nq r\td\t1\nq\td\n"
    with pytest.raises(BadData) as caught:
        read_qrels(file(tmp_path, text))
    told = str(caught.value)
    assert ":2: blank id" in told
    assert ":3: id with space" in told
    assert ":4: malformed: 2 columns" in told


@pytest.mark.parametrize("text", ["", "\n", "query-id\tcorpus-id\tscore\n"])
def test_no_judgment_is_bad_data(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadData, match="not one judgment"):
        read_qrels(file(tmp_path, text))


def test_what_is_not_there_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingResource):
        read_qrels(tmp_path / "none.tsv")
    with pytest.raises(BadArguments, match="folder"):
        read_qrels(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.one_of(
        st.binary(max_size=100),
        st.lists(st.sampled_from(["q", "\t", " ", "1", "-", "\n", "score", "\x00"])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_any_bytes_are_judgments_or_bad_data(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "q.tsv"
    path.write_bytes(raw)
    try:
        read = read_qrels(path)
    except BadData:
        return
    assert all(read.judgments.values())


@pytest.mark.shared
def test_real_judgments_read(shared_data: Path) -> None:
    read = read_qrels(shared_data / "collections" / "scifact" / "qrels" / "test.tsv")
    assert len(read.judgments) == 300
    assert sum(map(len, read.judgments.values())) == 339
    assert read.format == "beir"
