"""JSON lines: keys, types, odd lines, and the promise that nothing crashes."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"id": "g", "text": "good"}


def written(folder: Path, *lines: str | bytes, name: str = "c.jsonl") -> Path:
    path = folder / name
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def flaws(path: Path) -> list[Flaw]:
    return [item for item in open_corpus(path) if isinstance(item, Flaw)]


def only_flaw(path: Path) -> Flaw:
    (flaw,) = flaws(path)
    return flaw


@pytest.mark.parametrize("id_key", ["id", "_id", "docid", "docno", "pid"])
@pytest.mark.parametrize("text_key", ["text", "contents", "body", "passage"])
def test_every_accepted_key_is_found_and_told(tmp_path: Path, id_key: str, text_key: str) -> None:
    path = written(tmp_path, json.dumps({id_key: "a", text_key: "b", "title": "c", "url": "d"}))
    corpus = open_corpus(path)
    assert list(corpus) == [Passage("a", "b", "c")]
    assert corpus.fields == f"id from {id_key!r}, text from {text_key!r}, title from 'title'"


def test_beir_folder_reads_its_own_id_even_beside_another(tmp_path: Path) -> None:
    record = {"_id": "beir", "id": "other", "title": "", "text": "x", "metadata": {"a": [1]}}
    written(tmp_path, json.dumps(record), name="corpus.jsonl")
    corpus = open_corpus(tmp_path)
    assert (corpus.format, list(corpus)) == ("beir", [Passage("beir", "x")])


def test_a_corpus_can_be_read_again(tmp_path: Path) -> None:
    corpus = open_corpus(written(tmp_path, json.dumps(GOOD)))
    assert list(corpus) == list(corpus) == [Passage("g", "good")]
    assert list(corpus.located()) == [("c.jsonl:1", Passage("g", "good"))]


def test_whole_numbers_become_ids_and_digits_stay_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, '{"id": 7, "text": "x"}', '{"id": "007", "text": "y"}')
    assert list(open_corpus(path)) == [Passage("7", "x"), Passage("007", "y")]


def test_null_title_is_no_title(tmp_path: Path) -> None:
    path = written(tmp_path, '{"id": "a", "text": "x", "title": null}')
    assert list(open_corpus(path)) == [Passage("a", "x")]


def test_title_alone_is_a_passage(tmp_path: Path) -> None:
    path = written(tmp_path, '{"id": "a", "text": "", "title": "t"}')
    assert list(open_corpus(path)) == [Passage("a", "", "t")]


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ('{"id": "a", "text": NaN}', "malformed", "NaN"),
        ('{"id": "a", "text": "x", "w": Infinity}', "malformed", "Infinity"),
        ('{"id": "a", "text": 3}', "malformed", "'text' is 3"),
        ('{"id": "a", "text": null}', "malformed", "None"),
        ('{"id": "a", "text": "x", "title": ["t"]}', "malformed", "'title' is ['t']"),
        ('{"id": true, "text": "x"}', "malformed", "True"),
        ('{"id": 1.0, "text": "x"}', "malformed", "1.0"),
        ('{"id": null, "text": "x"}', "malformed", "None"),
        ('{"text": "x"}', "malformed", "no key 'id'"),
        ('{"id": "a"}', "malformed", "no key 'text'"),
        ('["id", "text"]', "malformed", "not an object"),
        ('{"id": "a", "text": "x"', "malformed", "expected one JSON object"),
        ('{"id": ' + "9" * 5000 + ', "text": "x"}', "malformed", "digits"),
        ("[" * 100_000, "malformed", "nested"),
        ('{"id": "a", "text": "\\ud800"}', "malformed", "surrogate"),
        ('{"id": "\\udfff", "text": "x"}', "malformed", "the id holds"),
        ('{"id": "a", "text": "x", "title": "\\udbff"}', "malformed", "the title holds"),
        ('{"id": "", "text": "x"}', "blank id", "''"),
        ('{"id": " \\t", "text": "x"}', "blank id", "visible"),
        ('{"id": "a b", "text": "x"}', "id with space", "'a b'"),
        ('{"id": "a\\u00a0", "text": "x"}', "id with space", "\\xa0"),
        ('{"id": "a", "text": " \\n", "title": "\\u2003"}', "empty", "'a'"),
        (b'{"id": "a", "text": "caf\xe9"}', "not utf-8", "\\xe9"),
        (b'{"id": "a", "text": "\xed\xa0\x80"}', "not utf-8", "\\xed"),
    ],
)
def test_an_odd_line_is_a_flaw_between_good_ones(
    tmp_path: Path, line: str | bytes, kind: str, told: str
) -> None:
    good = json.dumps(GOOD)
    path = written(tmp_path, good, line, good)
    first, flaw, last = open_corpus(path)
    assert first == last == Passage("g", "good")
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.where) == (kind, "c.jsonl:2")
    assert told in flaw.message
    assert len(flaw.message) < 300


def test_json_array_says_what_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps([GOOD]), name="c.json")
    assert "one JSON object a line" in only_flaw(path).message


def test_byte_order_mark_and_crlf_leave_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    line = json.dumps(GOOD).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line)
    assert list(open_corpus(path)) == [Passage("g", "good")] * 2


def test_line_separators_inside_a_text_do_not_end_the_line(tmp_path: Path) -> None:
    text = "a\u2028b\x0bc\x85d"
    path = written(tmp_path, json.dumps({"id": "a", "text": text}, ensure_ascii=False))
    assert list(open_corpus(path)) == [Passage("a", text)]


def test_blank_lines_are_fine_at_the_end_only(tmp_path: Path) -> None:
    good = json.dumps(GOOD)
    assert flaws(written(tmp_path, good, "", "  ", "\r")) == []
    found = flaws(written(tmp_path, good, "", "  ", good, ""))
    assert [(flaw.kind, flaw.where) for flaw in found] == [
        ("malformed", "c.jsonl:2"),
        ("malformed", "c.jsonl:3"),
    ]


def test_keys_are_chosen_from_the_first_line_that_is_an_object(tmp_path: Path) -> None:
    path = written(tmp_path, "broken", '{"docno": "a", "body": "x"}', '{"id": "b", "body": "y"}')
    broken, good, other = open_corpus(path)
    assert good == Passage("a", "x")
    assert isinstance(broken, Flaw)
    assert isinstance(other, Flaw)
    assert "'docno'" in other.message


def test_empty_file_has_nothing(tmp_path: Path) -> None:
    assert list(open_corpus(written(tmp_path))) == []


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert list(open_corpus(path)) == [Passage("g", "good")]


def test_truncated_gzip_gives_what_it_has_and_a_flaw(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    lines = "".join(json.dumps({"id": str(i), "text": "x"}) + "\n" for i in range(5000))
    packed = gzip.compress(lines.encode())
    path.write_bytes(packed[: len(packed) // 2])
    *before, last = open_corpus(path)
    assert all(isinstance(item, Passage) for item in before)
    assert isinstance(last, Flaw)
    assert last.kind == "malformed"


def test_gzip_with_a_byte_turned_is_a_flaw_at_worst(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    lines = "".join(json.dumps({"id": str(i), "text": "x"}) + "\n" for i in range(5000))
    packed = gzip.compress(lines.encode())
    kinds = set()
    for at in range(10, len(packed), 997):
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :])
        kinds |= {flaw.kind for flaw in flaws(path)}
    assert "malformed" in kinds


def test_gzip_in_name_only_is_a_flaw(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(GOOD), name="c.jsonl.gz")
    assert only_flaw(path).kind == "malformed"


@given(
    passages=st.lists(
        st.builds(
            Passage,
            id=st.text(min_size=1).filter(lambda text: text.split() == [text]),
            text=st.text(min_size=1).filter(lambda text: not text.isspace()),
            title=st.text(),
        ),
        min_size=1,
    ),
    ascii_only=st.booleans(),
)
def test_whatever_is_written_as_json_lines_reads_back(
    tmp_path_factory: pytest.TempPathFactory, passages: list[Passage], ascii_only: bool
) -> None:
    records = [{"id": p.id, "text": p.text, "title": p.title} for p in passages]
    lines = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    path = written(tmp_path_factory.mktemp("c"), *lines)
    assert list(open_corpus(path)) == passages
