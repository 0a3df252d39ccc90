"""Run files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import ir_measures
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.runs import read_run, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ids = st.text(min_size=1).filter(lambda text: text.split() == [text] and _is_utf8(text))


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def file(folder: Path, text: str, name: str = "r.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_six_columns_single_spaces_rank_from_one(tmp_path: Path) -> None:
    path = tmp_path / "r.run"
    write_run(path, [("q1", ["b", "a"], scores(1.5, 0.1)), ("q2", ["é"], scores(-2e-10))], "tamis")
    assert path.read_bytes().decode() == (
        "q1 Q0 b 1 1.5 tamis\nq1 Q0 a 2 0.1 tamis\nq2 Q0 é 1 -2e-10 tamis\n"
    )


@pytest.mark.parametrize("name", ["r.run", "r.run.gz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    run=st.dictionaries(
        ids,
        st.dictionaries(
            ids, st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1
        ),
        min_size=1,
    )
)
def test_float32_round_trips_exactly(
    tmp_path: Path, name: str, run: dict[str, dict[str, float]]
) -> None:
    path = tmp_path / name
    write_run(path, [(q, list(found), scores(*found.values())) for q, found in run.items()], "t")
    read = read_run(path)
    assert list(read) == list(run)
    for query, found in run.items():
        assert list(read[query]) == list(found)
        back = np.array(list(read[query].values()), dtype=np.float32)
        assert back.tobytes() == scores(*found.values()).tobytes()  # the sign of zero too


@given(pair=st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 2))
def test_read_scores_order_as_float32_does(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[float, float]
) -> None:
    path = tmp_path_factory.mktemp("r") / "r.run"
    write_run(path, [("q", ["a", "b"], scores(*pair))], "t")
    first, second = read_run(path)["q"].values()
    assert (first < second, first == second) == (pair[0] < pair[1], pair[0] == pair[1])


def test_ir_measures_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "r.run"
    write_run(path, [("q", ["a", "b"], scores(0.3, 0.2))], "t")
    read = [(doc.query_id, doc.doc_id, doc.score) for doc in ir_measures.read_trec_run(str(path))]
    assert read == [("q", "a", 0.3), ("q", "b", 0.2)]


def test_the_same_run_packs_to_the_same_bytes(tmp_path: Path) -> None:
    rows = [("q", ["a"], scores(1))]
    write_run(tmp_path / "a.gz", rows, "t")
    write_run(tmp_path / "b.gz", rows, "t")
    packed = (tmp_path / "a.gz").read_bytes()
    assert packed == (tmp_path / "b.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # no time of packing
    assert gzip.decompress(packed) == b"q Q0 a 1 1.0 t\n"


@pytest.mark.parametrize("name", ["r.run", "r.run.gz"])
def test_a_write_that_breaks_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")

    def breaking() -> Iterator[tuple[str, list[str], np.ndarray]]:
        yield "q", ["a"], scores(1)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_run(path, breaking(), "t")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("q r", ["a"], scores(1))], "'q r'"),
        ([("", ["a"], scores(1))], "''"),
        ([("q", ["a\tb"], scores(1))], r"'a\\tb'"),
        ([("q", ["a\u2003"], scores(1))], "white space"),
        ([("q", ["a", "a"], scores(1, 0))], "twice"),
        ([("q", ["a"], scores(1)), ("q", ["b"], scores(1))], "query 'q' comes twice"),
        ([("q", ["a"], scores(np.nan))], "finite"),
        ([("q", ["a"], scores(np.inf))], "finite"),
        ([("q", ["a", "b"], scores(1))], "2 passages and 1 scores"),
    ],
)
def test_what_a_run_cannot_hold_is_refused(tmp_path: Path, rows: list, told: str) -> None:
    with pytest.raises(BadData, match=told):
        write_run(tmp_path / "r.run", rows, "t")
    assert list(tmp_path.iterdir()) == []


def test_a_tag_is_one_word(tmp_path: Path) -> None:
    for tag in ("", "two words"):
        with pytest.raises(BadArguments, match="tag"):
            write_run(tmp_path / "r.run", [], tag)


def test_trec_at_any_white_space_in_any_order(tmp_path: Path) -> None:
    text = "q2\tQ0\td1\t0\t-1.5\tx\r\nq1 Q0  d1 7 1e3 x\nq2 Q0 d2 9 4 x\n\n"
    read = read_run(file(tmp_path, text))
    assert read == {"q2": {"d1": -1.5, "d2": 4.0}, "q1": {"d1": 1000.0}}
    assert list(read) == ["q2", "q1"]


@pytest.mark.parametrize("first", [0, 1])
def test_three_columns_that_count_are_ranks(tmp_path: Path, first: int) -> None:
    lines = [("q1", "b", first), ("q2", "z", first), ("q1", "a", first + 1)]
    read = read_run(file(tmp_path, "".join(f"{q}\t{d}\t{r}\n" for q, d, r in lines)))
    assert read == {"q1": {"b": -first, "a": -first - 1}, "q2": {"z": -first}}
    assert read["q1"]["b"] > read["q1"]["a"]


@pytest.mark.parametrize("third", [["3", "2", "1"], ["1", "1", "1"], ["1.0", "2.0", "3.0"]])
def test_three_columns_that_do_not_count_are_scores(tmp_path: Path, third: list[str]) -> None:
    lines = zip("abc", third, strict=True)
    read = read_run(file(tmp_path, "".join(f"q\t{d}\t{s}\n" for d, s in lines)))
    assert list(read["q"].values()) == [float(score) for score in third]


def test_one_query_that_does_not_count_makes_all_scores(tmp_path: Path) -> None:
    read = read_run(file(tmp_path, "q a 1\nq b 2\nr a 9\nr b 3\n"))
    assert read == {"q": {"a": 1, "b": 2}, "r": {"a": 9, "b": 3}}


@pytest.mark.parametrize("third", [(2, 3), (1, 3), (10, 20)])
def test_three_columns_that_rise_without_counting_are_refused(
    tmp_path: Path, third: tuple[int, int]
) -> None:
    with pytest.raises(BadData, match="ranks or scores"):
        read_run(file(tmp_path, f"q a {third[0]}\nq b {third[1]}\n"))


def test_a_header_names_the_columns(tmp_path: Path) -> None:
    text = "query-id\tcorpus-id\trank\tscore\nq\ta\t1\t2.5\n"
    assert read_run(file(tmp_path, text)) == {"q": {"a": 2.5}}
    text = "query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t2\n"
    assert read_run(file(tmp_path, text)) == {"q": {"a": 1.0, "b": 2.0}}


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = (
        "q Q0 a 1 3 t\nq Q0 b 2 t\nq Q0 c 3 high t\nq Q0 d 4 nan t\nq Q0 e 5 inf t\n"
        "q Q0 a 6 1 t\nq Q0 f 7 1_0 t\n\nq Q0 g 8 ٣ t\n"
    )
    with pytest.raises(BadData) as caught:
        read_run(file(tmp_path, text))
    told = str(caught.value)
    assert "8 flaws" in told
    for line in range(2, 10):
        assert f"r.txt:{line}: " in told
    assert "r.txt:6: duplicate id: passage 'a' comes twice for query 'q'" in told


@pytest.mark.parametrize("text", ["", "\n\n", "query-id\tcorpus-id\tscore\n"])
def test_no_line_is_bad_data(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadData, match="not one line"):
        read_run(file(tmp_path, text))


def test_what_is_not_there_or_a_folder(tmp_path: Path) -> None:
    for place in (tmp_path / "none.run", tmp_path):
        with pytest.raises(MissingResource):
            read_run(place)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.one_of(
        st.binary(max_size=100),
        st.lists(st.sampled_from(["q", "\t", " ", "1", "2", "-", ".", "e9", "\n"])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_any_bytes_are_a_run_or_bad_data(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "r.run"
    path.write_bytes(raw)
    try:
        read = read_run(path)
    except BadData:
        return
    assert all(np.isfinite(list(found.values())).all() for found in read.values())


@pytest.mark.shared
def test_a_real_run_reads(shared_data: Path) -> None:
    runs = shared_data / "collections" / "msmarco-dl19-pool" / "runs"
    read = read_run(runs / "bm25.tsv.gz")
    assert len(read) == 43
    assert {len(found) for found in read.values()} == {100}
