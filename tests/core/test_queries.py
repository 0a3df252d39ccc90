"""Query files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.queries import read_queries
from tamis.core.records import Query

if TYPE_CHECKING:
    from pathlib import Path

TWO = [Query("2", "how long does a flea live?"), Query("007", "«été»")]
TSV = "2\thow long does a flea live?\n007\t«été»\n".encode()
JSON = (
    '{"_id": 2, "text": "how long does a flea live?", "metadata": {}}\n'
    '{"_id": "007", "text": "«été»"}\n'
).encode()


def file(folder: Path, name: str, raw: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("q.tsv", TSV),
        ("q.txt", TSV),
        ("q.tsv", b"\xef\xbb\xbf" + TSV.replace(b"\n", b"\r\n") + b"\n"),
        ("q.jsonl", JSON),
        ("q.json", JSON),
        ("q.jsonl", JSON.replace(b"_id", b"qid").replace(b'"text"', b'"query"')),
    ],
)
def test_every_form_reads_the_same_in_the_order_of_the_file(
    tmp_path: Path, name: str, raw: bytes, packed: str
) -> None:
    assert read_queries(file(tmp_path, name + packed, raw)) == TWO


@pytest.mark.parametrize("name", ["queries.jsonl", "queries.jsonl.gz"])
def test_a_beir_folder_stands_for_its_queries(tmp_path: Path, name: str) -> None:
    file(tmp_path, name, JSON)
    assert read_queries(str(tmp_path)) == TWO


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    raw = b"a\tone\n\tblank\nb c\tspace\na\tagain\nd\t \nno tab\ne\tf\tg\nh\t\xff\n\ni\tlast\n"
    with pytest.raises(BadData) as caught:
        read_queries(file(tmp_path, "q.tsv", raw))
    told = str(caught.value)
    assert "8 flaws" in told
    for expected in (
        "q.tsv:2: blank id",
        "q.tsv:3: id with space",
        "q.tsv:4: duplicate id: the id 'a' was given at q.tsv:1 already",
        "q.tsv:5: empty",
        "q.tsv:6: malformed: 1 columns",
        "q.tsv:7: malformed: 3 columns",
        "q.tsv:8: not utf-8",
        "q.tsv:9: malformed: a blank line",
    ):
        assert expected in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "JSON object"),
        ('{"_id": "b"}', "no key text"),
        ('{"text": "b"}', "no key _id"),
        ('{"_id": 1.5, "text": "b"}', "1.5"),
        ('{"_id": "b", "text": ["c"]}', "['c']"),
        ('{"_id": "b", "text": "\\ud800"}', "surrogate"),
    ],
)
def test_an_odd_json_line_is_told_with_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = file(tmp_path, "q.jsonl", f'{{"_id": "a", "text": "x"}}\n{line}\n'.encode())
    with pytest.raises(BadData) as caught:
        read_queries(path)
    assert "q.jsonl:2" in str(caught.value)
    assert told in str(caught.value)


def test_many_flaws_are_counted_and_twenty_shown(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        read_queries(file(tmp_path, "q.tsv", b"x\n" * 50))
    assert "50 flaws" in str(caught.value)
    assert str(caught.value).count("malformed") == 20
    assert "and 30 more" in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_no_query_is_bad_data(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadData, match="not one query"):
        read_queries(file(tmp_path, "q.tsv", raw))


def test_what_is_not_there_or_not_known(tmp_path: Path) -> None:
    with pytest.raises(MissingResource):
        read_queries(tmp_path / "none.tsv")
    with pytest.raises(BadArguments, match=r"queries\.jsonl"):
        read_queries(tmp_path)
    with pytest.raises(BadArguments, match="irds:ID"):
        read_queries(file(tmp_path, "q.csv", TSV))


@pytest.mark.parametrize("name", ["q.tsv", "q.jsonl", "q.tsv.gz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=100))
def test_any_bytes_are_queries_or_bad_data(tmp_path: Path, name: str, raw: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    try:
        found = read_queries(path)
    except BadData:
        return
    assert all(query.id.split() == [query.id] and query.text.strip() for query in found)
