"""The command line of a cold tier: what info, search and tune-cold say, and what is stored."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments
from tamis.core.manifest import read_manifest
from tamis.pipeline.cli import app
from tamis.pipeline.cold.signals import SIGNALS
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 40
MODES = ("dense", "lexical", "hybrid")


def run(*words: object) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def untouched(forty_passages: Path) -> Path:
    index = forty_passages.with_name("i")
    chosen = ["--encoder", "hashing", "--quality", "length", "--keep", "0.75", "--cold"]
    run("build", forty_passages, "-o", index, *chosen)
    return index


@pytest.fixture
def built(untouched: Path, tmp_path: Path) -> Path:
    shutil.copytree(untouched, tmp_path / "i")
    return tmp_path / "i"


@pytest.fixture(scope="module")
def whole(forty_passages: Path) -> Path:
    index = forty_passages.with_name("whole")
    run("build", forty_passages, "-o", index, "--encoder", "hashing")
    return index


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[], tuple[str, str]]:
    """Queries by passages' own words, each with that passage as the only relevant one."""

    def write() -> tuple[str, str]:
        queries = [f"q{row}\tonly{row} word{row % 12}" for row in range(ROWS)]
        qrels = [f"q{row} 0 p{row} 1" for row in range(ROWS)] + ["q-odd 0 p1 0"]
        (tmp_path / "q.tsv").write_text("\n".join([*queries, "q-odd\tnothing"]), "utf-8")
        (tmp_path / "r.txt").write_text("\n".join(qrels), "utf-8")
        return str(tmp_path / "q.tsv"), str(tmp_path / "r.txt")

    return write


def test_info_shows_the_tier_and_its_thresholds(built: Path) -> None:
    told = [text.strip() for text in run("info", built).stdout.splitlines()]
    [at] = [n for n, text in enumerate(told) if text.startswith("cold tier")]
    assert told[at].startswith("cold tier  10 passages, ")
    for mode, line in zip(MODES, told[at + 1 :], strict=False):
        assert line.startswith(f"{mode}, {SIGNALS[mode]}: at ")
        assert line.endswith(" queries: questions by templates")
    assert any(text.endswith("statistics of both tiers") for text in told)


def test_a_question_says_whether_it_went_cold(built: Path) -> None:
    for when, told in (("always", "cold tier: searched"), ("never", None)):
        done = run("search", built, "only3", "--cold", when)
        assert (told in done.stderr) if told else ("cold tier" not in done.stderr)
    body = json.loads(run("search", built, "only3", "--cold", "always", "--json").stdout)
    assert body["cold"] is True
    assert "dense (cold)" in body["milliseconds"]
    never = json.loads(run("search", built, "only3", "--cold", "never", "--json").stdout)
    assert "cold" not in never


def test_a_run_says_how_many_did(
    built: Path, tmp_path: Path, listed: Callable[[], tuple[str, str]]
) -> None:
    queries, _ = listed()
    for when in ("auto", "always"):
        words = ["search", built, "--queries", queries, "-o", tmp_path / "run", "--cold", when]
        told = run(*words).stdout.splitlines()[-1]
        body = json.loads(run(*words, "--json").stdout)
        share = body["cold_queries"] / 41
        assert told == (
            f"cold tier: searched for {body['cold_queries']} of 41 queries ({share:.1%})"
        )
    assert body["cold_queries"] == 41


def test_tuning_by_a_target_buys_it_with_the_fewest(
    built: Path, listed: Callable[[], tuple[str, str]]
) -> None:
    queries, qrels = listed()
    words = ["tune-cold", built, "--queries", queries, "--qrels", qrels, "-m", "R@1", "--json"]
    reached = json.loads(run(*words, "--target-recall", "1").stdout)
    assert [mode["mode"] for mode in reached["modes"]] == list(MODES)
    lexical = reached["modes"][1]
    assert lexical["queries"] == ROWS
    assert lexical["whole"]["value"] == 1
    assert lexical["hot"]["value"] == 0.75
    assert lexical["tiered"]["value"] == lexical["kept"] == 1
    assert 0.25 <= lexical["share"] < 1
    manifest = read_manifest(built)
    assert manifest.cold is not None
    assert manifest.cold["thresholds"]["lexical"]["threshold"] == lexical["threshold"]
    assert manifest.cold["thresholds"]["lexical"]["source"] == "q.tsv by r.txt"
    assert check_index(built).ok
    found = open_index(built).searcher(1, mode="lexical").run(tamis.read_queries(queries)[:ROWS])
    assert found.cold is not None
    assert found.cold.mean() == lexical["share"]
    assert [ids[0] for ids in found.ids()] == [f"p{row}" for row in range(ROWS)]
    capped = json.loads(run(*words, "--target-recall", "1", "--budget", "0.1").stdout)
    assert all(mode["share"] <= 0.1 for mode in capped["modes"])


def test_tuning_without_judgments_takes_a_share(
    built: Path, listed: Callable[[], tuple[str, str]]
) -> None:
    queries, _ = listed()
    told = run("tune-cold", built, "--queries", queries, "--budget", "0.5").stdout
    assert [line.partition(":")[0] for line in told.splitlines()] == list(MODES)
    manifest = read_manifest(built)
    assert manifest.cold is not None
    for rule in manifest.cold["thresholds"].values():
        assert rule["queries"] == 41
        assert 0.2 < rule["share"] <= 0.5
    run("tune-cold", built, "--queries", queries, "--budget", "0")
    manifest = read_manifest(built)
    assert manifest.cold is not None
    assert {r["threshold"] for r in manifest.cold["thresholds"].values()} == {None}


def test_wrong_calls(built: Path, whole: Path, listed: Callable[[], tuple[str, str]]) -> None:
    queries, qrels = listed()
    tune = ["tune-cold", built, "--queries", queries]
    cases = [
        (["tune-cold", whole, "--queries", queries], "has no cold tier"),
        ([*tune, "--target-recall", "0.9"], "a target needs judgments"),
        ([*tune, "--qrels", qrels, "--target-recall", "99"], "the target is 99"),
        ([*tune, "--budget", "30"], "from 0 to 1"),
        (["search", whole, "x", "--cold", "always"], "has no cold tier"),
    ]
    for line, told in cases:
        done = CliRunner().invoke(app, [str(word) for word in line])
        assert isinstance(done.exception, BadArguments), done.output
        assert told in str(done.exception)
