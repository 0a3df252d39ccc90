"""Searches that the sketch of a cold tier guides: what they open, damage, indexes without one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments, CorruptFile, MissingResource
from tamis.core.manifest import read_manifest
from tamis.core.records import Query
from tamis.index.cold_sketch import TERMS, VECTORS
from tamis.pipeline.cli import app
from tamis.pipeline.cold.tuning import tune_cold
from tamis.pipeline.index_parts import records_of
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 40
MODES: tuple[Any, ...] = ("dense", "lexical", "hybrid")
QUERIES = [Query(f"q{row}", f"only{row} word{row % 12}") for row in range(0, ROWS, 3)]


@pytest.fixture(scope="module")
def untouched(forty_passages: Path) -> Path:
    folder = forty_passages.with_name("i")
    tamis.build(forty_passages, folder, encoder="hashing", quality="length", keep=0.75, cold=True)
    return folder


@pytest.fixture
def built(untouched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untouched, tmp_path / "i")


@pytest.fixture
def old(built: Path) -> Path:
    """As an index was that a tamis without sketches built."""
    shutil.rmtree(built / "sketch")
    manifest = read_manifest(built)
    assert manifest.cold is not None
    for rule in manifest.cold["thresholds"].values():
        rule["signal"] = "best score"
    files = {name: record for name, record in manifest.files.items() if "sketch" not in name}
    replace(manifest, files=files).write(built)
    return built


def with_threshold(folder: Path, threshold: float) -> None:
    """For all modes."""
    manifest = read_manifest(folder)
    assert manifest.cold is not None
    for rule in manifest.cold["thresholds"].values():
        rule["threshold"] = threshold
    manifest.write(folder)


def answers(folder: Path, mode: Any, when: Any = "auto") -> list[list[str]]:
    return open_index(folder).searcher(5, mode=mode, cold=when).run(QUERIES).ids()


def test_the_hot_folder_holds_it_and_the_cold_one_does_not(untouched: Path) -> None:
    files = read_manifest(untouched).files
    assert {VECTORS, TERMS} == {name for name in files if "sketch" in name}
    assert not (untouched / "cold" / "sketch").exists()
    folder = open_index(untouched).folder
    assert folder.sketch is not None
    assert len(folder.sketch.vectors) == 10
    vocabulary = json.loads((untouched / "lexical" / "vocab.index.json").read_text("utf-8"))
    assert folder.sketch.terms.shape == (len(vocabulary),)
    assert folder.sketch.terms.dtype == np.float32
    told = CliRunner().invoke(app, ["info", str(untouched)]).stdout
    assert "its sketch in the hot tier " in told


@pytest.mark.parametrize("mode", MODES)
def test_a_query_that_stays_hot_opens_nothing_of_the_cold_tier(built: Path, mode: Any) -> None:
    with_threshold(built, -9)
    for path in [path for path in (built / "cold").rglob("*") if path.is_file()]:
        if path.name != "tamis.json" or path.parent.name != "cold":
            path.unlink()
    assert answers(built, mode) == answers(built, mode, "never")
    with_threshold(built, 9)
    with pytest.raises(MissingResource, match="cold/"):
        answers(built, mode)


@pytest.mark.parametrize("mode", MODES)
def test_the_passage_that_was_cut_makes_a_query_unsure(built: Path, mode: Any) -> None:
    cut = [int(query.id[1:]) % 4 == 0 for query in QUERIES]
    listed = built.parent / "q.tsv"
    listed.write_text("".join(f"{query.id}\t{query.text}\n" for query in QUERIES), "utf-8")
    tune_cold(built, str(listed), budget=(sum(cut) + 0.5) / len(cut))
    run = open_index(built).searcher(1, mode=mode).run(QUERIES)
    assert run.cold is not None
    assert run.cold.tolist() == cut
    assert [ids[0] for ids in run.ids()] == [f"p{query.id[1:]}" for query in QUERIES]


def test_every_query_spends_the_time_of_the_sketch(built: Path) -> None:
    with_threshold(built, 0.2)
    run = open_index(built).searcher(5).run(QUERIES)
    assert run.cold is not None
    assert 0 < run.cold.sum() < len(QUERIES)
    assert run.times["cold sketch"].ran.all()
    assert run.times["cold sketch"].passages.sum() == 0
    assert run.seconds["cold sketch"] > 0
    always = open_index(built).searcher(5, cold="always").run(QUERIES)
    assert "cold sketch" not in always.times


@pytest.mark.parametrize("name", [VECTORS, TERMS])
def test_a_flipped_byte_is_found_and_answers_nothing(built: Path, name: str) -> None:
    content = bytearray((built / name).read_bytes())
    content[-1] ^= 1
    (built / name).write_bytes(content)
    assert [finding.kind for finding in check_index(built).errors] == [name]
    for mode, read in (("dense", {VECTORS}), ("lexical", {TERMS}), ("hybrid", {VECTORS, TERMS})):
        if name in read:
            with pytest.raises(CorruptFile, match=name):
                answers(built, mode)
        else:
            answers(built, mode)  # what a mode does not need, it does not read
        answers(built, mode, "never")
        answers(built, mode, "always")


def test_a_sketch_of_another_tier_is_told(built: Path, forty_passages: Path) -> None:
    other = forty_passages.with_name("other")
    tamis.build(forty_passages, other, encoder="hashing", quality="length", keep=0.8, cold=True)
    shutil.copy(other / VECTORS, built / VECTORS)
    files = {name: own for name, own in records_of(built).items() if name != "tamis.json"}
    replace(read_manifest(built), files=files).write(built)
    told = [(finding.kind, finding.message) for finding in check_index(built).errors]
    assert told == [("sketch: rows disagree", "8 vectors, the cold tier has 10")]


def test_an_index_with_a_damaged_manifest_is_replaced(built: Path, forty_passages: Path) -> None:
    (built / "tamis.json").write_text("{}", "utf-8")
    how: dict[str, Any] = {"quality": "length", "keep": 0.75, "cold": True, "overwrite": True}
    tamis.build(forty_passages, built, encoder="hashing", **how)
    assert check_index(built).ok


def test_an_older_index_is_told_to_be_built_again(old: Path, forty_passages: Path) -> None:
    assert check_index(old).ok
    for mode in MODES:
        with pytest.raises(BadArguments, match=r"no sketch of its cold tier.*with --overwrite"):
            answers(old, mode)
        answers(old, mode, "never")
        answers(old, mode, "always")
    (old.parent / "q.tsv").write_text("q1\tword1\n", "utf-8")
    with pytest.raises(BadArguments, match="no sketch of its cold tier"):
        tune_cold(old, str(old.parent / "q.tsv"))
    how: dict[str, Any] = {"quality": "length", "keep": 0.75, "cold": True, "overwrite": True}
    tamis.build(forty_passages, old, encoder="hashing", **how)
    answers(old, "hybrid")
