"""Training pairs on disk: what goes in comes out, and nothing wrong comes in."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.encoders.training.pairs import Pair, read_pairs, write_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAIRS = [
    Pair("what is a sieve", "A sieve\nkeeps the coarse\u2028and drops the fine."),
    Pair("wer?", "Jemand „hier“.", ("Niemand.", "Alle."), (0.75, -1.5, 3e-9)),
    Pair("q", "p", ("n",)),
]
texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    negatives = tuple(draw(st.lists(texts, max_size=3)))
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    scores = draw(st.lists(numbers, min_size=1 + len(negatives), max_size=1 + len(negatives)))
    return Pair(draw(texts), draw(texts), negatives, draw(st.sampled_from([(), tuple(scores)])))


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_pairs_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    assert write_pairs(tmp_path / name, PAIRS) == 3
    assert read_pairs(tmp_path / name) == PAIRS


@given(st.lists(pairs(), min_size=1, max_size=4))
def test_any_pairs_come_back(tmp_path_factory: pytest.TempPathFactory, some: list[Pair]) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_pairs(path, some)
    assert read_pairs(path) == some


def test_a_line_holds_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, PAIRS)
    records = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    assert records[0] == {"query": PAIRS[0].query, "positive": PAIRS[0].positive}
    assert records[1]["negatives"] == ["Niemand.", "Alle."]
    assert records[1]["scores"] == [0.75, -1.5, 3e-9]
    assert "„hier“" in path.read_text("utf-8")


def test_packed_files_are_gzip_and_equal_to_the_byte(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_pairs(tmp_path / name, PAIRS)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)  # where gzip keeps the time
    assert len(gzip.decompress((tmp_path / "a.gz").read_bytes()).splitlines()) == 3


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    def broken() -> Iterator[Pair]:
        yield PAIRS[1]
        raise RuntimeError("the power is gone")

    write_pairs(tmp_path / name, PAIRS[:1])
    with pytest.raises(RuntimeError):
        write_pairs(tmp_path / name, broken())
    assert read_pairs(tmp_path / name) == PAIRS[:1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"query": "q"}', "'positive' is None"),
        ('{"query": 7, "positive": "p"}', "'query' is 7"),
        ('{"query": " ", "positive": "p"}', "the query is ' '"),
        ('{"query": "q", "positive": "p", "negative": "n"}', "the key 'negative' is not known"),
        ('{"query": "q", "positive": "p", "negatives": "n"}', "'negatives' is 'n'"),
        ('{"query": "q", "positive": "p", "negatives": ["n", 3]}', "a list of texts"),
        ('{"query": "q", "positive": "p", "negatives": [""]}', "the negative is ''"),
        ('{"query": "q", "positive": "p", "scores": [1, 2]}', "2 scores for 1 positive"),
        ('{"query": "q", "positive": "p", "scores": [true]}', "a list of numbers"),
        ('{"query": "q", "positive": "p", "scores": [NaN]}', "NaN is not JSON"),
        ('{"query": "q", "positive": "p", "scores": [1e999]}', "expected finite numbers"),
        ('{"query": "q\\ud800", "positive": "p"}', "half a surrogate pair"),
        ('["q", "p"]', "not an object"),
        ("query\tpositive", "expected one JSON object a line"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"query": "q", "positive": "p"}}\n{line}\n', "utf-8")
    with pytest.raises(BadData) as caught:
        read_pairs(path)
    assert "pairs.jsonl:2" in str(caught.value)
    assert says in str(caught.value)


def test_all_wrong_lines_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{}\n{"query": "q", "positive": "p"}\n[]\n', "utf-8")
    with pytest.raises(BadData, match="2 flaws") as caught:
        read_pairs(path)
    assert "pairs.jsonl:1" in str(caught.value)
    assert "pairs.jsonl:3" in str(caught.value)


def test_no_file_no_pair_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="is not there"):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(BadArguments, match="is a folder"):
        read_pairs(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(BadData, match="not one pair"):
        read_pairs(tmp_path / "empty.jsonl")


def test_a_pair_keeps_its_promises() -> None:
    with pytest.raises(BadData, match="the positive is ''"):
        Pair("q", "")
    with pytest.raises(BadData, match="expected 2, or none"):
        Pair("q", "p", ("n",), (1.0,))
    with pytest.raises(BadData, match="finite"):
        Pair("q", "p", (), (float("inf"),))
