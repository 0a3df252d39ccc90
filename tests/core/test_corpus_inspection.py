"""Duplicates found in 16 bytes a passage, proven by a second reading, named by place."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.corpus import Corpus, Flaw
from tamis.core.corpus import duplicates as duplicates_module
from tamis.core.corpus.flaws import KEPT
from tamis.core.corpus.inspection import Inspection
from tamis.core.errors import BadData
from tamis.core.records import Passage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Memory:
    """A corpus in memory that counts how often it is read."""

    def __init__(self, items: Sequence[Passage | Flaw]) -> None:
        self.items = items
        self.readings = 0
        self.corpus = Corpus("memory", "list", "", self._read)

    def _read(self) -> Iterator[tuple[str, Passage | Flaw]]:
        self.readings += 1
        for number, item in enumerate(self.items, 1):
            yield f"m:{number}", item


def inspected(corpus: Corpus) -> tuple[Inspection, list[int]]:
    inspection = Inspection(corpus)
    for item in corpus:
        assert inspection.admit(item) == isinstance(item, Passage)
    return inspection, inspection.finish().tolist()


def test_a_clean_corpus_is_read_once() -> None:
    memory = Memory([Passage("a", "x"), Passage("b", "y")])
    inspection, drop = inspected(memory.corpus)
    assert (inspection.passages, drop) == (2, [])
    assert (inspection.errors, inspection.warnings) == ([], [])
    assert memory.readings == 1


def test_later_duplicates_are_named_and_to_be_dropped() -> None:
    flaw = Flaw("malformed", "m:2", "broken")
    memory = Memory(
        [Passage("a", "1"), flaw, Passage("b", "2"), Passage("a", "3"), Passage("a", "4")]
    )
    inspection, drop = inspected(memory.corpus)
    assert drop == [2, 3]  # rows count admitted passages: the flaw has none
    assert [(error.kind, error.where) for error in inspection.errors] == [
        ("malformed", "m:2"),
        ("duplicate id", "m:4"),
        ("duplicate id", "m:5"),
    ]
    assert "m:1" in inspection.errors[1].message
    assert inspection.error_counts == {"malformed": 1, "duplicate id": 2}


def test_repeated_texts_are_warnings_and_the_title_belongs_to_the_text() -> None:
    memory = Memory([Passage("a", "x y"), Passage("b", "y", "x"), Passage("c", "x y", "x")])
    inspection, drop = inspected(memory.corpus)
    assert (drop, inspection.errors) == ([], [])
    assert [(flaw.kind, flaw.where) for flaw in inspection.warnings] == [("duplicate text", "m:2")]


def test_equal_hashes_of_unequal_ids_accuse_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one hash for all, only the second reading can tell who is a duplicate."""

    class Blunt(duplicates_module.HashColumn):
        def add(self, value: str) -> None:
            super().add(value[:0])

    monkeypatch.setattr(duplicates_module, "HashColumn", Blunt)
    monkeypatch.setattr("tamis.core.corpus.inspection.HashColumn", Blunt)
    inspection, drop = inspected(Memory([Passage(i, i) for i in "abcb"]).corpus)
    assert drop == [3]
    assert inspection.error_counts == {"duplicate id": 1}
    assert inspection.warning_counts == {"duplicate text": 1}


def test_all_flaws_are_counted_and_a_thousand_kept() -> None:
    items: list[Passage | Flaw] = [Flaw("malformed", f"m:{n}", "") for n in range(KEPT + 7)]
    inspection, _ = inspected(Memory([*items, Flaw("empty", "m:0", ""), Passage("a", "x")]).corpus)
    assert inspection.error_counts == {"malformed": KEPT + 7, "empty": 1}
    assert len(inspection.errors) == KEPT + 1


def test_not_one_passage_is_an_error() -> None:
    inspection, _ = inspected(Memory([]).corpus)
    assert inspection.error_counts == {"no passages": 1}


@pytest.mark.parametrize("second", [["a"], ["a", "c", "b"]])
def test_a_corpus_that_changes_between_readings_is_refused(second: list[str]) -> None:
    memory = Memory([Passage("a", "1"), Passage("b", "2"), Passage("b", "3")])
    inspection = Inspection(memory.corpus)
    for item in memory.corpus:
        inspection.admit(item)
    memory.items = [Passage(id_, "1") for id_ in second]
    with pytest.raises(BadData, match="changed"):
        inspection.finish()


@given(ids=st.lists(st.sampled_from("abcdefgh"), max_size=30), at_once=st.integers(1, 5))
def test_rows_to_drop_agree_with_a_dictionary(ids: list[str], at_once: int) -> None:
    memory = Memory([Passage(id_, str(number)) for number, id_ in enumerate(ids)])
    first: dict[str, int] = {}
    expected = [row for row, id_ in enumerate(ids) if first.setdefault(id_, row) != row]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates_module, "AT_ONCE", at_once)
        _, drop = inspected(memory.corpus)
    assert drop == expected


def test_memory_is_sixteen_bytes_a_passage() -> None:
    import tracemalloc

    count = 100_000
    order = random.Random(0).sample(range(count), count)
    inspection = Inspection(Memory([]).corpus)
    tracemalloc.start()
    for number in order:
        inspection.admit(Passage(str(number), f"text {number}"))
    held, _ = tracemalloc.get_traced_memory()
    drop = inspection.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * count
    assert peak < 40 * count
    assert drop.dtype == np.int64
    assert len(drop) == 0
